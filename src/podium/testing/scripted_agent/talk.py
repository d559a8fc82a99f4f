"""Steps that need a person: ask before doing something, listen to what is said."""

from __future__ import annotations

import os

from podium.testing.scripted_agent.script import Done, Step
from podium.testing.scripted_agent.wire import Inbox, emit


def ask(step: Step, call: str, inbox: Inbox) -> Done:
    """Ask whether a command may be run and wait for the answer, however long. It is not run: what follows an
    allowed ask is the next step. Denied, the script goes on too. The ask is named after the call."""
    emit("ask", id=call, command=step.fields["command"], cwd=os.getcwd(), why=step.fields.get("why"))
    while call not in inbox.answers and not inbox.stopped:
        inbox.listen(None)
    decision = inbox.answers.get(call)
    if decision is None:
        return Done("", ended=False)
    return Done(decision, is_error=decision != "allow")


def listen(step: Step, inbox: Inbox) -> Done:
    """Wait for messages, one by default; each is taken up and done with at once."""
    wanted = int(step.fields.get("count", 1))
    heard: list[str] = []
    while len(heard) < wanted:
        while not inbox.messages and not inbox.stopped:
            inbox.listen(None)
        if not inbox.messages:
            return Done("", ended=False)
        message = inbox.messages.pop(0)
        emit("message", id=message["id"], state="started")
        heard.append(str(message["text"]))
        emit("say", text=f"heard: {heard[-1]}")
        emit("message", id=message["id"], state="completed")
    return Done("; ".join(heard))
