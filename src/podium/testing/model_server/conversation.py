"""Which script a request plays and at which turn: read from the conversation alone, so that retries, resumes
and parallel agents need no state here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

MARKER = re.compile(r"\[\[model:([a-z0-9][a-z0-9_-]{0,63})\]\]")
INLINE = re.compile(r"^(```|~~~)model\s*\n(.*?)^\1", re.DOTALL | re.MULTILINE)
FILLERS = frozenset({"No response requested."})
"""What agents put into the model's mouth when a conversation was cut; not a reply that we gave."""


class Place(Struct, frozen=True, kw_only=True):
    """Where a conversation stands in its script."""

    name: str = ""
    """Of a script in the directory; empty when it stands in the prompt."""
    inline: str = ""
    turn: int
    """0-based: the number of replies since the script was first named."""


def place_of(messages: Any) -> Place | None:
    """The script that was named last, and the replies since it was named first without another one between:
    a prompt repeated after a restart goes on instead of starting over. None: no script is named."""
    found: Place | None = None
    replies = 0
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        if message.get("role") == "assistant":
            replies += "".join(texts(message.get("content"))).strip() not in FILLERS
            continue
        named = _named("\n".join(texts(message.get("content"))))
        if named is not None and (found is None or (found.name, found.inline) != named):
            found, replies = Place(name=named[0], inline=named[1], turn=0), 0
    return None if found is None else Place(name=found.name, inline=found.inline, turn=replies)


def texts(content: Any) -> Iterator[str]:
    """The text of a message; what tools returned is not text that a person wrote."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
                yield block["text"]


def _named(text: str) -> tuple[str, str] | None:
    marks = [(found.start(), found[1], "") for found in MARKER.finditer(text)]
    marks += [(found.start(), "", found[2].strip()) for found in INLINE.finditer(text)]
    if not marks:
        return None
    _, name, inline = max(marks)
    return name, inline
