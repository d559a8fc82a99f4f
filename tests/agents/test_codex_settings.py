"""Whose settings, hooks and servers count for Codex."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from podium.harness.codex_launch import CONFIG
from podium.kernel import events as e
from podium.kernel.nouns import McpServer, Permissions
from tests.agents.codex_driving import CodexBench
from tests.agents.driving import playing

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI


def test_settings_hooks_and_servers_of_the_user_and_the_repository_are_off(codex: CodexBench) -> None:
    marks = []
    for name, folder in (("user", codex.user), ("repository", codex.workspace / ".codex")):
        folder.mkdir(exist_ok=True)
        config = folder / "config.toml"
        old = config.read_text() if config.exists() else ""
        marks += [codex.folder / f"{name}-mcp", codex.folder / f"{name}-hook"]
        config.write_text(f'{old}\n[mcp_servers.x]\ncommand = "touch"\nargs = ["{marks[-2]}"]\n')
        hook = {"hooks": [{"type": "command", "command": f"touch {marks[-1]}"}]}
        hooks = {"SessionStart": [hook], "UserPromptSubmit": [hook]}
        (folder / "hooks.json").write_text(json.dumps({"hooks": hooks}))
    for permissions in Permissions:
        ended = codex.run(playing({"say": "Quiet."}), permissions=permissions)
        assert ended.outcome.succeeded, ended.outcome
    assert [mark for mark in marks if mark.exists()] == []


def test_a_file_of_the_repository_counts_when_its_content_is_trusted(codex: CodexBench) -> None:
    mark = codex.folder / "mark"
    trusted = f'sandbox_mode = "danger-full-access"\n[mcp_servers.x]\ncommand = "touch"\nargs = ["{mark}"]\n'
    codex.run(playing({"say": "Quiet."}), trusted={CONFIG: trusted.encode()})
    assert mark.exists()


def test_the_agents_own_servers_work_and_their_secrets_stand_in_no_argument(codex: CodexBench) -> None:
    server = McpServer(name="board", argv=(sys.executable, str(Path(__file__).with_name("mcp_server.py"))))
    call = {"tool": "mcp", "input": {"server": "board", "tool": "whisper", "input": {}}}
    for model in ("", "some-model-of-mine"):
        ended = codex.run(
            playing({"calls": [call]}, {"say": "Told."}),
            mcp_servers=(server,),
            server_secrets={"board": {"BOARD_TOKEN": "very-secret"}},
            model=model,
        )
        assert ended.said == ["Told."], ended.outcome
        assert [fact.name for fact in ended.of(e.RunToolCalled)] == ["mcp__board__whisper"]
        assert [fact.output for fact in ended.of(e.RunToolReturned)] == ["11 characters"]
        assert not any("very-secret" in word for word in ended.plan.argv)
        assert not any(b"very-secret" in frame for frame in [*ended.frames, ended.plan.first_input])
