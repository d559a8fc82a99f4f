"""What an agent is told: lines of the protocol, messages, answers. Each exactly once.

The input spool is the record of what was sent: a line whose key stands there is not written again, whoever
wrote it and however often the server asks. What waits here is lost with the worker and comes again from the
server, which repeats it until it is reported as delivered.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import anyio.to_thread

from podium.bus import messages as m
from podium.harness.base import Line, Reply, Said
from podium.kernel import events as e
from podium.kernel.ids import InquiryId, MessageId, RunId, TaskId
from podium.process.feed import append_input, sent_lines
from podium.worker.home import RunHome


class AgentInput:
    """One per attempt; only its follower calls `speak`."""

    def __init__(self, home: RunHome, harness: Any, task_id: TaskId, run_id: RunId) -> None:
        self._home = home
        self._process = home.process
        self._harness = harness
        self._about: dict[str, Any] = {"task_id": task_id, "run_id": run_id}
        self._said: dict[MessageId, Said] = {}
        self._replies: dict[InquiryId, Reply] = {}
        self._sent: set[str] | None = None
        self._taken: frozenset[str] = frozenset()
        """Messages that the conversation held already."""
        self._going_on: list[str] = []
        """Those of them whose turn is gone on with."""

    def take(self, pending: m.Pending | None) -> None:
        """Something for the agent, from the server; again is no change."""
        if pending is None:
            return
        for said in pending.said:
            self._said.setdefault(said.message_id, Said(id=said.message_id, text=said.text, mode=said.mode))
        for reply in pending.replies:
            self._replies.setdefault(
                reply.inquiry_id,
                Reply(reply_token=reply.reply_token, decision=reply.decision, reason=reply.reason),
            )

    def waiting(self) -> tuple[Said, ...]:
        return tuple(self._said.values())

    @property
    def sent(self) -> Collection[str]:
        """The keys of every line in the input."""
        return self._sent or ()

    def has_to_speak(self, state: Any) -> bool:
        """Whether `speak` would do anything now."""
        if self._sent is None or self._said or self._replies or self._going_on:
            return True
        return any(line.key not in self._sent for line in self._harness.due(state))

    async def speak(self, state: Any, *, closing: bool) -> list[e.RunFact]:
        """Write what can be written now; returns what was delivered by it. `closing`: the end of the input
        stands there already, so that messages come too late."""
        if self._sent is None:
            self._sent = await anyio.to_thread.run_sync(self._read_sent)
            self._going_on = self._home.taken()
            self._taken = frozenset(self._going_on)
        for line in self._harness.due(state):
            await self._write(line)
        facts: list[e.RunFact] = []
        for inquiry_id, reply in list(self._replies.items()):
            line = self._harness.answer(state, reply)
            if line is not None:
                await self._write(line)
            # None: the program does not wait for it any more, and says so itself.
            del self._replies[inquiry_id]
            facts.append(e.InquiryDelivered(inquiry_id=inquiry_id, **self._about))
        for message_id, said in list(self._said.items()):
            if message_id in self._taken:
                facts.append(e.MessageDelivered(message_id=message_id, **self._about))
                facts.append(e.MessageStarted(message_id=message_id, **self._about))
                del self._said[message_id]
                continue
            if message_id not in self._sent:
                lines = None if closing else self._harness.say(state, said, self._sent)
                if lines is None:
                    continue
                for line in lines:
                    await self._write(line)
            del self._said[message_id]
            facts.append(e.MessageDelivered(message_id=message_id, **self._about))
        return [*facts, *self._done_with(state)]

    def _done_with(self, state: Any) -> list[e.RunFact]:
        """No frame tells the end of a message that the conversation held: its turn had ended, or is the one
        that this run goes on with."""
        if not self._going_on or not self._harness.is_over(state, ()):
            return []
        ended, self._going_on = self._going_on, []
        return [e.MessageCompleted(message_id=MessageId(one), **self._about) for one in ended]

    async def _write(self, line: Line) -> None:
        if self._sent is None or line.key in self._sent:
            return
        await anyio.to_thread.run_sync(append_input, self._process, line.data)
        self._sent.add(line.key)

    def _read_sent(self) -> set[str]:
        return {key for _, line in sent_lines(self._process) if (key := self._harness.key_of(line))}
