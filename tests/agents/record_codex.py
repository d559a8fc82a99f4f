"""`PYTHONPATH=src python -m tests.agents.record_codex`: record the golden transcripts of Codex anew."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium.kernel import events as e
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import McpServer, Permissions
from podium.kernel.session import Mode
from podium.testing import harness_conformance as conformance
from podium.testing.model_server.server import ModelServer
from tests.agents import cli
from tests.agents.codex_driving import CodexBench, CodexEnded, Talk
from tests.agents.driving import playing, shell
from tests.agents.record import WHERE, save

MODEL = "gpt-5.5"
WAIT = {"calls": [shell("python3 -c 'import signal; signal.pause()'")]}
EDIT = {"tool": "edit", "input": {"path": "add.py", "old": "    return a - b", "new": "    return a + b"}}
Play = Callable[[CodexBench], CodexEnded]


def plain(*turns: dict[str, Any], **more: Any) -> Play:
    return lambda bench: bench.run(playing(*turns), model=MODEL, **more)


def at_call(act: Callable[[Talk], None]) -> Callable[[e.RunFact, Talk], None]:
    return lambda fact, talk: act(talk) if isinstance(fact, e.RunToolCalled) else None


def paused(fact: e.RunFact, talk: Talk) -> None:
    if isinstance(fact, e.RunToolCalled):
        talk.say(1, "", Mode.INTERRUPT)
    elif isinstance(fact, e.RunPaused):
        talk.say(2, "Go on.")


def resumed(bench: CodexBench) -> CodexEnded:
    first = bench.run(playing({"say": "One."}, {"say": "Two."}), model=MODEL)
    return bench.run("Go on.", conversation_id=first.conversation, opening="next", model=MODEL)


def with_a_sub_agent(bench: CodexBench, model: str) -> CodexEnded:
    inner = playing({"calls": [shell("sleep 1")]}, {"say": "Inner done."})
    calls = [{"tool": "agent", "input": {"prompt": inner}}]
    prompt = playing({"calls": calls}, {"say": "Outer done."})
    return bench.run(prompt, model=model, permissions=Permissions.FULL)


def server_tool_asked(bench: CodexBench) -> CodexEnded:
    server = McpServer(name="board", argv=(sys.executable, str(Path(__file__).with_name("mcp_server.py"))))
    given = {"server": "board", "tool": "whisper", "input": {"to": "bob"}}
    return bench.run(
        playing({"calls": [{"tool": "mcp", "input": given}]}, {"say": "Told."}),
        model="some-model-of-mine",
        mcp_servers=(server,),
        permissions=Permissions.ASK,
        decision=Decision.ALLOW,
    )


PLAYS: dict[str, Play] = {
    "edit": plain(
        {"think": "Look.", "say": "Reading.", "calls": [shell("cat add.py")]},
        {"calls": [EDIT]},
        {"say": "Mended."},
    ),
    "asked_and_denied": plain({"calls": [shell("ls"), EDIT]}, {"say": "No."}, permissions=Permissions.ASK),
    "asked_and_allowed": plain(
        {"calls": [shell("ls"), EDIT]}, {"say": "Yes."}, permissions=Permissions.ASK, decision=Decision.ALLOW
    ),
    "unauthorized": plain({"fail": {"status": 401}}),
    "rate_limited": plain({"fail": {"status": 429}}),
    "server_error_once": plain({"fail": {"status": 500, "times": 1}, "say": "At last."}),
    "interrupted": plain(WAIT, do=at_call(lambda talk: talk.interrupt())),
    "steered": plain(
        {"calls": [shell("sleep 1")]}, {"say": "Heard."}, do=at_call(lambda talk: talk.say(1, "This too."))
    ),
    "paused": plain(WAIT, {"say": "Going on."}, do=paused),
    "killed": plain(WAIT, do=at_call(lambda talk: talk.kill())),
    "resumed": resumed,
    "sub_agent": lambda bench: with_a_sub_agent(bench, "some-model-of-mine"),
    "team": lambda bench: with_a_sub_agent(bench, ""),
    "server_tool_asked": server_tool_asked,
}


def scrubbed(frame: bytes, bench: CodexBench) -> bytes:
    """Without what belongs to the machine of the recording."""
    text = frame.decode().replace(str(bench.folder), WHERE).replace(bench.url, "http://127.0.0.1:8080")
    # Its own name for the agent of a team, which looks like a home.
    text = text.replace('"agentPath":"/root/', '"agentPath":"/top/')
    text = re.sub(r'"installationId":"[^"]*"', '"installationId":"x"', text)
    return re.sub(r'"serverName":"[^"]*"', '"serverName":"x"', text).encode()


def record(url: str) -> None:
    for name, play in PLAYS.items():
        folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
        try:
            bench = CodexBench(folder, cli.codex(), url)
            (bench.workspace / "add.py").write_text("def add(a, b):\n    return a - b\n")
            ended = play(bench)
            save("codex", name, [scrubbed(one, bench) for one in ended.frames], ended.outcome.exit_code)
        finally:
            shutil.rmtree(folder)


async def main() -> None:
    assert conformance.TRANSCRIPTS.is_relative_to(Path(__file__).resolve().parents[2]), "set PYTHONPATH=src"
    async with ModelServer().listening() as url:
        await asyncio.to_thread(record, url)


if __name__ == "__main__":
    asyncio.run(main())
