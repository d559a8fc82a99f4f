"""Any program as an agent: its lines are what it says, its exit code is how it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec
from msgspec import Struct

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest, Line, Reply, Said
from podium.harness.common import Voice, as_text, silent_end
from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest
from podium.kernel.nouns import Agent, Outcome, Reason
from podium.kernel.session import Mode

_HINT = """give its words as JSON, e.g. argv='["ruff", "check", "{workspace}"]'; {prompt} is filled in too"""


class CommandState(Struct, frozen=True, kw_only=True):
    """Nothing to remember: every line stands for itself."""


class CommandHarness:
    """Options: `argv`, a JSON list of words. `{prompt}` and `{workspace}` in a word are replaced by the
    value, which is never split again and never sees a shell. stdin is closed."""

    name: ClassVar[str] = "command"
    joins_said: ClassVar[bool] = True
    modes: ClassVar[tuple[Mode, ...]] = ()
    config_files: ClassVar[tuple[str, ...]] = ()
    resumes: ClassVar[bool] = False
    forks: ClassVar[bool] = False
    State = CommandState

    def __init__(self, about: About) -> None:
        self._voice = Voice(about)

    @classmethod
    def validate(cls, agent: Agent) -> None:
        unknown = set(agent.options) - {"argv"}
        if unknown:
            raise InvalidRequest(f"the command harness has no option {min(unknown)!r}", hint="it has: argv")
        _argv_of(agent)

    def launch(self, request: LaunchRequest) -> LaunchPlan:
        words = _argv_of(request.agent)
        if "\0" in request.prompt:
            raise InvalidRequest("a prompt for a command cannot hold NUL")
        prompt = (
            f"{request.agent.instructions}\n\n{request.prompt}"
            if request.agent.instructions
            else request.prompt
        )
        filled = (
            word.replace("{workspace}", str(request.workspace)).replace("{prompt}", prompt) for word in words
        )
        return LaunchPlan(argv=tuple(filled), close_stdin=True)

    def begin(self) -> CommandState:
        return CommandState()

    def decode(self, state: CommandState, frame: Frame) -> tuple[CommandState, Sequence[e.RunFact]]:
        return state, (self._voice.said(as_text(frame.data).rstrip("\r")),)

    def due(self, state: CommandState) -> Sequence[Line]:
        return ()

    def say(self, state: CommandState, said: Said, sent: Collection[str]) -> Sequence[Line] | None:
        return None

    def answer(self, state: CommandState, reply: Reply) -> Line | None:
        return None

    def key_of(self, line: bytes) -> str:
        return ""

    def waits(self, state: CommandState, sent: Collection[str]) -> Literal["", "permission", "message"]:
        return ""

    def was_deaf(self, state: CommandState, sent: Collection[str]) -> bool:
        return False  # it ends without a result

    def is_over(self, state: CommandState, sent: Collection[str]) -> bool:
        return False

    def outcome(self, state: CommandState, exit: Exit) -> Outcome:
        if exit.code == 0:
            return Outcome(succeeded=True, reason=Reason.COMPLETED, exit_code=0)
        ended = silent_end(exit)
        if ended.reason is Reason.NO_RESULT:
            return msgspec.structs.replace(ended, reason=Reason.AGENT_FAILED)
        return ended

    def interrupt(self, state: CommandState) -> bytes | None:
        return None


def _argv_of(agent: Agent) -> list[str]:
    try:
        words = msgspec.json.decode(agent.options.get("argv", ""), type=list[str])
    except msgspec.MsgspecError as error:
        raise InvalidRequest("the option argv is no list of words", hint=_HINT) from error
    if not words or not words[0]:
        raise InvalidRequest("the option argv is empty", hint=_HINT)
    if any("\0" in word for word in words):
        raise InvalidRequest("the option argv holds a NUL character", hint=_HINT)
    return words
