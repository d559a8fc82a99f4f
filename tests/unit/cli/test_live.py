"""Text while it is being said, on a terminal that understands three escapes."""

from __future__ import annotations

import re

import click

from podium.cli.live import MAX_KEPT, MAX_LINES, Live
from podium.client.pages import Partial
from podium.kernel.ids import RunId, TaskId


class Terminal:
    """Lines, a cursor, and the two movements that Live may use."""

    def __init__(self) -> None:
        self.lines = [""]
        self.raw = ""

    def write(self, text: str) -> None:
        self.raw += text
        for part in re.split(
            r"(\x1b\[\d+A\r\x1b\[J|\n)", click.unstyle(text) if "\x1b[J" not in text else text
        ):
            up = re.fullmatch(r"\x1b\[(\d+)A\r\x1b\[J", part)
            if up:
                self.lines = [*self.lines[: len(self.lines) - 1 - int(up.group(1))], ""]
            elif part == "\n":
                self.lines.append("")
            else:
                self.lines[-1] += part

    def say(self, text: str) -> None:
        self.write(text + "\n")

    @property
    def shown(self) -> list[str]:
        return self.lines[:-1]


def piece(text: str, item: str = "1", run: str = "r") -> Partial:
    return Partial(run_id=RunId(run), task_id=TaskId("t"), item=item, text=text)


def live_on(terminal: Terminal, width: int = 41) -> Live:
    return Live(terminal.write, lambda: width)


def test_text_grows_in_place_and_is_replaced_by_what_was_said() -> None:
    terminal = Terminal()
    live = live_on(terminal)
    terminal.say("before")
    for part in ("Hel", "lo,\nwor", "ld"):
        live.hear(piece(part))
    assert terminal.shown == ["before", "Hello,", "world"]
    live.forget("r")
    live.erase()
    terminal.say("Hello,\nworld!")
    live.draw()
    assert terminal.shown == ["before", "Hello,", "world!"]


def test_another_event_goes_above_what_is_being_said() -> None:
    terminal = Terminal()
    live = live_on(terminal)
    live.hear(piece("thinking"))
    live.erase()
    terminal.say("▸ Bash ls")
    live.draw()
    assert terminal.shown == ["▸ Bash ls", "thinking"]
    live.forget("another run")
    live.hear(piece(" on"))
    assert terminal.shown == ["▸ Bash ls", "thinking on"]


def test_only_its_last_lines_are_shown_and_wide_lines_are_wrapped() -> None:
    terminal = Terminal()
    live = live_on(terminal)
    live.hear(piece("x" * 100))
    assert [len(line) for line in terminal.shown] == [40, 40, 20]
    live.hear(piece("\n".join(["", *map(str, range(50))])))
    assert terminal.shown == [str(number) for number in range(50 - MAX_LINES, 50)]
    live.hear(piece("漢" * 30, item="2"))
    assert [len(line) for line in terminal.shown] == [20, 10]


def test_what_is_kept_is_bounded_and_drives_no_terminal() -> None:
    terminal = Terminal()
    live = live_on(terminal)
    for number in range(200):
        live.hear(piece("y" * 1_000, item=str(number % 20)))
    assert sum(map(len, live._texts.values())) <= 8 * MAX_KEPT
    terminal.raw = ""
    live.hear(piece("\x1b]0;owned\x07\x1b[2J\x9b", item="evil"))
    assert "owned" not in terminal.raw
    assert "\x1b[2J" not in terminal.raw
    assert "\x9b" not in terminal.raw
