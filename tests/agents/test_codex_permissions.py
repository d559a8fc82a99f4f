"""What Codex may do unasked, and what it asks: exactly."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from podium.kernel import events as e
from podium.kernel.inquiry import Decision, EffectKind
from podium.kernel.nouns import Permissions
from podium.local.sandboxes import sandbox_of
from tests.agents.codex_driving import CodexBench
from tests.agents.driving import escalated, playing, shell
from tests.agents.test_codex import CLASSIC, write

pytestmark = pytest.mark.timeout(900)  # the first test may have to install the CLI


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("model", [CLASSIC, "some-model-of-mine"])
def test_what_leaves_the_sandbox_is_asked_with_its_exact_command(
    codex: CodexBench, model: str, decision: Decision
) -> None:
    outside = codex.folder / "outside.txt"
    ended = codex.run(
        playing({"calls": [escalated(f"touch {outside}")]}, {"say": "So be it."}),
        decision=decision,
        model=model,
    )
    assert ended.outcome.succeeded, ended.outcome
    [asked] = ended.of(e.RunAsked)
    assert (asked.effect.kind, asked.effect.command) == (EffectKind.COMMAND, f"touch {outside}")
    assert (asked.effect.cwd, asked.why) == (str(codex.workspace), "It must be.")
    assert outside.exists() is (decision is Decision.ALLOW)
    assert ended.said == ["So be it."]


def apart(request: pytest.FixtureRequest) -> Path:
    held = tempfile.TemporaryDirectory(dir="/var/tmp")
    request.addfinalizer(held.cleanup)
    return Path(held.name)


def test_the_sandbox_lets_no_command_and_no_edit_out_of_the_workspace_unasked(
    codex: CodexBench, request: pytest.FixtureRequest
) -> None:
    # The sandbox leaves the directories for temporary files open, and there the tests' own ones are.
    place = apart(request)
    outside, patched = place / "outside.txt", place / "patched.txt"
    calls = [shell(f"touch {outside}; echo $? > code"), write(str(patched))]
    ended = codex.run(playing({"calls": calls}, {"say": "No."}), model=CLASSIC)
    assert (codex.workspace / "code").read_text() == "1\n"
    assert not outside.exists()
    assert not patched.exists()
    [asked] = ended.of(e.RunAsked)
    assert (asked.effect.kind, asked.effect.paths) == (EffectKind.EDIT, (str(patched),))
    assert "+x\n" in asked.effect.diff


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is of Linux")
@pytest.mark.parametrize("on_path", [False, True])
def test_doctor_and_the_program_find_the_same_sandbox(
    codex: CodexBench, request: pytest.FixtureRequest, on_path: bool
) -> None:
    launcher, own = str(codex.program), codex.environ["PATH"].split(":")
    codex.environ["PATH"] = ":".join(one for one in own if not Path(one, "bwrap").exists())
    bundled = sandbox_of(launcher, codex.environ)
    if on_path:
        # One in a directory for temporary files is not trusted.
        bwrap = apart(request) / "bwrap"
        bwrap.write_text(f'#!/bin/sh\nexec {bundled.path} "$@"\n')
        bwrap.chmod(0o755)
        codex.environ["PATH"] += f":{bwrap.parent}"
    ended = codex.run(playing({"calls": [shell("echo made > made.txt")]}, {"say": "Made."}))
    warned = [fact.text for fact in ended.of(e.RunNoticed) if "bubblewrap" in fact.text]
    sandbox = sandbox_of(launcher, codex.environ)
    assert (sandbox.whose, bool(warned)) == (("system", False) if on_path else ("bundled", True))
    assert (codex.workspace / "made.txt").exists() is (not sandbox.refused)


@pytest.mark.parametrize("decision", list(Decision))
def test_with_ask_every_command_and_every_edit_is_asked(codex: CodexBench, decision: Decision) -> None:
    calls = [shell("ls"), shell("touch made.txt"), write("patched.txt")]
    ended = codex.run(
        playing({"calls": calls}, {"say": "Asked."}),
        permissions=Permissions.ASK,
        decision=decision,
        model=CLASSIC,
    )
    assert ended.said == ["Asked."], ended.outcome
    kinds = [asked.effect.kind for asked in ended.of(e.RunAsked)]
    assert sorted(kinds) == ["command", "command", "edit"]
    allowed = decision is Decision.ALLOW
    for name in ("made.txt", "patched.txt"):
        assert (codex.workspace / name).exists() is allowed
    assert [fact.is_error for fact in ended.of(e.RunToolReturned)] == [not allowed] * 3


@pytest.mark.parametrize("model", [CLASSIC, "", "some-model-of-mine"])
@pytest.mark.parametrize("decision", list(Decision))
def test_with_ask_what_may_leave_the_sandbox_runs_outside_however_long_it_takes(
    codex: CodexBench, model: str, decision: Decision
) -> None:
    """What does not ask for that runs inside, and outside only when it fails within an instant."""
    ended = codex.run(
        playing({"calls": [escalated("sleep 1; echo made >> made.txt")]}, {"say": "Asked."}),
        permissions=Permissions.ASK,
        decision=decision,
        model=model,
    )
    [asked] = ended.of(e.RunAsked)
    assert (asked.effect.command, asked.why) == ("sleep 1; echo made >> made.txt", "It must be.")
    made = codex.workspace / "made.txt"
    assert (made.read_text() if made.exists() else "") == ("made\n" if decision is Decision.ALLOW else "")


def test_with_ask_an_allowed_command_that_stays_in_the_sandbox_writes_nothing_later_on(
    codex: CodexBench,
) -> None:
    """And what is typed into it writes nothing either: the program does not ask about that."""
    command = "sleep 1; echo made > made.txt"
    ended = codex.run(
        playing({"calls": [shell(command)]}, {"say": "Asked."}),
        permissions=Permissions.ASK,
        decision=Decision.ALLOW,
        model=CLASSIC,
    )
    assert [asked.effect.command for asked in ended.of(e.RunAsked)] == [command]
    assert "Read-only" in ended.of(e.RunToolReturned)[0].output
    assert not (codex.workspace / "made.txt").exists()


def test_full_permissions_run_any_command_unasked(codex: CodexBench) -> None:
    outside = codex.folder / "outside.txt"
    ended = codex.run(
        playing({"calls": [shell(f"touch {outside}")]}, {"say": "Made."}), permissions=Permissions.FULL
    )
    assert ended.outcome.succeeded
    assert outside.exists()
    assert ended.of(e.RunAsked) == []
