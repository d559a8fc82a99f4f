"""Drives the real Codex as the worker does; its state is stored and read again at every frame."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest, Line, Partial, Reply, Said
from podium.harness.codex import Codex
from podium.kernel import events as e
from podium.kernel.ids import MessageId, RunId, TaskId, make_from_number
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Agent, Permissions
from podium.kernel.session import Mode
from tests.agents.driving import Ended

RUN_TIMEOUT_S = 20

CONFIG = """model_provider = "sim"
[model_providers.sim]
name = "sim"
base_url = "{url}/v1"
env_key = "SIM_API_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1
"""


class CodexEnded(Ended):
    """What one run left."""

    @property
    def conversation(self) -> str:
        """As it was told last."""
        return self.of(e.RunSessionKnown)[-1].conversation_id


def message_id(number: int) -> MessageId:
    return MessageId(make_from_number("message", number))


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """The launcher and the program that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Talk:
    """A run under way: what a person can do about it."""

    def __init__(self, harness: Codex, plan: LaunchPlan, process: subprocess.Popen[bytes]) -> None:
        self._harness, self._process = harness, process
        self.state: Any = harness.begin()
        lines = plan.first_input.splitlines()
        self.sent = {key for line in lines if (key := harness.key_of(line))}
        self.facts: list[e.RunFact] = []
        self.partials: list[Partial] = []
        self._said: list[Said] = []
        self._replies: list[Reply] = []
        self.closed = False

    def say(self, number: int, text: str, mode: Mode = Mode.STEER) -> None:
        self._said.append(Said(id=message_id(number), text=text, mode=mode))

    def answer(self, asked: e.RunAsked, decision: Decision) -> None:
        self._replies.append(Reply(reply_token=asked.reply_token, decision=decision))

    def interrupt(self) -> None:
        line = self._harness.interrupt(self.state)
        assert line is not None
        self._write(line)

    def kill(self) -> None:
        kill_all(self._process)

    def terminate(self) -> None:
        self._process.terminate()

    def take(self, data: bytes) -> list[e.RunFact]:
        state, told = self._harness.decode(self.state, Frame(data=data))
        self.state = msgspec.json.decode(msgspec.json.encode(state), type=self._harness.State)
        facts = [one for one in told if not isinstance(one, Partial)]
        self.partials += [one for one in told if isinstance(one, Partial)]
        self.facts += facts
        return facts

    def speak(self) -> None:
        for line in self._harness.due(self.state):
            self._once(line)
        for reply in self._replies:
            answer = self._harness.answer(self.state, reply)
            if answer is not None:
                self._once(answer)
        self._replies.clear()
        for said in list(self._said):
            lines = None if self.closed else self._harness.say(self.state, said, self.sent)
            if lines is not None:
                assert lines[-1].key == said.id
                for line in lines:
                    self._once(line)
                self._said.remove(said)
        if not self.closed and not self._said and self._harness.is_over(self.state, self.sent):
            self.closed = True
            assert self._process.stdin is not None
            self._process.stdin.close()

    @property
    def waits(self) -> str:
        return self._harness.waits(self.state, self.sent)

    def _once(self, line: Line) -> None:
        assert self._harness.key_of(line.data) == line.key
        if line.key not in self.sent:
            self.sent.add(line.key)
            self._write(line.data)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data + b"\n")
        self._process.stdin.flush()


Do = Callable[[e.RunFact, Talk], None]


@dataclass
class CodexBench:
    """A workspace, a user with a configuration, and a model server for runs of the real program."""

    folder: Path
    program: Path
    url: str
    environ: dict[str, str] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    """Variables that only the program sees."""

    def __post_init__(self) -> None:
        self.workspace = self.folder / "workspace"
        self.workspace.mkdir()
        self.keep = self.folder / "keep"
        subprocess.run(["git", "init", "-q", str(self.workspace)], check=True)
        self.user = self.folder / "home" / ".codex"
        self.user.mkdir(parents=True)
        (self.user / "config.toml").write_text(CONFIG.format(url=self.url))
        self.environ = {
            "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "HOME": str(self.folder / "home"),
            "SIM_API_KEY": "dummy",
        }

    def request(self, prompt: str, *, run: str = "run_golden", **more: Any) -> LaunchRequest:
        names = ("permissions", "instructions", "model", "login", "mcp_servers", "options")
        fields = {name: more.pop(name) for name in names if name in more}
        options = {"program": str(self.program), **fields.pop("options", {})}
        agent = Agent(name="codex", harness="codex", options=options, **fields)
        about = About(task_id=TaskId("task_golden"), run_id=RunId(run))
        return LaunchRequest(
            about=about,
            agent=agent,
            prompt=prompt,
            workspace=self.workspace,
            files_dir=self.folder,
            keep_dir=self.keep,
            environ=self.environ,
            **more,
        )

    def run(
        self,
        prompt: str,
        *,
        do: Do = lambda fact, talk: None,
        decision: Decision | None = Decision.DENY,
        permissions: Permissions = Permissions.EDIT,
        **more: Any,
    ) -> CodexEnded:
        """One run to its end. `do` sees every event; whatever the agent asks is answered with `decision`."""
        request = self.request(prompt, permissions=permissions, **more)
        harness = Codex(request.about)
        plan = harness.launch(request)
        for name, target in plan.links.items():
            if not Path(name).is_symlink():
                Path(name).symlink_to(target)
        return self._play(harness, plan, do, decision)

    def _play(self, harness: Codex, plan: LaunchPlan, do: Do, decision: Decision | None) -> CodexEnded:
        process = self._start(plan)
        assert process.stdout is not None
        deadline = threading.Timer(RUN_TIMEOUT_S, kill_all, [process])
        deadline.start()
        talk = Talk(harness, plan, process)
        frames: list[bytes] = []
        try:
            for line in process.stdout:
                frames.append(line.rstrip(b"\n"))
                for fact in talk.take(frames[-1]):
                    if isinstance(fact, e.RunAsked) and decision is not None:
                        talk.answer(fact, decision)
                    do(fact, talk)
                if process.poll() is None:
                    talk.speak()
            code = process.wait()
        except BrokenPipeError:
            code = process.wait()
        finally:
            deadline.cancel()
            kill_all(process)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        stderr = (self.folder / "stderr").read_bytes()
        outcome = harness.outcome(talk.state, Exit(code=code, stderr=stderr))
        return CodexEnded(outcome=outcome, facts=talk.facts, frames=frames, plan=plan)

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
                start_new_session=True,
            )
        assert process.stdin is not None
        process.stdin.write(plan.first_input)
        process.stdin.flush()
        return process


def saying(ended: Ended, kind: type[e.RunFact]) -> list[str]:
    """The messages of events of a kind."""
    return [getattr(fact, "message_id", "") for fact in ended.facts if isinstance(fact, kind)]
