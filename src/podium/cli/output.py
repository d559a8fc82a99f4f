"""How things look: JSON for programs, aligned columns and restrained colours for people."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec

from podium.kernel.errors import NotFound
from podium.kernel.nouns import CheckResult

F = TypeVar("F", bound=Callable[..., Any])
COLOURS = {
    "queued": "white", "running": "cyan", "needs you": "yellow", "review": "magenta", "done": "green",
    "failed": "red", "cancelled": "bright_black", "unknown": "yellow", "pass": "green", "fail": "red",
    "cannot_tell": "yellow", "low": "green", "medium": "yellow", "high": "red",
}  # fmt: skip
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_])")
_BREAKS = "\u2028\u2029"


class Painted(str):
    """Text put together by us, colours included. Every other text is cleaned before a terminal gets it."""

    __slots__ = ()


def json_options(command: F) -> F:
    """`--json` and `--field a.b.c` for everything that reads."""
    command = click.option("--field", help="Print one field, e.g. state.word (of --json's answer).")(command)
    return click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")(command)


def plain(value: Any) -> Any:
    """Structs as plain JSON data."""
    return msgspec.json.decode(msgspec.json.encode(value))


def shown(value: Any, as_json: bool, field: str | None) -> bool:
    """Print as JSON or as one field when asked to; False when a person is to be shown something nicer."""
    if field is not None:
        click.echo(_scalar(pick(plain(value), field)))
        return True
    if as_json:
        click.echo(msgspec.json.encode(value).decode())
    return as_json


def pick(value: Any, path: str) -> Any:
    """The part of a JSON value that `a.b.0.c` names. Raises NotFound with the names there are."""
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            names = (
                ", ".join(value) if isinstance(value, dict) else f"0 to {len(value) - 1}" if value else "none"
            )
            raise NotFound(f"there is no field {part!r} in {path!r}", hint=f"there are: {names}")
    return value


def clean(text: str) -> str:
    """Text of an agent, made harmless for a terminal: no escapes, no controls, no reordering of letters."""
    text = _ESCAPES.sub("", text)
    return "".join(
        char
        for char in text
        if char in "\n\t" or (unicodedata.category(char)[0] != "C" and char not in _BREAKS)
    )


def exact(text: str) -> str:
    """Text that a person decides about: what a terminal would obey, hide or reorder is spelled out instead of
    left away, so that nothing is approved unseen."""
    return "".join(char if char in "\n\t" or _is_plain(char) else _spelled(char) for char in text)


def _is_plain(char: str) -> bool:
    if char.isascii():
        return char.isprintable()
    return unicodedata.category(char)[0] not in "CZ"


def _spelled(char: str) -> str:
    number = ord(char)
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def print_patch(patch: str, safe: Callable[[str], str] = clean) -> None:
    """A unified diff in colours."""
    # Not splitlines(): what only looks like the end of a line to it must not become one.
    for line in patch.removesuffix("\n").split("\n"):
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        is_head = line.startswith(("+++", "---", "diff ", "index "))
        click.echo(click.style(safe(line), bold=True) if is_head else click.style(safe(line), fg=colour))


def one_line(text: str, width: int) -> str:
    """Cleaned and cut to that many columns of a terminal."""
    text = " ".join(clean(text).split())
    if columns(text) <= width:
        return text
    room = width - 1
    for index, char in enumerate(text):
        room -= columns(char)
        if room < 0:
            return text[:index] + "…"
    return text


def columns(text: str) -> int:
    """How wide a terminal shows it: wide characters take two columns, combining ones none."""
    plain_text = click.unstyle(text)
    if plain_text.isascii():
        return len(plain_text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in plain_text
    )


def status(word: str) -> Painted:
    return Painted(click.style(clean(word), fg=COLOURS.get(word)))


def verdicts(checks: Iterable[CheckResult]) -> Painted:
    """`tests pass, lint fail`."""
    return Painted(", ".join(f"{clean(check.name)} {status(check.verdict)}" for check in checks))


def short(noun_id: str | None) -> str:
    """The end of an id: enough for a person to name it."""
    return "" if noun_id is None else noun_id[-6:]


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """`12 s`, `4 min`, `3 h`, `2 d` since then."""
    if moment is None:
        return ""
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; the last one is cut to the terminal's width."""
    lines = [list(header), *[[*map(_safe, row[:-1]), row[-1]] for row in rows]]
    if len(lines) == 1:
        click.echo(click.style("nothing", dim=True))
        return
    widths = [max(columns(line[i]) for line in lines) for i in range(len(header) - 1)]
    room = shutil.get_terminal_size((120, 24)).columns - sum(widths) - 2 * len(widths)
    for number, line in enumerate(lines):
        cells = [cell + " " * (width - columns(cell)) for cell, width in zip(line, widths, strict=False)]
        text = "  ".join([*cells, one_line(line[-1], max(20, room))]).rstrip()
        click.echo(click.style(text, dim=True) if number == 0 else text)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """`name  value` lines; what is empty is left out."""
    kept = [(name, value) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {_safe(value)}")


def _safe(value: object) -> str:
    """Painted text as it is, any other on one line without anything a terminal would obey."""
    return value if isinstance(value, Painted) else " ".join(clean(str(value)).split())


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
