"""Talking with an agent that works: send, interrupt, model."""

from __future__ import annotations

import sys
import time

import click

from podium.cli.errors import FAILED, OK, TIMED_OUT
from podium.cli.output import json_options, one_line, shown
from podium.cli.references import task_of
from podium.client.api import Client, connect
from podium.kernel.errors import InvalidRequest
from podium.kernel.session import Message, Mode
from podium.kernel.states import MessageState

DELIVERY_S = 3.0
"""How long a message is watched on its way when nobody asked to wait."""
LOOK_EVERY_S = 0.1
MAX_LOOK_S = 1.0
_BECAME = {
    Mode.STEER: "steers the turn that runs",
    Mode.QUEUE: "is queued behind the turn that runs",
    Mode.INTERRUPT: "interrupts the turn that runs",
    Mode.MODEL: "sets the model from its next request on",
}
_ENDED = (MessageState.COMPLETED, MessageState.UNDELIVERED)


@click.command()
@click.argument("reference", metavar="TASK")
@click.argument("text")
@click.option("--steer", "mode", flag_value="steer", help="Into the turn that runs.")
@click.option("--queue", "mode", flag_value="queue", help="Behind the turn that runs, as one of its own.")
@click.option("--interrupt", "mode", flag_value="interrupt", help="Stop the turn that runs first.")
@click.option("--wait", "waits", is_flag=True, help="Until the agent has done what follows from it.")
@click.option("--timeout", "timeout_s", type=float, default=3_600.0, show_default=True, help="With --wait.")
@json_options
def send(
    reference: str,
    text: str,
    mode: str | None,
    waits: bool,
    timeout_s: float,
    as_json: bool,
    field: str | None,
) -> int:
    """Say something to the agent of a task. TEXT `-` reads it from stdin."""
    client = connect()
    said = sys.stdin.read() if text == "-" else text
    if not said.strip():
        raise InvalidRequest("the message is empty", hint="to stop its turn: podium interrupt TASK")
    message = client.send_message(task_of(client, reference), said, mode)
    return _told(client, message, waits, timeout_s, as_json, field)


@click.command()
@click.argument("reference", metavar="TASK")
@click.argument("text", default="")
@json_options
def interrupt(reference: str, text: str, as_json: bool, field: str | None) -> int:
    """Stop what the agent is doing right now; it stays for TEXT, or for the next message."""
    client = connect()
    message = client.interrupt(task_of(client, reference), text)
    return _told(client, message, False, 0.0, as_json, field)


@click.command()
@click.argument("reference", metavar="TASK")
@click.argument("name", metavar="MODEL")
@json_options
def model(reference: str, name: str, as_json: bool, field: str | None) -> int:
    """Let the agent of a task go on with another model."""
    client = connect()
    message = client.set_model(task_of(client, reference), name)
    return _told(client, message, False, 0.0, as_json, field)


def _told(
    client: Client, message: Message, waits: bool, timeout_s: float, as_json: bool, field: str | None
) -> int:
    quiet = as_json or field is not None
    if not quiet:
        click.echo(f"{message.id}  {_BECAME[message.mode]}")
    enough = _ENDED if waits else tuple(word for word in MessageState if word is not MessageState.QUEUED)
    message = _watched(client, message, enough, timeout_s if waits else DELIVERY_S)
    if not shown(message, as_json, field):
        click.echo(click.style(_became(message), dim=True))
    if message.state.word is MessageState.UNDELIVERED:
        return FAILED
    return TIMED_OUT if waits and message.state.word not in _ENDED else OK


def _watched(client: Client, message: Message, enough: tuple[MessageState, ...], timeout_s: float) -> Message:
    """The message once its state is one of `enough`, or as it stands when time is up."""
    end, pause_s = time.monotonic() + timeout_s, LOOK_EVERY_S
    while message.state.word not in enough and time.monotonic() < end:
        time.sleep(min(pause_s, max(0.0, end - time.monotonic())))
        pause_s = min(2 * pause_s, MAX_LOOK_S)
        message = client.message(message.id)
    return message


def _became(message: Message) -> str:
    match message.state.word:
        case MessageState.QUEUED:
            return "not delivered yet; it stays queued"
        case MessageState.UNDELIVERED:
            return f"not delivered: {one_line(message.state.reason, 200)}"
        case word:
            return str(word)
