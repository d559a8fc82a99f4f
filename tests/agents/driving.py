"""Drives a real CLI as the worker does: a harness's plan as a process, its lines decoded as they come."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest, Partial, Reply
from podium.harness.claude_code import ClaudeCode
from podium.kernel import events as e
from podium.kernel.ids import RunId, TaskId
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Check, Outcome, Permissions, Usage
from tests.support import eventually

RUN_TIMEOUT_S = 90
"""Cold starts on a loaded machine take seconds; the time is a limit, not a measurement."""
Told = TypeVar("Told", bound=e.RunFact)


@dataclass
class Ended:
    """What one run left."""

    outcome: Outcome
    facts: list[e.RunFact]
    frames: list[bytes]
    plan: LaunchPlan

    def of(self, kind: type[Told]) -> list[Told]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def said(self) -> list[str]:
        return [fact.text for fact in self.of(e.RunSaid)]

    @property
    def notices(self) -> list[str]:
        return [fact.kind for fact in self.of(e.RunNoticed)]

    @property
    def usage(self) -> Usage:
        total = Usage()
        for fact in self.of(e.RunUsed):
            total = total.plus(fact.usage)
        return total


@dataclass
class Bench:
    """A workspace, a configuration directory and a model server for runs of the real CLI."""

    folder: Path
    program: Path
    url: str
    environ: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    """Variables that only the program sees."""

    def __post_init__(self) -> None:
        self.workspace = self.folder / "workspace"
        self.workspace.mkdir()
        (self.folder / "home").mkdir()
        self.environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "CLAUDE_CONFIG_DIR": str(self.folder / "config"),
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "sk-ant-dummy-0000",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        }

    def run(
        self,
        prompt: str,
        *,
        run: str = "run_golden",
        session: str | None = None,
        checks: Sequence[tuple[str, ...]] = (),
        permissions: Permissions = Permissions.EDIT,
        instructions: str = "",
        at: Callable[[e.RunFact], bool] | None = None,
        do: str = "",
        decision: Decision = Decision.DENY,
        options: Mapping[str, str] | None = None,
        login: str = "user",
        secret: str | None = None,
    ) -> Ended:
        """One run to its end. When `at` is true of an event, `do` happens: `kill`, `terminate` or
        `interrupt`. Whatever the agent asks is answered with `decision` at once."""
        about = About(task_id=TaskId("task_1"), run_id=RunId(run))
        harness = ClaudeCode(about)
        agent = Agent(
            name="claude",
            harness="claude_code",
            instructions=instructions,
            options={"program": str(self.program), **(options or {})},
            permissions=permissions,
            login=login,
        )
        plan = harness.launch(
            LaunchRequest(
                about=about,
                agent=agent,
                prompt=prompt,
                workspace=self.workspace,
                files_dir=self.folder,
                keep_dir=self.folder,
                conversation_id=session,
                checks=tuple(Check(name=f"c{n}", argv=argv) for n, argv in enumerate(checks)),
                environ=self.environ,
                secret=secret,
            )
        )
        return self._play(harness, plan, at, do, decision)

    def _play(
        self,
        harness: ClaudeCode,
        plan: LaunchPlan,
        at: Callable[[e.RunFact], bool] | None,
        do: str,
        decision: Decision,
    ) -> Ended:
        process = self._start(plan)
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = threading.Timer(RUN_TIMEOUT_S, process.kill)
        deadline.start()
        state = harness.begin()
        facts: list[e.RunFact] = []
        frames: list[bytes] = []
        try:
            for line in process.stdout:
                frames.append(line.rstrip(b"\n"))
                state, told = harness.decode(state, Frame(data=frames[-1]))
                more = [fact for fact in told if not isinstance(fact, Partial)]
                facts.extend(more)
                for asked in more:
                    if isinstance(asked, e.RunAsked):
                        reply = Reply(reply_token=asked.reply_token, decision=decision)
                        line = harness.answer(state, reply)
                        assert line is not None
                        process.stdin.write(line.data + b"\n")
                        process.stdin.flush()
                if at is not None and any(at(fact) for fact in more):
                    at = None
                    if do == "kill":
                        written_down(self.folder / "config", "tool_result")
                        process.kill()
                    elif do == "terminate":
                        process.terminate()
                    else:
                        process.stdin.write((harness.interrupt(state) or b"") + b"\n")
                        process.stdin.flush()
                if harness.is_over(state, ()) and not process.stdin.closed:
                    process.stdin.close()
            code = process.wait()
        finally:
            deadline.cancel()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                pipe.close()
        stderr = (self.folder / "stderr").read_bytes()
        return Ended(
            outcome=harness.outcome(state, Exit(code=code, stderr=stderr)),
            facts=facts,
            frames=frames,
            plan=plan,
        )

    def _start(self, plan: LaunchPlan) -> subprocess.Popen[bytes]:
        # A dead proxy: whatever wants to leave this machine fails at once.
        dead = "http://127.0.0.1:9"
        fixed = {"HTTP_PROXY": dead, "HTTPS_PROXY": dead, "NO_PROXY": "127.0.0.1,localhost"}
        with (self.folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                plan.argv,
                cwd=self.workspace,
                env={
                    "PATH": self.environ["PATH"],
                    "HOME": self.environ["HOME"],
                    **fixed,
                    **plan.env,
                    **self.extra,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        assert process.stdin is not None
        process.stdin.write(plan.first_input)
        process.stdin.flush()
        return process


def written_down(config: Path, word: str) -> None:
    """Wait until the CLI's own record of a conversation holds `word`: it writes a moment after it speaks, and
    what it has not written when it is killed it does again. Nothing tells us when, so this looks again."""
    eventually(
        lambda: any(word in path.read_text() for path in config.glob("projects/*/*.jsonl")), RUN_TIMEOUT_S
    )


def playing(*turns: dict[str, Any], words: str = "Do it.") -> str:
    """A prompt that carries its own script for the model server."""
    return f"{words}\n\n```model\n{json.dumps({'turns': turns})}\n```"


def shell(command: str) -> dict[str, Any]:
    return {"tool": "shell", "input": {"command": command}}


def escalated(command: str) -> dict[str, Any]:
    """Asks to leave Codex's sandbox. What writes has to, under `ask`: allowed or not, it runs in the sandbox
    first, which is read-only, and outside only when it has failed there in an instant."""
    given = {"command": command, "sandbox_permissions": "require_escalated", "justification": "It must be."}
    return {"tool": "shell", "input": given}
