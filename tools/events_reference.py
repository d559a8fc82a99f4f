"""`python -m tools.events_reference > docs/reference/events.md`: every event there is, from its struct."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from podium.kernel.events import Event, Recorded

HEAD = f"""# Events

Made by `python -m tools.events_reference` from `podium.kernel.events`; a test compares the two.

Whatever happens is an event in one log, and everything that Podium shows follows from it. One looks like
this, in `GET /events`, in both streams and in `podium events tail --json`:

```json
{{"seq": 41, "at": "2026-11-28T09:30:00.250000Z", "by": "worker:…", "v": {Recorded.VERSION},
 "event": {{"type": "run.leased", …}}}}
```

`seq` grows without gaps except after the machine itself went down; `by` is who caused it (`owner`,
`operator:alice`, `worker:…`, `dispatch` …); `v` is the version of its shape. **Readers pass over members and
types that they do not know**: later versions add some. Members that have their default may be left out. The
exact shapes, nouns included, stand in `openapi.json` under `RecordedEvent`.

| type | says | members |
|---|---|---|
"""
SAYS = {
    "project.added": "A project was added.",
    "project.changed": "Its trusted files are others now: the whole project, as it is.",
    "project.removed": "It was forgotten; its tasks stay.",
    "agent.defined": "An agent was defined, or defined anew: the whole of it.",
    "agent.removed": "It was forgotten; queued runs keep its configuration.",
    "worker.joined": "A worker has said hello.",
    "worker.left": "A worker is gone.",
    "server.started": "The server starts.",
    "server.stop_asked": "Somebody asked the server to end.",
    "task.opened": "Somebody wants something done. The prompt is not told here.",
    "task.started": "A worker has its run.",
    "task.requeued": "Its run was lost: another one waits.",
    "task.cancel_requested": "Somebody wants it ended.",
    "task.done": "The end: done.",
    "task.failed": "The end: failed, and why.",
    "task.cancelled": "The end: cancelled.",
    "run.queued": "An attempt waits for a worker.",
    "run.leased": "A worker has it, under this fence.",
    "run.starting": "Workspace and agent are being prepared.",
    "run.started": "The agent lives.",
    "run.cancel_requested": "The agent is to be stopped.",
    "run.finishing": "The agent is gone; what it left is being saved and checked.",
    "run.succeeded": "The end of the attempt: succeeded.",
    "run.failed": "The end of the attempt: failed, and why.",
    "run.cancelled": "The end of the attempt: cancelled.",
    "run.lost": "The end of the attempt: agent or worker were lost.",
    "check.finished": "A check has its verdict.",
    "run.said": "The agent says something; `final`: its last word.",
    "run.thought": "The agent thinks.",
    "run.tool_called": "The agent uses a tool.",
    "run.tool_returned": "What the tool gave back.",
    "message.sent": "A person says something to the agent.",
    "inquiry.opened": "A person must decide.",
    "inquiry.answered": "Somebody has decided.",
    "inquiry.withdrawn": "Nobody waits for the answer any more.",
    "inquiry.delivered": "The answer stands in the agent's input.",
    "grant.used": "It answered the same ask of a later run.",
    "change.drafted": "What a run produced, saved.",
    "change.proposed": "It waits to be reviewed.",
    "change.applied": "Somebody took its commits.",
}
"""Of events whose name says it: their structs have no words of their own."""


def reference() -> str:
    rows = (
        f"| `{kind}` | {says} | {', '.join(f'`{name}`' for name in members) or 'none'} |"
        for kind, says, members in events()
    )
    return HEAD + "\n".join(rows) + "\n"


def events() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(type, what it says, its members) of each. Raises KeyError for one that nobody has described."""
    for struct in get_args(Event):
        kind = str(struct.__struct_config__.tag)
        own = inspect.cleandoc(struct.__dict__.get("__doc__") or "")
        if own.startswith(f"{struct.__name__}("):
            own = ""  # what msgspec writes itself
        yield kind, " ".join((own or SAYS[kind]).split()), _members(struct)


def _members(struct: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(struct))


if __name__ == "__main__":
    sys.stdout.write(reference())
