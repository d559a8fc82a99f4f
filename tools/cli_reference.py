"""`python -m tools.cli_reference > docs/reference/cli.md`: every command's --help, as one document."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

WIDTH = 100
HEAD = """# The command line

Made by `python -m tools.cli_reference`; a test compares it with the commands. Wherever an ID is asked for, a
task, run or change id will do, or the end of one as the lists print it. Every read has `--json` and
`--field a.b.c`. Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 needs you, 5 the task failed or was
cancelled, 124 timeout, 130 interrupted. Errors go to stderr, under `--json` as one JSON object.
"""


def reference(root: click.Group) -> str:
    """The document, of the command given and everything below it."""
    parts = [HEAD]
    for words, command in commands(root, ("podium",)):
        parts.append(f"## {' '.join(words)}\n\n```text\n{help_of(words, command)}\n```\n")
    return "\n".join(parts)


def commands(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """(its words, command), parents first, in the order of their names."""
    yield words, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from commands(command.commands[name], (*words, name))


def help_of(words: tuple[str, ...], command: click.Command) -> str:
    """What --help prints, whatever the width of the terminal."""
    settings = {"help_option_names": ["-h", "--help"], "terminal_width": WIDTH, "max_content_width": WIDTH}
    with click.Context(command, info_name=" ".join(words), **settings) as context:  # type: ignore[arg-type]
        return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


if __name__ == "__main__":
    from podium.app.commands import command_line

    sys.stdout.write(reference(command_line()))
