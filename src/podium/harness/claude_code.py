"""Claude Code: the codec of its stream-json in both directions, the control protocol included.

Judged by `is_error` and `terminal_reason` of its result, never by subtype or exit code. How it is started
stands in `claude_launch`, what its frames tell in `claude_frames`, what it asks in `claude_asks`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from podium.harness.base import About, Exit, Frame, LaunchPlan, LaunchRequest, Line, Partial, Reply, Said
from podium.harness.claude_asks import (
    answer_key,
    answer_line,
    effect_asked,
    interrupt_line,
    key_of_answer,
    model_line,
    refusal_line,
    why_asked,
)
from podium.harness.claude_frames import (
    Reading,
    is_result,
    partial_of,
    rejections_of,
    result_outcome,
    tool_results_of,
)
from podium.harness.claude_launch import (
    SERVERS,
    SETTINGS,
    as_text_for_model,
    conversation_id,
    plan_of,
    prompt_uuid,
)
from podium.harness.common import Voice, as_text, json_object, silent_end
from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest
from podium.kernel.ids import MessageId, kind_of
from podium.kernel.nouns import Agent, Outcome
from podium.kernel.session import Mode, message_of, uuid_of

MAX_ASKS = 200
CANCEL = "interrupt"
"""Request id of the interrupt that ends a run."""
STOP, HALT = "stop-", "halt-"
"""Request ids of a message's interrupt: something is said after it, or the agent then waits."""
MODEL = "model-"
"""Request ids of those that name another model."""


class PendingAsk(Struct, frozen=True, kw_only=True):
    """A tool call that waits for its answer, or runs since it was allowed."""

    token: str
    call_id: str


class ClaudeState(Struct, frozen=True, kw_only=True):
    """What must be remembered between two frames.

    busy: a turn runs, or is about to. waking: the end of a background task will begin another one.
    done: messages that need nothing more. halted: the turn was stopped and the agent waits for a message.
    """

    conversation_id: str | None = None
    cwd: str = ""
    reading: Reading = Reading()
    busy: bool = True
    waking: bool = False
    background: int = 0
    asks: tuple[PendingAsk, ...] = ()
    rejected: tuple[str, ...] = ()
    """Tokens of asks whose calls were not carried out, and calls refused without being asked for."""
    strange: tuple[str, ...] = ()
    """Requests of the program that we refuse."""
    done: tuple[str, ...] = ()
    halting: bool = False
    halted: bool = False
    outcome: Outcome | None = None


Told = tuple[ClaudeState, Sequence[e.RunFact | Partial]]


class ClaudeCode:
    """Options: `program` (path of the CLI; default: `claude` on PATH), `max_turns`."""

    name: ClassVar[str] = "claude_code"
    joins_said: ClassVar[bool] = False
    modes: ClassVar[tuple[Mode, ...]] = (Mode.STEER, Mode.QUEUE, Mode.INTERRUPT, Mode.MODEL)
    config_files: ClassVar[tuple[str, ...]] = (SETTINGS, SERVERS)
    resumes: ClassVar[bool] = True
    forks: ClassVar[bool] = True
    State = ClaudeState

    def __init__(self, about: About) -> None:
        self._about = about
        self._voice = Voice(about)

    @classmethod
    def validate(cls, agent: Agent) -> None:
        unknown = set(agent.options) - {"program", "max_turns"}
        if unknown:
            raise InvalidRequest(
                f"the claude_code harness has no option {min(unknown)!r}", hint="it has: program, max_turns"
            )
        if not agent.options.get("max_turns", "1").isdecimal():
            raise InvalidRequest("max_turns is a number")

    def launch(self, request: LaunchRequest) -> LaunchPlan:
        return plan_of(self._about, request)

    def begin(self) -> ClaudeState:
        return ClaudeState()

    # ---- from the agent ------------------------------------------------------------------------------

    def decode(self, state: ClaudeState, frame: Frame) -> Told:
        said = json_object(frame.data)
        if said is None:
            return state, (self._voice.noticed("undecodable", as_text(frame.data[:500])),)
        facts: list[e.RunFact | Partial] = []
        conversation = conversation_id(said.get("session_id"))
        if conversation is not None and conversation != state.conversation_id:
            state = replace(state, conversation_id=conversation)
            facts.append(self._voice.session(conversation))
        state, more = self._read(state, said)
        return state, (*facts, *more)

    def _read(self, state: ClaudeState, said: dict[str, Any]) -> Told:
        match said.get("type"):
            case "stream_event":
                partial = partial_of(said)
                return state, () if partial is None else (partial,)
            case "control_request":
                return self._requested(state, said)
            case "control_cancel_request":
                return self._withdrawn(state, str(said.get("request_id", "")))
            case "control_response":
                return self._responded(state, said)
            case "command_lifecycle":
                return self._moved(state, said)
        state = _follow(state, said)
        reading, facts = state.reading.read(said, self._voice)
        state = replace(state, reading=reading)
        if not is_result(said):
            return state, facts
        state = replace(state, busy=False, waking=False, asks=(), outcome=result_outcome(said, reading))
        if state.halting:
            return replace(state, halting=False, halted=True), (*facts, self._voice.paused("message"))
        return state, facts

    def _requested(self, state: ClaudeState, said: dict[str, Any]) -> Told:
        token, request = str(said.get("request_id", ""))[:200], said.get("request")
        if not isinstance(request, dict) or request.get("subtype") != "can_use_tool":
            return replace(state, strange=(*state.strange, token)[-MAX_ASKS:]), ()
        if len(state.asks) >= MAX_ASKS:
            return replace(state, strange=(*state.strange, token)[-MAX_ASKS:]), ()
        call_id = str(request.get("tool_use_id", ""))[:200]
        effect = effect_asked(request, state.cwd)
        asked = self._voice.asked(effect, token, why=why_asked(request), call_id=call_id)
        return replace(state, asks=(*state.asks, PendingAsk(token=token, call_id=call_id))), (asked,)

    def _withdrawn(self, state: ClaudeState, token: str) -> Told:
        left = tuple(ask for ask in state.asks if ask.token != token)
        if left == state.asks:
            return state, ()
        return replace(state, asks=left), (self._voice.ask_withdrawn(token),)

    def _responded(self, state: ClaudeState, said: dict[str, Any]) -> Told:
        """Only the answers about a message without words tell something: it has been taken up."""
        found = said.get("response")
        response = found if isinstance(found, dict) else {}
        key = str(response.get("request_id", ""))
        message_id = MessageId(_bare(key))
        if message_id == key or kind_of(message_id) != "message":
            return state, ()
        state = _done(state, message_id)
        if response.get("subtype") == "error":
            return state, (
                self._voice.message_dropped(message_id, as_text(str(response.get("error", "")).encode())),
            )
        facts = (self._voice.message_started(message_id), self._voice.message_completed(message_id))
        if key.startswith(MODEL):
            return state, facts
        if state.busy:
            return replace(state, halting=True), facts
        return replace(state, halted=True), (*facts, self._voice.paused("message"))

    def _moved(self, state: ClaudeState, said: dict[str, Any]) -> Told:
        """The program's receipts for messages; the prompt, which is none, has one too."""
        given = said.get("command_uuid")
        message_id = None if given == prompt_uuid(self._about) else message_of(given)
        match said.get("state"):
            case "started":
                was_halted = state.halted
                state = replace(state, busy=True, halted=False)
                facts: tuple[e.RunFact, ...] = (self._voice.continued(),) if was_halted else ()
                return state, (*facts, *self._about_message(message_id, self._voice.message_started))
            case "completed":
                state = _done(state, message_id)
                return state, self._about_message(message_id, self._voice.message_completed)
            case "cancelled":
                state = _done(state, message_id)
                return state, self._about_message(message_id, self._voice.message_dropped)
        return state, ()

    @staticmethod
    def _about_message(message_id: MessageId | None, tell: Any) -> tuple[e.RunFact, ...]:
        return () if message_id is None else (tell(message_id),)

    # ---- to the agent --------------------------------------------------------------------------------

    def due(self, state: ClaudeState) -> Sequence[Line]:
        return [refusal_line(token) for token in state.strange]

    def say(self, state: ClaudeState, said: Said, sent: Collection[str]) -> Sequence[Line] | None:
        if said.mode is Mode.MODEL:
            return [model_line(said.id, f"{MODEL}{said.id}", said.text)]
        if said.mode is Mode.QUEUE and (state.busy or _owes(state, sent)):
            return None
        lines = []
        if said.mode is Mode.INTERRUPT:
            lines.append(interrupt_line(f"{STOP if said.text else HALT}{said.id}"))
        if said.text:
            content = {"role": "user", "content": as_text_for_model(said.text)}
            line = {"type": "user", "message": content, "uuid": uuid_of(said.id)}
            lines.append(Line(key=said.id, data=msgspec.json.encode(line)))
        return lines

    def answer(self, state: ClaudeState, reply: Reply) -> Line | None:
        waits = any(ask.token == reply.reply_token for ask in state.asks)
        return answer_line(reply) if waits else None

    def key_of(self, line: bytes) -> str:
        said = json_object(line) or {}
        match said.get("type"):
            case "user":
                given = said.get("uuid")
                return "prompt" if given == prompt_uuid(self._about) else message_of(given) or ""
            case "control_request":
                return _bare(str(said.get("request_id", "")))
            case "control_response":
                return key_of_answer(said)
        return ""

    def waits(self, state: ClaudeState, sent: Collection[str]) -> Literal["", "permission", "message"]:
        for ask in state.asks:
            if answer_key(ask.token, "allow") not in sent and answer_key(ask.token, "deny") not in sent:
                return "permission"
        return "message" if state.halted else ""

    def was_deaf(self, state: ClaudeState, sent: Collection[str]) -> bool:
        # An answer may stand in the input and never have been read.
        return any(answer_key(token, "deny") not in sent for token in state.rejected)

    def is_over(self, state: ClaudeState, sent: Collection[str]) -> bool:
        if state.outcome is None or state.busy or state.waking or state.background or state.halted:
            return False
        return not _owes(state, sent)

    def outcome(self, state: ClaudeState, exit: Exit) -> Outcome:
        if state.outcome is not None and not state.busy:
            return replace(state.outcome, exit_code=exit.code)
        return silent_end(exit)

    def interrupt(self, state: ClaudeState) -> bytes | None:
        return interrupt_line(CANCEL).data


def _follow(state: ClaudeState, said: dict[str, Any]) -> ClaudeState:
    """Where the program stands after a frame: in a turn, with tasks in the background, awoken by one."""
    match said.get("type"), said.get("subtype"):
        case "system", "init":
            cwd = said.get("cwd")
            here = cwd[:4096] if isinstance(cwd, str) else state.cwd
            return replace(state, busy=True, waking=False, cwd=here)
        case "system", "background_tasks_changed":
            tasks = said.get("tasks")
            return replace(state, background=len(tasks) if isinstance(tasks, list) else 0)
        case "system", "task_notification":
            return replace(state, waking=True)
        case "user", _:
            results, refused = tool_results_of(said), rejections_of(said)
            left = tuple(ask for ask in state.asks if ask.call_id not in results)
            tokens = {ask.call_id: ask.token for ask in state.asks}
            # Once its input has ended the program refuses by itself, without asking.
            rejected = tuple(tokens.get(call_id, f"call:{call_id[:200]}") for call_id in sorted(refused))
            return replace(state, asks=left, rejected=(*state.rejected, *rejected)[-MAX_ASKS:])
    return state


def _bare(request_id: str) -> str:
    """The message that a request of ours without words stands for; else the id as it is."""
    return request_id.removeprefix(HALT).removeprefix(MODEL)


def _owes(state: ClaudeState, sent: Collection[str]) -> bool:
    """A message stands in its input that it has not done with, or not even begun."""
    return any(key not in state.done for key in sent if kind_of(key) == "message")


def _done(state: ClaudeState, message_id: MessageId | None) -> ClaudeState:
    if message_id is None or message_id in state.done:
        return state
    return replace(state, done=(*state.done, message_id))
