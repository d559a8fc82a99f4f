"""`PYTHONPATH=src python -m tests.agents.record`: record the golden transcripts anew, from the real programs.

Run it when the pinned version of a CLI changes, and read the difference before committing it: the second
file of a golden says what the transcript is decoded to now.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from podium.harness.base import LaunchPlan, LaunchRequest
from podium.harness.scripted import Scripted
from podium.kernel import events as e
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Permissions
from podium.testing import harness_conformance as conformance
from podium.testing.model_server.server import ModelServer
from tests.agents import cli
from tests.agents.driving import Bench, Ended, playing, shell

READ = {"tool": "read", "input": {"path": "add.py"}}
EDIT = {"tool": "edit", "input": {"path": "add.py", "old": "a - b", "new": "a + b"}}
WHERE = "/home/dev/run"
"""Stands for the directory of the recording."""

Play = Callable[[Bench], Ended]


def killed(bench: Bench) -> Ended:
    return bench.run(
        playing({"calls": [READ]}, {"delay_ms": 3000, "calls": [EDIT]}),
        at=lambda fact: isinstance(fact, e.RunToolReturned),
        do="kill",
    )


def interrupted(bench: Bench) -> Ended:
    bench.environ["IS_SANDBOX"] = "1"
    wait = shell("python3 -c 'import signal; signal.pause()'")
    return bench.run(
        playing({"calls": [wait]}),
        permissions=Permissions.FULL,
        at=lambda fact: isinstance(fact, e.RunToolCalled),
        do="interrupt",
    )


def resumed(bench: Bench) -> Ended:
    first = bench.run(playing({"say": "One."}))
    return bench.run(playing({"say": "Two."}), run="run_2", session=first.plan.conversation_id)


def subagent(bench: Bench) -> Ended:
    inner = playing({"calls": [READ]}, {"say": "Seen."}).replace("```", "~~~")
    call = {"tool": "agent", "input": {"prompt": inner}}
    return bench.run(playing({"calls": [call]}, {"say": "Done."}))


def asked(bench: Bench) -> Ended:
    turns = ({"calls": [READ]}, {"calls": [EDIT]}, {"calls": [shell("touch made")]}, {"say": "Asked."})
    return bench.run(playing(*turns), permissions=Permissions.ASK, decision=Decision.ALLOW)


def plain(*turns: dict[str, Any], checks: tuple[tuple[str, ...], ...] = ()) -> Play:
    return lambda bench: bench.run(playing(*turns), checks=checks)


CLAUDE: dict[str, Play] = {
    "edit": plain(
        {"think": "Look.", "say": "Reading.", "calls": [READ]}, {"calls": [EDIT]}, {"say": "Mended."}
    ),
    "check_and_denied": plain(
        {"calls": [shell("python3 -m unittest"), shell("python3 -c 'print(1)'")]},
        {"say": "One ran."},
        checks=(("python3", "-m", "unittest"),),
    ),
    "asked": asked,
    "unauthorized": plain({"fail": {"status": 401}}),
    "rate_limited": plain({"fail": {"status": 429}}),
    "server_error": plain({"fail": {"status": 500}}),
    "overloaded_once": plain({"fail": {"status": 529, "times": 1}, "say": "At last."}),
    "interrupted": interrupted,
    "killed": killed,
    "resumed": resumed,
    "subagent": subagent,
}
SCRIPTED: dict[str, list[dict[str, Any]]] = {
    "edit_and_commit": [
        {"id": "a", "do": "say", "text": "Grüß Gott"},
        {"id": "b", "do": "edit", "path": "a.txt", "write": "x"},
        {"id": "c", "do": "run", "argv": ["cat", "a.txt"], "expect_code": 0},
        {"id": "d", "do": "usage", "input_tokens": 5, "output_tokens": 2, "cost_usd": 0.5},
    ],
    "failed": [{"id": "a", "do": "fail", "message": "no more", "error_class": "scripted"}],
    "floods": [
        {"id": "a", "do": "flood", "kind": "says", "lines": 3, "bytes_per_line": 10},
        {"id": "b", "do": "flood", "kind": "lines", "lines": 2, "bytes_per_line": 10},
        {"id": "c", "do": "flood", "kind": "deep_json", "depth": 2000},
    ],
}
COMMAND = "import sys; print('one'); sys.stdout.buffer.write(b'\\xff\\n'); print(); sys.exit({})"


def save(harness: str, name: str, frames: list[bytes], code: int | None) -> None:
    folder = conformance.TRANSCRIPTS / harness
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_bytes(b"".join(frame + b"\n" for frame in frames))
    golden = conformance.Golden(harness=harness, name=name, frames=frames)
    found = conformance.decode(golden, exit_code=code)
    (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    print(harness, name, len(frames), found.outcome.reason)


def scrubbed(frame: bytes, folder: Path) -> bytes:
    """Without what belongs to the machine of the recording."""
    text = frame.decode().replace(str(folder), WHERE).replace(str(folder).replace("/", "-"), "-home-dev-run")
    return re.sub(r'/tmp/claude-\d+/[^"]*', "/tmp/claude/x", text).encode()


def claude(url: str) -> None:
    for name, play in CLAUDE.items():
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), cli.claude(), url)
            (bench.workspace / "add.py").write_text("def add(a, b):\n    return a - b\n")
            ended = play(bench)
            frames = [scrubbed(frame, bench.folder) for frame in ended.frames]
            save("claude_code", name, frames, ended.outcome.exit_code)


def scripted() -> None:
    for name, steps in SCRIPTED.items():
        with tempfile.TemporaryDirectory() as folder:
            request = LaunchRequest(
                about=conformance.ABOUT,
                agent=Agent(name="s", harness="scripted"),
                prompt=json.dumps({"steps": steps}),
                workspace=Path(folder),
                files_dir=Path(folder),
                keep_dir=Path(folder),
            )
            plan = Scripted(conformance.ABOUT).launch(request)
            save("scripted", name, *played(plan, Path(folder)))


def played(plan: LaunchPlan, folder: Path) -> tuple[list[bytes], int]:
    for name, content in plan.files.items():
        (folder / name).write_bytes(content)
    source = str(Path(__file__).resolve().parents[2] / "src")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": source, **plan.env}
    with subprocess.Popen(
        plan.argv, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        frames = [line.rstrip(b"\n") for line in process.stdout]
        return frames, process.wait()


async def main() -> None:
    root = Path(__file__).resolve().parents[2]
    if not conformance.TRANSCRIPTS.is_relative_to(root):
        sys.exit(f"podium is imported from another checkout ({conformance.TRANSCRIPTS}): set PYTHONPATH=src")
    scripted()
    for code in (0, 3):
        done = subprocess.run([sys.executable, "-c", COMMAND.format(code)], capture_output=True)
        save("command", f"exit_{code}", done.stdout.splitlines(), done.returncode)
    async with ModelServer().listening() as url:
        await asyncio.to_thread(claude, url)


if __name__ == "__main__":
    asyncio.run(main())
