"""What an agent asks to do, for people who must decide: in a line, and exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from podium.cli.output import Painted, ago, exact, facts, one_line, print_patch, short, status
from podium.kernel.inquiry import Decision, Inquiry
from podium.kernel.states import InquiryState

_TELLING = (
    "command",
    "file_path",
    "path",
    "notebook_path",
    "pattern",
    "query",
    "url",
    "description",
    "prompt",
)
"""Arguments of tools that tell most, the best first."""


def what_of(effect: Mapping[str, Any]) -> str:
    """One line of an Effect as plain JSON data, every character visible."""
    kind, tool = str(effect.get("kind", "")), _line(str(effect.get("tool", "")))
    here = f"{effect.get('cwd', '')}/"
    paths = ", ".join(_line(str(path).removeprefix(here)) for path in effect.get("paths", ()))
    if kind == "command" and effect.get("command"):
        return "$ " + _line(str(effect["command"]))
    if kind == "edit" and paths:
        return f"edit {paths}"
    given = str(effect.get("command") or paths or telling(effect.get("input", {})))
    return f"{tool} {_line(given)}".strip()


def telling(given: Any) -> str:
    """The argument of a tool that says what it will do; all of them when none is known to."""
    if not isinstance(given, dict):
        return _json(given)
    for name in _TELLING:
        if isinstance(given.get(name), str) and given[name].strip():
            return str(given[name])
    changes = given.get("changes")
    if isinstance(changes, list) and changes and all(isinstance(one, dict) for one in changes):
        return ", ".join(str(one.get("path", "")) for one in changes)
    return "  ".join(
        f"{key}={value if isinstance(value, str) else _json(value)}" for key, value in given.items()
    )


def short_what(inquiry: Inquiry, width: int = 200) -> str:
    return one_line(what_of(msgspec.json.decode(msgspec.json.encode(inquiry.effect))), width)


def show_inquiry(inquiry: Inquiry) -> None:
    """Everything a person needs to decide, nothing of it hidden or cut by us."""
    effect, answer = inquiry.effect, inquiry.answer
    facts(
        [
            ("inquiry", inquiry.id),
            ("state", f"{inquiry.state.word} {inquiry.state.reason}".strip()),
            ("risk", status(str(inquiry.risk))),
            ("task", f"{short(inquiry.task_id)}  {inquiry.title}"),
            ("agent", inquiry.agent),
            ("run", inquiry.run_id),
            ("tool", Painted(_line(effect.tool))),
            ("directory", Painted(_line(effect.cwd))),
            ("why", inquiry.why),
            ("asked", f"{ago(inquiry.created_at)} ago"),
            ("expires", f"{inquiry.expires_at:%Y-%m-%d %H:%M} UTC, then it counts as denied"),
            (
                "answer",
                answer and f"{answer.decision} by {answer.by}, {answer.at:%H:%M:%S} UTC {answer.reason}",
            ),
            ("delivered", inquiry.delivered_at and f"{ago(inquiry.delivered_at)} ago"),
            ("digest", effect.digest),
        ]
    )
    show_effect(inquiry)
    if inquiry.state.word is InquiryState.OPEN:
        click.echo("\n" + hint_of(inquiry.id))


def show_effect(inquiry: Inquiry) -> None:
    """The exact effect alone."""
    effect = inquiry.effect
    _show_part("command", effect.command.split("\n") if effect.command else [])
    _show_part("paths", [_line(path) for path in effect.paths])
    if effect.diff:
        click.echo("\n" + click.style("diff", dim=True))
        print_patch(effect.diff, exact)
    if not effect.command and not effect.diff:
        given = msgspec.json.format(bytes(effect.input), indent=2).decode()
        _show_part("input", given.split("\n"))
    if effect.cut:
        told = "Parts are too long to be shown whole; the digest covers all of it."
        click.echo("\n" + click.style(told, fg="yellow"))


def _show_part(title: str, lines: Sequence[str]) -> None:
    if lines:
        click.echo("\n" + click.style(title, dim=True))
    for line in lines:
        click.echo("  " + exact(line))


def hint_of(inquiry_id: str) -> str:
    """What to type, in another terminal for example."""
    end = short(inquiry_id)
    return click.style(f"  podium approve {end}   or   podium deny {end} --reason '…'", dim=True)


def told_answer(inquiry: Inquiry) -> str:
    """`allowed  $ make`."""
    if inquiry.answer is None:
        return f"{inquiry.state.word}  {short_what(inquiry)}"
    allowed = inquiry.answer.decision is Decision.ALLOW
    word = click.style("allowed", fg="green") if allowed else click.style("denied", fg="red")
    return f"{word}  {short_what(inquiry)}"


def _line(text: str) -> str:
    """Exact, and where a line ends is seen."""
    return exact(text).replace("\n", " ⏎ ").replace("\t", " ")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
