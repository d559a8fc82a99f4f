"""The tools of servers that Codex is given: asked for exactly, their secrets seen by nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from podium.engine.commands import DefineAgent, OpenTask, define_agent
from podium.kernel import events as e
from podium.kernel.inquiry import Decision, EffectKind
from podium.kernel.nouns import McpServer, Permissions
from podium.kernel.states import TaskState
from podium.testing.rig import Rig
from tests.agents.codex_driving import CodexBench
from tests.agents.driving import playing, shell
from tests.agents.http_board import Board, a_board
from tests.agents.test_through_the_worker import ENDS_WITHIN_S, log
from tests.integration.runs.test_conversations import an_open_one, answer

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI
GIVEN = {"to": "bob", "words": ["yes", 1, None], "deep": {"a": {"b": "c'\"\n"}}}
WHISPER = {"tool": "mcp", "input": {"server": "board", "tool": "whisper", "input": GIVEN}}
SECRET = "very-secret-value"


@pytest.fixture
def board() -> Iterator[Board]:
    with a_board() as board:
        yield board


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("model", ["", "some-model-of-mine"])
def test_with_ask_a_tool_of_a_server_is_asked_for_with_its_exact_name_and_arguments(
    codex: CodexBench, board: Board, model: str, decision: Decision
) -> None:
    ended = codex.run(
        playing({"calls": [WHISPER]}, {"say": "So be it."}),
        mcp_servers=(McpServer(name="board", url=board.url),),
        permissions=Permissions.ASK,
        decision=decision,
        model=model,
    )
    assert ended.said == ["So be it."], ended.outcome
    [asked] = ended.of(e.RunAsked)
    assert (asked.effect.kind, asked.effect.tool) == (EffectKind.TOOL, "mcp__board__whisper")
    assert msgspec.json.decode(asked.effect.input) == GIVEN
    assert "whisper" in asked.why
    [called] = ended.of(e.RunToolCalled)
    assert asked.call_id == called.call_id
    assert (called.name, msgspec.json.decode(called.input)) == ("mcp__board__whisper", GIVEN)
    allowed = decision is Decision.ALLOW
    assert board.calls == ([{"name": "whisper", "arguments": GIVEN}] if allowed else [])
    assert [fact.is_error for fact in ended.of(e.RunToolReturned)] == [not allowed]


@pytest.mark.parametrize("permissions", [Permissions.EDIT, Permissions.FULL])
def test_otherwise_it_is_not_asked_for(codex: CodexBench, board: Board, permissions: Permissions) -> None:
    ended = codex.run(
        playing({"calls": [WHISPER]}, {"say": "Told."}),
        mcp_servers=(McpServer(name="board", url=board.url),),
        permissions=permissions,
    )
    assert (ended.said, ended.of(e.RunAsked)) == (["Told."], [])
    assert board.calls == [{"name": "whisper", "arguments": GIVEN}]


def test_the_secret_of_a_header_arrives_at_its_server_and_is_seen_nowhere_else(
    codex: CodexBench, board: Board
) -> None:
    ended = codex.run(
        playing({"calls": [WHISPER]}, {"calls": [shell("env")]}, {"say": "Told."}),
        mcp_servers=(McpServer(name="board", url=board.url),),
        server_secrets={"board": {"Authorization": f"Bearer {SECRET}", "X-Board": SECRET}},
        model="some-model-of-mine",
    )
    assert ended.said == ["Told."], ended.outcome
    assert len(board.headers) >= 3
    for headers in board.headers:
        assert (headers["authorization"], headers["x-board"]) == (f"Bearer {SECRET}", SECRET)
    plan = ended.plan
    assert not any(SECRET in word for word in plan.argv)
    assert not any(
        SECRET.encode() in line for line in [*ended.frames, plan.first_input, *plan.files.values()]
    )
    assert not any(SECRET in msgspec.json.encode(fact).decode() for fact in ended.facts)
    assert "PATH=" in ended.of(e.RunToolReturned)[-1].output, "its commands see an environment, and not this"
    assert files_with(SECRET, codex.folder) == []


def files_with(word: str, folder: Path) -> list[Path]:
    """Databases, records, logs: whatever the program has left."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if word.encode() in path.read_bytes()]


@pytest.mark.anyio
@pytest.mark.parametrize("decision", list(Decision))
async def test_a_person_decides_about_a_tool_of_a_server_and_its_secret_stays_with_the_worker(
    tmp_path: Path,
    codex_program: Path,
    users: None,
    board: Board,
    monkeypatch: pytest.MonkeyPatch,
    decision: Decision,
) -> None:
    monkeypatch.setenv("BOARD_KEY", SECRET)
    ask = DefineAgent(
        harness="codex",
        options={"program": str(codex_program)},
        env=("SIM_API_KEY",),
        permissions=Permissions.ASK,
        mcp_servers=(McpServer(name="board", url=board.url, secrets={"X-Board": "key:BOARD_KEY"}),),
    )
    async with Rig(tmp_path / "home").running() as rig:
        await rig.store.writer.run(lambda unit: define_agent(unit, "codex", ask, by="test"))
        prompt = playing({"calls": [WHISPER]}, {"say": "So be it."})
        task = await rig.open(OpenTask(prompt=prompt, agent="codex"))
        inquiry = await an_open_one(rig)
        assert (inquiry.effect.kind, inquiry.effect.tool) == (EffectKind.TOOL, "mcp__board__whisper")
        assert msgspec.json.decode(inquiry.effect.input) == GIVEN
        assert board.calls == []
        await answer(rig, inquiry, decision)
        done = await rig.ended(task.id, timeout_s=ENDS_WITHIN_S)
        events = b"".join(msgspec.json.encode(event) for event in await log(rig))
    assert done.state.word is TaskState.DONE, done.state
    assert len(board.calls) == (decision is Decision.ALLOW)
    assert {headers["x-board"] for headers in board.headers} == {SECRET}
    assert SECRET.encode() not in events
    assert files_with(SECRET, tmp_path) == []
