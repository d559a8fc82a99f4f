"""Exit codes, and how an error is told: a line and the next step; under --json one object on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import click

from podium.cli.output import clean
from podium.kernel.errors import NotFound, PodiumError, Timeout

OK, FAILED, USAGE, NOT_FOUND, NEEDS_YOU, RUN_FAILED, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 124, 130


def run(group: click.Group) -> int:
    """Run the command line and return its exit code; no error leaves as a traceback."""
    as_json = "--json" in sys.argv
    try:
        code = group.main(standalone_mode=False, prog_name="podium")
        return code if isinstance(code, int) else OK
    except PodiumError as error:
        _tell(error.code, error.message, error.hint, as_json, error.details)
        return _code_of(error)
    except ExceptionGroup as group:
        refusals, others = group.split(PodiumError)
        if refusals is None or others is not None:
            raise
        first = _first(refusals)
        _tell(first.code, first.message, first.hint, as_json, first.details)
        return _code_of(first)
    except click.UsageError as error:
        usage = error.ctx.get_usage() + "\n" if error.ctx is not None and not as_json else ""
        click.echo(usage, nl=False, err=True)
        _tell("usage", error.format_message(), "see: podium --help", as_json)
        return USAGE
    except click.ClickException as error:
        _tell("usage", error.format_message(), "", as_json)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain again when it flushes at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _first(group: ExceptionGroup[PodiumError]) -> PodiumError:
    """What ended a task group first; the rest of it ended because of that."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


def _code_of(error: PodiumError) -> int:
    if isinstance(error, NotFound):
        return NOT_FOUND
    return TIMED_OUT if isinstance(error, Timeout) else FAILED


def _tell(code: str, message: str, hint: str, as_json: bool, details: object = None) -> None:
    if as_json:
        body = {"error": {"code": code, "message": message, "hint": hint, "details": details or {}}}
        click.echo(json.dumps(body, default=str), err=True)
        return
    click.echo(f"{click.style('Error:', fg='red')} {clean(message)}", err=True)
    if hint:
        click.echo(f"  {clean(hint)}", err=True)
