"""The scripted agent that ships with Podium: real work, no model (`docs/reference/scripted-agent.md`)."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest, Line, Reply, Said
from podium.harness.common import Voice, as_text, json_object, silent_end
from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import MessageId
from podium.kernel.inquiry import EffectKind, effect_of
from podium.kernel.nouns import Agent, Outcome, Reason, Usage
from podium.kernel.session import Mode

_BLOCK = re.compile(r"```script\s*\n(.*?)```", re.DOTALL)
_PROGRAM = "podium.testing.scripted_agent"
MAX_KEPT = 500
LEFT_OFF = 75
"""Its exit code when stdin closed before the script ended: the session can go on."""
_REASONS = {"interrupted": Reason.INTERRUPTED}


class ScriptedState(Struct, frozen=True, kw_only=True):
    """The result, once said; the asks that are open; the messages that are done with."""

    asks: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    status: str | None = None
    message: str = ""
    error_class: str = ""


class Scripted:
    """The prompt holds the script in a ```script block, or is the script itself. Options: `journal`, the
    directory of its journals (default: one that this worker keeps)."""

    name: ClassVar[str] = "scripted"
    joins_said: ClassVar[bool] = False
    modes: ClassVar[tuple[Mode, ...]] = (Mode.STEER, Mode.QUEUE, Mode.INTERRUPT, Mode.MODEL)
    config_files: ClassVar[tuple[str, ...]] = ()
    resumes: ClassVar[bool] = True
    forks: ClassVar[bool] = False
    State = ScriptedState

    def __init__(self, about: About) -> None:
        self._about = about
        self._voice = Voice(about)

    @classmethod
    def validate(cls, agent: Agent) -> None:
        unknown = set(agent.options) - {"journal"}
        if unknown:
            raise InvalidRequest(
                f"the scripted harness has no option {min(unknown)!r}", hint="it has: journal"
            )

    def launch(self, request: LaunchRequest) -> LaunchPlan:
        block = _BLOCK.search(request.prompt)
        script = (block.group(1) if block else request.prompt).strip()
        if not script.startswith("{"):
            raise InvalidRequest("the prompt holds no script", hint="see docs/reference/scripted-agent.md")
        session = request.conversation_id or f"s-{self._about.run_id}"
        return LaunchPlan(
            # -P: a workspace that has a `podium` directory must not become the program.
            argv=(sys.executable, "-P", "-m", _PROGRAM, "--session", session),
            env={
                "PODIUM_SCRIPT": str(request.files_dir / "script.json"),
                "PODIUM_JOURNAL": request.agent.options.get("journal") or str(request.keep_dir / "scripted"),
            },
            files={"script.json": script.encode()},
            conversation_id=session,
        )

    def begin(self) -> ScriptedState:
        return ScriptedState()

    def decode(self, state: ScriptedState, frame: Frame) -> tuple[ScriptedState, Sequence[e.RunFact]]:
        said = json_object(frame.data)
        kind = said.get("type") if said is not None else None
        if said is None or not isinstance(kind, str):
            return state, (self._voice.noticed("undecodable", as_text(frame.data[:500])),)
        status = said.get("status")
        if kind == "result" and status in ("success", "failed"):
            message, error_class = _word(said, "message"), _word(said, "error_class")
            state = replace(state, status=status, message=message[:2000], error_class=error_class[:100])
            return state, (self._voice.said(message, final=True),)
        if kind in ("ask", "tool_return", "message"):
            return self._talk(kind, state, said)
        return state, (self._fact(kind, said),)

    def _talk(
        self, kind: str, state: ScriptedState, said: dict[str, Any]
    ) -> tuple[ScriptedState, Sequence[e.RunFact]]:
        name, voice = _word(said, "id")[:200], self._voice
        if kind == "ask":
            given = {"command": _word(said, "command")}
            effect = effect_of("run", EffectKind.COMMAND, given=given, cwd=_word(said, "cwd"), **given)
            asks = state.asks if name in state.asks else (*state.asks, name)[-MAX_KEPT:]
            return replace(state, asks=asks), (
                voice.asked(effect, name, why=_word(said, "why"), call_id=name),
            )
        if kind == "tool_return":
            asks = tuple(ask for ask in state.asks if ask != name)
            return replace(state, asks=asks), (self._fact(kind, said),)
        message_id = MessageId(name)
        if _word(said, "state") == "started":
            return state, (voice.message_started(message_id),)
        return replace(state, done=(*state.done, name)[-MAX_KEPT:]), (voice.message_completed(message_id),)

    def due(self, state: ScriptedState) -> Sequence[Line]:
        return ()

    def say(self, state: ScriptedState, said: Said, sent: Collection[str]) -> Sequence[Line] | None:
        # It listens when its script says so, and an interrupt ends the script.
        kind = str(said.mode) if said.mode in (Mode.INTERRUPT, Mode.MODEL) else "message"
        line = {"type": kind, "id": said.id, "text": said.text}
        return [Line(key=said.id, data=msgspec.json.encode(line))]

    def answer(self, state: ScriptedState, reply: Reply) -> Line | None:
        if reply.reply_token not in state.asks:
            return None
        line = {"type": "answer", "id": reply.reply_token, "decision": str(reply.decision)}
        return Line(key=f"answer:{reply.reply_token}", data=msgspec.json.encode(line))

    def key_of(self, line: bytes) -> str:
        said = json_object(line) or {}
        name = _word(said, "id")
        return f"answer:{name}" if said.get("type") == "answer" else name

    def waits(self, state: ScriptedState, sent: Collection[str]) -> Literal["", "permission", "message"]:
        return "permission" if any(f"answer:{ask}" not in sent for ask in state.asks) else ""

    def was_deaf(self, state: ScriptedState, sent: Collection[str]) -> bool:
        return False  # it ends without a result

    def is_over(self, state: ScriptedState, sent: Collection[str]) -> bool:
        # The script is what it does: a message that no step listens to is not waited for.
        return state.status is not None

    def outcome(self, state: ScriptedState, exit: Exit) -> Outcome:
        if state.status == "success":
            return Outcome(succeeded=True, reason=Reason.COMPLETED, exit_code=exit.code)
        if state.status == "failed":
            reason = _REASONS.get(state.error_class, Reason.AGENT_FAILED)
            return Outcome(succeeded=False, reason=reason, detail=state.message, exit_code=exit.code)
        if exit.code == LEFT_OFF:
            return Outcome(
                succeeded=False, reason=Reason.KILLED, detail="its input ended", exit_code=LEFT_OFF, lost=True
            )
        return silent_end(exit)

    def interrupt(self, state: ScriptedState) -> bytes | None:
        return b'{"type":"interrupt"}'

    def _fact(self, kind: str, said: dict[str, Any]) -> e.RunFact:
        voice = self._voice
        match kind:
            case "init":
                return voice.session(_word(said, "session"))
            case "say":
                return voice.said(_word(said, "text"))
            case "think":
                return voice.thought(_word(said, "text"))
            case "tool_call":
                return voice.called(_word(said, "id"), _word(said, "name"), said.get("input", {}))
            case "tool_return":
                failed = said.get("is_error") is True
                return voice.returned(_word(said, "id"), _word(said, "output"), is_error=failed)
            case "usage":
                return voice.used(_usage(said))
            case _:
                return voice.noticed("unknown_frame", kind[:100])


def _word(said: dict[str, Any], key: str) -> str:
    value = said.get(key, "")
    return value if isinstance(value, str) else ""


def _usage(said: dict[str, Any]) -> Usage:
    def count(key: str) -> int:
        value = said.get(key, 0)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0

    cost = said.get("cost_usd")
    known = isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost < 1e9
    return Usage(
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        cost_usd=float(cost) if known and cost is not None else None,
    )
