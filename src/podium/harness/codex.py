"""Codex: the codec of its app-server's protocol in both directions.

Judged by a turn's status and the class of its error, never by text. How it is started stands in
`codex_launch`, the lines in `codex_wire`, what its frames tell in `codex_notices` and `codex_frames`, what it
asks in `codex_asks`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

from msgspec.structs import replace

from podium.harness import codex_wire as wire
from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest, Line, Reply, Said
from podium.harness.codex_asks import answer_line, refusal_line
from podium.harness.codex_launch import CONFIG, plan_of
from podium.harness.codex_notices import Told, told_of
from podium.harness.codex_records import conversation_id
from podium.harness.codex_state import GIVE_UP, CodexState, finished
from podium.harness.common import Voice, as_text, bounded, json_object, silent_end
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import MessageId, kind_of
from podium.kernel.nouns import Agent, Outcome, Reason
from podium.kernel.session import Mode

OPTIONS = ("effort", "program", "web_search")


class Codex:
    """Options: `program` (path of the CLI; default: `codex` on PATH), `effort` (how long the model reasons),
    `web_search` (disabled, cached or live)."""

    name: ClassVar[str] = "codex"
    joins_said: ClassVar[bool] = False
    modes: ClassVar[tuple[Mode, ...]] = (Mode.STEER, Mode.QUEUE, Mode.INTERRUPT, Mode.MODEL)
    config_files: ClassVar[tuple[str, ...]] = (CONFIG,)
    resumes: ClassVar[bool] = True
    forks: ClassVar[bool] = True
    State = CodexState

    def __init__(self, about: About) -> None:
        self._voice = Voice(about)

    @classmethod
    def validate(cls, agent: Agent) -> None:
        unknown = set(agent.options) - set(OPTIONS)
        if unknown:
            raise InvalidRequest(
                f"the codex harness has no option {min(unknown)!r}", hint=f"it has: {', '.join(OPTIONS)}"
            )
        if agent.options.get("web_search", "disabled") not in ("disabled", "cached", "live"):
            raise InvalidRequest("web_search is disabled, cached or live")

    def launch(self, request: LaunchRequest) -> LaunchPlan:
        return plan_of(request)

    def begin(self) -> CodexState:
        return CodexState()

    # ---- from the agent ------------------------------------------------------------------------------

    def decode(self, state: CodexState, frame: Frame) -> Told:
        said = json_object(frame.data)
        if said is None:
            return state, (self._voice.noticed("undecodable", as_text(frame.data[:500])),)
        method, found = said.get("method"), said.get("id")
        if isinstance(method, str):
            given = said.get("params")
            params = given if isinstance(given, dict) else {}
            request_id = found if isinstance(found, int | str) and not isinstance(found, bool) else None
            return told_of(state, self._voice, method, params, request_id)
        if isinstance(found, str) and ("result" in said or "error" in said):
            return self._answered(state, found, said)
        if found is not None:
            return state, ()
        return state, (self._voice.noticed("unknown_frame", bounded(str(said.get("type")), 100)),)

    def _answered(self, state: CodexState, key: str, said: dict[str, Any]) -> Told:
        """The response to a line of ours."""
        given, error = said.get("result"), said.get("error")
        result = given if isinstance(given, dict) else {}
        if key.startswith(f"{wire.OPEN}:") and not state.opened:
            return self._opened(state, key, result, error)
        if key == wire.INITIALIZE and error is not None:
            return self._refused(state, error)
        if key == wire.PROMPT and state.prompt:
            return self._refused(state, error) if error is not None else (_in_turn(state, result), ())
        if key.startswith(wire.CLEAN):
            return replace(state, clean=""), ()
        if key.startswith(wire.MODEL):
            return self._model_answered(state, MessageId(key.removeprefix(wire.MODEL)), error)
        if kind_of(key) == "message" and key not in state.done:
            return self._message_answered(state, MessageId(key), result, error)
        return state, ()

    def _opened(self, state: CodexState, key: str, result: dict[str, Any], error: Any) -> Told:
        thread = result.get("thread")
        thread_id = conversation_id(thread.get("id")) if isinstance(thread, dict) else None
        if error is not None or thread_id is None:
            return self._refused(state, error)
        params = wire.unpack(key.partition(":")[2])
        packed = key.partition(":")[2] if params else ""
        cwd = result.get("cwd")
        state = replace(
            state,
            thread_id=thread_id,
            opened=True,
            prompt=packed,
            answers="outputSchema" in params,
            cwd=cwd[:4096] if isinstance(cwd, str) else "",
        )
        return state, (self._voice.session(thread_id),)

    def _refused(self, state: CodexState, error: Any) -> Told:
        """The conversation could not be opened, or its first turn not begun."""
        why = error.get("message") if isinstance(error, dict) else None
        detail = bounded(str(why or "the program did not open the conversation"), 2_000)
        outcome = Outcome(succeeded=False, reason=Reason.LAUNCH_FAILED, detail=detail)
        return replace(state, busy=False, opened=True, prompt="", outcome=outcome), ()

    def _message_answered(
        self, state: CodexState, message_id: MessageId, result: dict[str, Any], error: Any
    ) -> Told:
        voice = self._voice
        if error is not None:
            why = error.get("message") if isinstance(error, dict) else ""
            dropped = voice.message_dropped(message_id)
            return finished(state, message_id), (voice.noticed("message_dropped", str(why)), dropped)
        if isinstance(result.get("turn"), dict):
            return _in_turn(state, result), ()
        # The interrupt that a message without words is: its turn ends after this, or has just ended.
        state = finished(state, message_id)
        facts = (voice.message_started(message_id), voice.message_completed(message_id))
        if state.busy:
            return replace(state, halting=True), facts
        return replace(state, halted=True), (*facts, voice.paused("message"))

    def _model_answered(self, state: CodexState, message_id: MessageId, error: Any) -> Told:
        if kind_of(message_id) != "message" or message_id in state.done:
            return state, ()
        state, voice = finished(state, message_id), self._voice
        if error is not None:
            why = error.get("message") if isinstance(error, dict) else ""
            return state, (voice.message_dropped(message_id, str(why)),)
        return state, (voice.message_started(message_id), voice.message_completed(message_id))

    # ---- to the agent --------------------------------------------------------------------------------

    def due(self, state: CodexState) -> Sequence[Line]:
        lines = [refusal_line(strange) for strange in state.strange]
        if state.prompt:
            params = {"threadId": state.thread_id, **wire.unpack(state.prompt)}
            lines.append(wire.request(wire.PROMPT, "turn/start", params))
        if state.unanswered >= GIVE_UP and state.turn_id:
            lines.append(wire.request(wire.ABANDON + state.turn_id, "turn/interrupt", _running(state)))
        if state.clean:
            params = {"threadId": state.thread_id}
            lines.append(wire.request(wire.CLEAN + state.clean, "thread/backgroundTerminals/clean", params))
        return lines

    def say(self, state: CodexState, said: Said, sent: Collection[str]) -> Sequence[Line] | None:
        if state.thread_id is None:
            return None
        if said.mode is Mode.MODEL:
            return [wire.model_request(said.id, state.thread_id, said.text)]
        if said.mode is Mode.QUEUE and (state.busy or _owes(state, sent)):
            return None
        lines: list[Line] = []
        if said.mode is Mode.INTERRUPT and (state.busy or not said.text):
            key = f"{wire.STOP}{said.id}" if said.text else said.id
            lines.append(wire.request(key, "turn/interrupt", _running(state)))
        if said.text:
            params = {"threadId": state.thread_id, **wire.turn_params(said.text, said.id)}
            lines.append(wire.request(said.id, "turn/start", params))
        return lines

    def answer(self, state: CodexState, reply: Reply) -> Line | None:
        found = next((ask for ask in state.asks if ask.token == reply.reply_token), None)
        return None if found is None else answer_line(found, reply)

    def key_of(self, line: bytes) -> str:
        return wire.key_of(line)

    def waits(self, state: CodexState, sent: Collection[str]) -> Literal["", "permission", "message"]:
        if any(wire.answer_key(ask.id) not in sent for ask in state.asks):
            return "permission"
        return "message" if state.halted else ""

    def is_over(self, state: CodexState, sent: Collection[str]) -> bool:
        if _goes_on(state) or state.halted:
            return False
        return not _owes(state, sent)

    def outcome(self, state: CodexState, exit: Exit) -> Outcome:
        if state.outcome is None or _goes_on(state):
            # Told to end it ends with 0, in the middle of whatever it does; by itself it never ends there.
            return silent_end(exit, from_outside=exit.code == 0)
        structured = _structured(state.answer) if state.answers and state.outcome.succeeded else None
        return replace(state.outcome, exit_code=exit.code, structured=structured)

    def was_deaf(self, state: CodexState, sent: Collection[str]) -> bool:
        """At the end of its input it ends at once, whatever it has asked."""
        return False

    def interrupt(self, state: CodexState) -> bytes | None:
        if state.thread_id is None:
            return None
        return wire.request(wire.CANCEL, "turn/interrupt", _running(state)).data


def _goes_on(state: CodexState) -> bool:
    """A turn runs, or one of a sub-agent although the agent itself is content."""
    return state.outcome is None or state.busy or (state.outcome.succeeded and bool(state.working))


def _owes(state: CodexState, sent: Collection[str]) -> bool:
    """A message stands in its input that it has not done with, or not even begun."""
    left = [key for key in sent if kind_of(key) == "message" and key not in state.done]
    return len(left) > state.forgotten


def _running(state: CodexState) -> dict[str, Any]:
    """The turn to interrupt; an empty id means whichever there is."""
    return {"threadId": state.thread_id, "turnId": state.turn_id}


def _in_turn(state: CodexState, result: dict[str, Any]) -> CodexState:
    """A turn takes what was said: the one that runs, or a new one."""
    turn = result.get("turn")
    turn_id = turn.get("id") if isinstance(turn, dict) else None
    known = str(turn_id)[:100] if isinstance(turn_id, str) else ""
    return replace(state, prompt="", busy=True, turn_id=state.turn_id or known)


def _structured(answer: str) -> Any:
    """The last words as JSON data; None when they are none."""
    found = json_object(b'{"it":' + answer.encode("utf-8", "replace") + b"}")
    return None if found is None or set(found) != {"it"} else found["it"]
