"""What each notification and request of Codex's app-server changes and tells. Pure functions of the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from podium.harness.base import Partial
from podium.harness.codex_asks import (
    Strange,
    ask_of,
    effect_asked,
    pack_changes,
    tool_digest,
    why_asked,
    word,
)
from podium.harness.codex_frames import (
    call_begun,
    call_ended,
    error_text,
    limit_of,
    outcome_of,
    reason_of,
    totals_of,
    words_of,
)
from podium.harness.codex_state import GIVE_UP, MAX_ANSWER, MAX_ASKS, MAX_DONE, MAX_OPEN, CodexState, finished
from podium.harness.common import Voice, bounded
from podium.kernel import events as e
from podium.kernel.ids import MessageId, kind_of
from podium.kernel.nouns import Reason

Told = tuple[CodexState, Sequence[e.RunFact | Partial]]
Params = dict[str, Any]

_QUIET = frozenset(
    {"thread/started", "thread/status/changed", "thread/name/updated", "thread/settings/updated"}
    | {"thread/goal/cleared", "thread/goal/updated", "thread/readState/changed", "thread/queue/changed"}
    | {"thread/environment/connected", "thread/environment/disconnected", "thread/prediction/updated"}
    | {"turn/diff/updated", "turn/plan/updated", "turn/moderationMetadata", "hook/started", "hook/completed"}
    | {"item/commandExecution/outputDelta", "item/commandExecution/terminalInteraction", "item/plan/delta"}
    | {"item/fileChange/outputDelta", "item/fileChange/patchUpdated", "item/mcpToolCall/progress"}
    | {"item/reasoning/summaryPartAdded", "mcpServer/startupStatus/updated", "skills/changed"}
    | {"account/updated", "app/list/updated", "remoteControl/status/changed", "project/changed"}
    | {"model/safetyBuffering/updated", "model/verification", "thread/archived", "thread/closed"}
)
"""What tells a person nothing, or nothing new."""
_WARNINGS = frozenset({"warning", "guardianWarning", "configWarning", "deprecationNotice"})


def told_of(
    state: CodexState, voice: Voice, method: str, params: Params, request_id: int | str | None
) -> Told:
    """A notification, or a request of the program when it has an id."""
    if request_id is not None:
        return _requested(state, voice, method, params, request_id)
    if method in _QUIET:
        return state, ()
    if method in _WARNINGS:
        text = word(params, "message") or word(params, "summary")
        return state, (voice.noticed("warning", text),)
    handler = _HANDLERS.get(method)
    if handler is None:
        return state, (voice.noticed("unknown_frame", bounded(method, 100)),)
    return handler(state, voice, params)


def _requested(state: CodexState, voice: Voice, method: str, params: Params, request_id: int | str) -> Told:
    ask = ask_of(request_id, method, params, state.tools)
    if ask is None or len(state.asks) >= MAX_ASKS or len(ask.token) > 100:
        strange = (*state.strange, Strange(id=request_id, method=method[:100]))
        fits = len(str(request_id)) <= 100
        return (replace(state, strange=strange[-MAX_OPEN:]) if fits else state), ()
    change = state.change if ask.call_id and ask.call_id == state.change_id else ""
    effect = effect_asked(method, {"cwd": state.cwd, **params}, change)
    asked = voice.asked(effect, ask.token, why=why_asked(params), call_id=ask.call_id)
    return replace(state, asks=(*state.asks, ask), tools=_without(state.tools, ask.call_id)), (asked,)


def _resolved(state: CodexState, voice: Voice, params: Params) -> Told:
    """Answered or given up: it waits for nothing any more. An ask that was answered is not open by then, so
    that withdrawing it changes nothing."""
    found = params.get("requestId")
    left = tuple(ask for ask in state.asks if ask.id != found)
    gone = [ask for ask in state.asks if ask.id == found]
    strange = tuple(one for one in state.strange if one.id != found)
    return replace(state, asks=left, strange=strange), [voice.ask_withdrawn(ask.token) for ask in gone]


def _turn_started(state: CodexState, voice: Voice, params: Params) -> Told:
    turn_id, thread = word(params.get("turn"), "id")[:100], word(params, "threadId")[:100]
    if thread != state.thread_id and state.opened:
        others = tuple(one for one in state.working if one != thread)
        return replace(state, working=(*others, thread)[-MAX_OPEN:]), ()
    if thread != state.thread_id or not turn_id:
        return state, ()
    facts = (voice.continued(),) if state.halted else ()
    return replace(state, busy=True, halted=False, halting=False, turn_id=turn_id, retried=None), facts


def _turn_completed(state: CodexState, voice: Voice, params: Params) -> Told:
    given = params.get("turn")
    turn: Params = given if isinstance(given, dict) else {}
    outcome = outcome_of(turn, state.retried, state.limit)
    if word(params, "threadId") != state.thread_id:
        return _sub_agent_ended(state, voice, word(params, "threadId")[:100])
    if outcome is None:
        return state, ()
    if state.unanswered >= GIVE_UP and not outcome.succeeded:
        outcome = replace(outcome, reason=Reason.NETWORK, detail="the model's server cannot be reached")
    facts: list[e.RunFact | Partial] = []
    turn_id, stopped = word(turn, "id"), turn.get("status") == "interrupted"
    for call_id in state.calls if stopped else ():
        facts.append(voice.returned(call_id, "interrupted", is_error=True))
    facts += [voice.ask_withdrawn(ask.token) for ask in state.asks if ask.thread not in state.working]
    for message_id in state.given:
        state = finished(state, message_id)
        facts.append(voice.message_completed(MessageId(message_id)))
    state = replace(
        state,
        busy=False,
        turn_id="",
        calls=() if stopped else state.calls,
        stopped=state.calls if stopped else state.stopped,
        tools=state.tools if state.working else {},
        asks=tuple(ask for ask in state.asks if ask.thread in state.working),
        outcome=outcome,
        retried=None,
        unanswered=0,
        clean=turn_id[:100] if stopped else state.clean,
    )
    if state.halting:
        return replace(state, halting=False, halted=True), (*facts, voice.paused("message"))
    return state, facts


def _sub_agent_ended(state: CodexState, voice: Voice, thread: str) -> Told:
    """A turn of another thread: its asks end with it."""
    facts = [voice.ask_withdrawn(ask.token) for ask in state.asks if ask.thread == thread]
    asks = tuple(ask for ask in state.asks if ask.thread != thread)
    working = tuple(one for one in state.working if one != thread)
    return replace(state, asks=asks, working=working), facts


def _item_started(state: CodexState, voice: Voice, params: Params) -> Told:
    item = _item(params)
    if item.get("type") == "userMessage":
        return _taken_up(state, voice, item)
    call = call_begun(item, voice, _under(state, params))
    if call is None or call.call_id in state.calls:
        return state, ()
    state = replace(state, calls=(*state.calls, call.call_id)[-MAX_OPEN:])
    if item.get("type") == "fileChange":
        state = replace(state, change_id=call.call_id, change=pack_changes(item.get("changes")))
    if item.get("type") == "mcpToolCall" and len(state.tools) < MAX_OPEN:
        digest = tool_digest(item.get("server"), item.get("tool"), item.get("arguments"))
        state = replace(state, tools={**state.tools, call.call_id: digest})
    return state, (call,)


def _item_completed(state: CodexState, voice: Voice, params: Params) -> Told:
    item, under = _item(params), _under(state, params)
    call = call_begun(item, voice, under)
    if call is None:
        words = words_of(item, voice, under)
        if item.get("type") == "agentMessage" and not under and state.answers:
            text = word(item, "text")
            state = replace(state, answer=text if len(text.encode()) <= MAX_ANSWER else "")
        return state, words
    if call.call_id in state.stopped:
        return state, ()
    # Some calls are told only when they have ended.
    begun = () if call.call_id in state.calls else (call,)
    calls = tuple(one for one in state.calls if one != call.call_id)
    if call.call_id == state.change_id:
        state = replace(state, change_id="", change="")
    state = replace(state, calls=calls, tools=_without(state.tools, call.call_id))
    state = replace(state, children=_children(state, item, call.call_id))
    return state, (*begun, call_ended(item, voice, under))


def _taken_up(state: CodexState, voice: Voice, item: Params) -> Told:
    """A message of a person has reached the model."""
    client = word(item, "clientId")
    if kind_of(client) != "message" or client in state.done or client in state.given:
        return state, ()
    facts = [voice.message_started(MessageId(client))]
    if len(state.given) >= MAX_DONE:
        return finished(state, client), (*facts, voice.message_completed(MessageId(client)))
    return replace(state, given=(*state.given, client)), facts


def _delta(state: CodexState, voice: Voice, params: Params) -> Told:
    return _piece(state, params, thought=False)


def _thought_delta(state: CodexState, voice: Voice, params: Params) -> Told:
    return _piece(state, params, thought=True)


def _piece(state: CodexState, params: Params, *, thought: bool) -> Told:
    text = word(params, "delta")
    if not text or word(params, "threadId") != state.thread_id:
        return state, ()
    return state, (Partial(item=word(params, "itemId")[:200], text=bounded(text), thought=thought),)


def _usage(state: CodexState, voice: Voice, params: Params) -> Told:
    """Figures are cumulative over the thread. What a resumed one says before its first turn is what earlier
    runs have used; a forked one says nothing, and its first figures hold the whole parent's."""
    thread = word(params, "threadId")[:100]
    given = params.get("tokenUsage")
    if not isinstance(given, dict) or (thread not in state.totals and len(state.totals) >= MAX_OPEN):
        return state, ()
    total, last = totals_of(given.get("total")), totals_of(given.get("last"))
    before = state.totals.get(thread)
    state = replace(state, totals={**state.totals, thread: total}, unanswered=0)
    if thread == state.thread_id and word(params, "turnId") != state.turn_id:
        return state, ()
    usage = last.since(type(last)()) if before is None else total.since(before)
    if not (usage.input_tokens or usage.output_tokens or usage.cached_tokens):
        return state, ()
    return state, (voice.used(usage),)


def _error(state: CodexState, voice: Voice, params: Params) -> Told:
    error, retries = params.get("error"), params.get("willRetry") is True
    if retries:
        reason = reason_of(error)
        unanswered = state.unanswered + 1 if reason is Reason.NETWORK else 0
        state = replace(state, retried=reason, unanswered=unanswered)
    return state, (voice.noticed("api_retry" if retries else "api_error", error_text(error)),)


def _limits(state: CodexState, voice: Voice, params: Params) -> Told:
    return replace(state, limit=limit_of(params.get("rateLimits"))), ()


def _rerouted(state: CodexState, voice: Voice, params: Params) -> Told:
    words = f"{word(params, 'fromModel')} → {word(params, 'toModel')}: {word(params, 'reason')}"
    return state, (voice.noticed("model_rerouted", words),)


def _compacted(state: CodexState, voice: Voice, params: Params) -> Told:
    return state, ()


def _without(tools: dict[str, str], call_id: str) -> dict[str, str]:
    return {one: digest for one, digest in tools.items() if one != call_id}


def _children(state: CodexState, item: Params, call_id: str) -> dict[str, str]:
    found = item.get("receiverThreadIds")
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    names += [word(item, "agentThreadId")] if word(item, "agentThreadId") else []
    children = dict(state.children)
    for name in names:
        if len(children) < MAX_OPEN:
            children.setdefault(name[:100], call_id)
    return children


def _under(state: CodexState, params: Params) -> str:
    """The call whose sub-agent an item is of; empty for the agent itself."""
    thread = word(params, "threadId")
    return "" if thread == state.thread_id else state.children.get(thread, thread)


def _item(params: Params) -> Params:
    found = params.get("item")
    return found if isinstance(found, dict) else {}


_HANDLERS: dict[str, Callable[[CodexState, Voice, Params], Told]] = {
    "turn/started": _turn_started,
    "turn/completed": _turn_completed,
    "item/started": _item_started,
    "item/completed": _item_completed,
    "item/agentMessage/delta": _delta,
    "item/reasoning/summaryTextDelta": _thought_delta,
    "item/reasoning/textDelta": _thought_delta,
    "thread/tokenUsage/updated": _usage,
    "thread/compacted": _compacted,
    "account/rateLimits/updated": _limits,
    "model/rerouted": _rerouted,
    "serverRequest/resolved": _resolved,
    "error": _error,
}
