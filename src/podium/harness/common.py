"""Small things every codec needs: bounded text, safe JSON, the outcome of a program that said nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from podium.harness.base import MAX_TEXT_BYTES, About, Exit
from podium.kernel import events as e
from podium.kernel.ids import MessageId
from podium.kernel.inquiry import Effect
from podium.kernel.nouns import Outcome, Reason, Usage

MAX_DETAIL = 2_000


class Voice:
    """Makes the events of one run: bounded, and about nobody else."""

    def __init__(self, about: About) -> None:
        self._task, self._run = about.task_id, about.run_id

    def said(self, text: str, *, final: bool = False, under: str = "") -> e.RunSaid:
        return e.RunSaid(
            task_id=self._task, run_id=self._run, text=bounded(text), final=final, under=under[:200]
        )

    def thought(self, text: str, *, under: str = "") -> e.RunThought:
        return e.RunThought(task_id=self._task, run_id=self._run, text=bounded(text), under=under[:200])

    def called(self, call_id: str, name: str, given: Any, *, under: str = "") -> e.RunToolCalled:
        """`given` is plain JSON data; too large, it is replaced by its beginning as text."""
        raw = msgspec.json.encode(given)
        if len(raw) > MAX_TEXT_BYTES:
            raw = msgspec.json.encode({"truncated": bounded(raw.decode("utf-8", "replace"), 4096)})
        return e.RunToolCalled(
            task_id=self._task,
            run_id=self._run,
            call_id=call_id[:200],
            name=name[:200],
            input=msgspec.Raw(raw),
            under=under[:200],
        )

    def returned(self, call_id: str, output: str, *, is_error: bool, under: str = "") -> e.RunToolReturned:
        return e.RunToolReturned(
            task_id=self._task,
            run_id=self._run,
            call_id=call_id[:200],
            output=bounded(output),
            is_error=is_error,
            under=under[:200],
        )

    def asked(self, effect: Effect, reply_token: str, *, why: str, call_id: str) -> e.RunAsked:
        return e.RunAsked(
            task_id=self._task,
            run_id=self._run,
            effect=effect,
            reply_token=reply_token[:200],
            why=bounded(why, MAX_DETAIL),
            call_id=call_id[:200],
        )

    def ask_withdrawn(self, reply_token: str) -> e.RunAskWithdrawn:
        return e.RunAskWithdrawn(task_id=self._task, run_id=self._run, reply_token=reply_token[:200])

    def paused(self, reason: str) -> e.RunPaused:
        return e.RunPaused(task_id=self._task, run_id=self._run, reason=reason)

    def continued(self) -> e.RunContinued:
        return e.RunContinued(task_id=self._task, run_id=self._run)

    def message_started(self, message_id: MessageId) -> e.MessageStarted:
        return e.MessageStarted(task_id=self._task, run_id=self._run, message_id=message_id)

    def message_completed(self, message_id: MessageId) -> e.MessageCompleted:
        return e.MessageCompleted(task_id=self._task, run_id=self._run, message_id=message_id)

    def message_dropped(self, message_id: MessageId, why: str = "") -> e.MessageUndelivered:
        why = bounded(why, MAX_DETAIL) or "the agent's program dropped it"
        return e.MessageUndelivered(task_id=self._task, run_id=self._run, message_id=message_id, why=why)

    def used(self, usage: Usage) -> e.RunUsed:
        return e.RunUsed(task_id=self._task, run_id=self._run, usage=usage)

    def session(self, conversation_id: str) -> e.RunSessionKnown:
        return e.RunSessionKnown(task_id=self._task, run_id=self._run, conversation_id=conversation_id[:200])

    def noticed(self, kind: str, text: str) -> e.RunNoticed:
        return e.RunNoticed(task_id=self._task, run_id=self._run, kind=kind, text=bounded(text, 4096))


def with_attachments(prompt: str, files: Sequence[Path]) -> str:
    """What a model is told, with the files that were given to it."""
    if not files:
        return prompt
    listed = "\n".join(f"- {path}" for path in files)
    return f"{prompt}\n\nThese files were attached for you to read:\n{listed}"


def bounded(text: str, limit: int = MAX_TEXT_BYTES) -> str:
    """`text` in at most `limit` bytes of UTF-8, cut between characters."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[:limit].decode("utf-8", "ignore") + "…"


def as_text(data: bytes) -> str:
    """Bytes of an agent as text: what is not UTF-8 becomes U+FFFD, NUL too."""
    # Cut before it is decoded: a line of 8 MiB would be copied four times over to be cut afterwards.
    kept = data[: MAX_TEXT_BYTES + 4]
    return bounded(kept.decode("utf-8", "replace").replace("\0", "\ufffd"))


def json_object(data: bytes) -> dict[str, Any] | None:
    """A frame as a JSON object; None for everything else, however hostile."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        value = _without_lone_surrogates(data)
    return value if isinstance(value, dict) else None


def _without_lone_surrogates(data: bytes) -> Any:
    """JavaScript writes half a surrogate pair as an escape, which is no character: replaced, not refused."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return None
    try:
        value = json.loads(data, parse_constant=_refuse)
        return msgspec.json.decode(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and infinities are not JSON


FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, 128 + signal.SIGTERM})
"""Exit codes of programs that something else has ended: killed, or told to end, as every process is when its
machine shuts down. When we do so ourselves we know why (a cancel, a limit), and then that is the reason."""


def silent_end(exit: Exit, *, from_outside: bool = False) -> Outcome:
    """The outcome of a program that ended without its own say.

    Ended by something outside, as its exit code or, with `from_outside`, its harness says: the run counts as
    lost and may be tried again. Any other end is the program's own failure.
    """
    stderr = as_text(exit.stderr).strip()
    last = stderr.splitlines()[-1][:MAX_DETAIL] if stderr else ""
    if from_outside or exit.code is None or exit.code in FROM_OUTSIDE:
        return Outcome(succeeded=False, reason=Reason.KILLED, detail=last, exit_code=exit.code, lost=True)
    if exit.code == 127:
        return Outcome(succeeded=False, reason=Reason.PROGRAM_MISSING, detail=last, exit_code=127)
    how = f"signal {-exit.code}" if exit.code < 0 else f"exit code {exit.code}"
    detail = f"{how}: {last}" if last else how
    return Outcome(succeeded=False, reason=Reason.NO_RESULT, detail=detail, exit_code=exit.code)
