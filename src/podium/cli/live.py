"""Text while it is being said, at the foot of a terminal: dim, replaced by the event that has the whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import click

from podium.cli.output import clean, columns
from podium.client.pages import Partial

MAX_LINES = 6
MAX_KEPT = 4_000
"""Characters of one text, its end; enough for the lines that are shown."""
MAX_ITEMS = 8


class Live:
    """`write` gets what a terminal obeys; `width` is its columns."""

    def __init__(
        self,
        write: Callable[[str], None] = lambda text: click.echo(text, nl=False),
        width: Callable[[], int] = lambda: shutil.get_terminal_size((100, 24)).columns,
    ) -> None:
        self._write = write
        self._width = width
        self._texts: dict[tuple[str, str], str] = {}
        self._drawn = 0

    def hear(self, piece: Partial) -> None:
        """More of a text."""
        key = (piece.run_id, piece.item)
        text = self._texts.pop(key, "") + piece.text
        self._texts[key] = text[-MAX_KEPT:]
        while len(self._texts) > MAX_ITEMS:
            self._texts.pop(next(iter(self._texts)))
        self.erase()
        self.draw()

    def forget(self, run_id: str) -> None:
        """What was being said in that run has been said."""
        self._texts = {key: text for key, text in self._texts.items() if key[0] != run_id}

    def erase(self) -> None:
        """Before anything else is printed."""
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def draw(self) -> None:
        if not self._texts:
            return
        # The one that grew last; the terminal's last column is left free, so that nothing wraps by itself.
        lines = _wrapped(clean(list(self._texts.values())[-1]), max(20, self._width() - 1))[-MAX_LINES:]
        for line in lines:
            self._write(click.style(line, dim=True) + "\n")
        self._drawn = len(lines)


def _wrapped(text: str, width: int) -> list[str]:
    lines = []
    for line in text.replace("\t", "    ").splitlines():
        start, used = 0, 0
        for index, char in enumerate(line):
            size = columns(char)
            if used + size > width:
                lines.append(line[start:index])
                start, used = index, 0
            used += size
        lines.append(line[start:])
    return lines
