"""`podium run`: open a task for an agent, with all that it may be given, and follow it."""

from __future__ import annotations

import mimetypes
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from podium.cli import follow as following
from podium.cli.errors import INTERRUPTED
from podium.cli.output import json_options, shown
from podium.cli.references import session_of
from podium.cli.work import DAY_S
from podium.client.api import Client, connect
from podium.client.home import ServerFile
from podium.kernel.errors import InvalidRequest, TooLarge, Unavailable
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import MAX_ATTACHMENT_BYTES

MAX_SCHEMA_BYTES = 64 * 1024


class Start(Struct, frozen=True, kw_only=True):
    """What a task starts from, as the machine's checkouts say."""

    repository: str | None
    base: str | None = None
    snapshot: ArtifactId | None = None
    notes: tuple[str, ...] = ()


Locate = Callable[[Client, str | None, str | None, bool], Start]
"""(client, --repo, --base, --include-dirty) → where to start, uncommitted work uploaded; given by whoever
knows this machine's checkouts."""
StartServer = Callable[[], ServerFile]


def run_command(locate: Locate, start_server: StartServer) -> click.Command:
    """`podium run`, joined with what only the machine knows."""

    @click.command("run")
    @click.argument("prompt")
    @click.option("--repo", help="Path, URL or owner/name; default: the checkout you are in.")
    @click.option("--base", help="Branch, tag or commit to start from; default: HEAD.")
    @click.option("--include-dirty", is_flag=True, help="Start from uncommitted and untracked files too.")
    @click.option("--target", help="Branch the change is meant for.")
    @click.option("--project", help="Project, by name or id.")
    @click.option("--agent", help="Which agent; default: claude.")
    @click.option("--check", "checks", multiple=True, help="NAME=COMMAND that must exit 0; repeatable.")
    @click.option("--priority", type=click.IntRange(-10, 10), help="-10 to 10.")
    @click.option("--title", help="Default: the first line of the prompt.")
    @click.option("--session", help="Go on with this conversation: a session, or a task or run in it.")
    @click.option("--fork", is_flag=True, help="With a copy of the conversation.")
    @click.option(
        "--output-schema",
        type=click.Path(exists=True, dir_okay=False, allow_dash=False),
        help="File with a JSON schema that the answer has to fit.",
    )
    @click.option(
        "--attach",
        "attached",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File for the agent to read, up to 20 MB; repeatable.",
    )
    @click.option("--detach", is_flag=True, help="Only open the task; do not follow it.")
    @click.option("--timeout", "timeout_s", type=float, default=DAY_S, help="Seconds to follow it.")
    @json_options
    def run(prompt: str, **given: Any) -> int:
        """Open a task for an agent and follow it. PROMPT `-` reads it from stdin."""
        client = _connected(start_server)
        start = _start(client, locate, given)
        quiet = given["as_json"] or given["field"] is not None
        for note in () if quiet else start.notes:
            click.echo(click.style(note, dim=True), err=True)
        task = client.open_task(
            prompt=sys.stdin.read() if prompt == "-" else prompt,
            title=given["title"],
            agent=given["agent"],
            project=given["project"],
            repository=start.repository,
            base=start.base,
            snapshot=start.snapshot,
            target=given["target"],
            checks=checks_of(given["checks"]),
            priority=given["priority"],
            session=session_of(client, given["session"]) if given["session"] else None,
            fork=given["fork"] or None,
            output_schema=_schema(given["output_schema"]),
            attachments=_attached(client, given["attached"]),
            source="cli",
        )
        if given["detach"]:
            if not shown(task, given["as_json"], given["field"]):
                click.echo(task.id)
            return 0
        return _follow(client, task.id, given)

    return run


def _attached(client: Client, files: Sequence[Path]) -> list[dict[str, str]] | None:
    """Stored by hash, so that the same file twice costs one upload."""
    for file in files:
        if file.stat().st_size > MAX_ATTACHMENT_BYTES:
            raise TooLarge(
                f"{file} is larger than {MAX_ATTACHMENT_BYTES // 1024**2} MB",
                hint="put it where the agent can fetch it, and say where in the prompt",
            )
    return [
        {"name": file.name, "artifact": client.put_artifact(file, name=file.name, media_type=_kind_of(file))}
        for file in files
    ] or None


def _kind_of(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _start(client: Client, locate: Locate, given: dict[str, Any]) -> Start:
    """Where the task starts: in a conversation's own place, or as this machine's checkouts say."""
    if given["session"] is None:
        if given["fork"]:
            raise click.UsageError("--fork copies a conversation: name it with --session.")
        if given["include_dirty"] and given["base"] is not None:
            raise click.UsageError("--include-dirty starts from your checkout as it is: leave out --base.")
        return locate(client, given["repo"], given["base"], given["include_dirty"])
    for name in ("repo", "base", "include_dirty", "project"):
        if given[name]:
            word = name.replace("_", "-")
            raise click.UsageError(f"--session goes on where its work was left: leave out --{word}.")
    return Start(repository=None)


def _follow(client: Client, task_id: str, given: dict[str, Any]) -> int:
    quiet = given["as_json"] or given["field"] is not None
    if not quiet:
        click.echo(click.style(f"{task_id}  (Ctrl-C stops following, not the task)", dim=True), err=True)
        try:
            following.print_transcript(
                client, task_id, follow=True, as_json=False, on_ask=following.asker(client, here=True)
            )
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"\nThe task goes on. Follow it again: podium logs -f {task_id}", err=True)
            return INTERRUPTED
    task = client.wait(task_id, timeout_s=given["timeout_s"])
    if not shown(task, given["as_json"], given["field"]):
        following.print_structured(client, task)
        following.epilogue(task)
    return following.exit_code(task)


def _connected(start_server: StartServer) -> Client:
    try:
        return connect()
    except Unavailable:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
    if not click.confirm("No server runs. Start one in the background?", default=True, err=True):
        raise Unavailable("no server runs", hint="start one: podium up --detach")
    start_server()
    return connect()


def checks_of(given: Sequence[str]) -> list[dict[str, Any]] | None:
    checks = []
    for text in given:
        name, equals, command = text.partition("=")
        words = shlex.split(command)
        if not equals or not words:
            raise InvalidRequest(
                f"{text!r} is no check", hint="write NAME=COMMAND, e.g. --check 'tests=pytest -q'"
            )
        checks.append({"name": name, "argv": words})
    return checks or None


def _schema(path: str | None) -> Any:
    """A JSON file, to be sent as it is. Raises InvalidRequest."""
    if path is None:
        return None
    with open(path, "rb") as file:
        raw = file.read(MAX_SCHEMA_BYTES + 1)
    if len(raw) > MAX_SCHEMA_BYTES:
        raise InvalidRequest(f"{path} is larger than {MAX_SCHEMA_BYTES // 1024} KiB")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path} is no JSON: {error}", hint='for example {"type": "object"}') from error
