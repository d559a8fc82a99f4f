"""The inbox: what waits for a person, and the answers. `podium inquiries` is the same as a noun."""

from __future__ import annotations

import click

from podium.cli.effects import short_what, show_inquiry, told_answer
from podium.cli.nouns.paging import after_option, limit_option
from podium.cli.output import ago, json_options, one_line, short, shown, status, table
from podium.cli.references import inquiry_of, task_of
from podium.client.api import Client, connect
from podium.client.pages import Page
from podium.kernel.errors import Conflict
from podium.kernel.inquiry import Decision, Inquiry
from podium.kernel.states import InquiryState

MAX_SHOWN = 200
_TITLE = 30


@click.group(invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help="Answered ones too, behind the open ones.")
@json_options
@click.pass_context
def inbox(context: click.Context, everything: bool, as_json: bool, field: str | None) -> None:
    """What agents ask of you: open inquiries, the newest first."""
    if context.invoked_subcommand is not None:
        return
    client = connect()
    page = client.inquiries(limit=MAX_SHOWN, state=str(InquiryState.OPEN))
    if everything:
        rest = client.inquiries(limit=MAX_SHOWN).items
        answered = tuple(inquiry for inquiry in rest if inquiry.state.word is not InquiryState.OPEN)
        page = Page(items=(*page.items, *answered))
    if shown(page, as_json, field):
        return
    _print(page, with_state=everything)
    if any(inquiry.state.word is InquiryState.OPEN for inquiry in page.items):
        hint = "Look first: podium inbox show ID; then: podium approve ID, or podium deny ID --reason '…'"
        click.echo(click.style(hint, dim=True), err=True)


@inbox.command("show")
@click.argument("reference", metavar="ID")
@json_options
def show_in_inbox(reference: str, as_json: bool, field: str | None) -> None:
    """One inquiry with its exact effect."""
    _show(reference, as_json, field)


@click.group()
def inquiries() -> None:
    """What a person must decide."""


@inquiries.command("list")
@click.option(
    "--state", type=click.Choice([str(word) for word in InquiryState]), help="Only those in this state."
)
@click.option("--task", help="Only of this task.")
@limit_option
@after_option
@json_options
def list_inquiries(
    state: str | None, task: str | None, limit: int, after: str | None, as_json: bool, field: str | None
) -> None:
    """Newest first."""
    client = connect()
    task_id = task_of(client, task) if task else None
    page = client.inquiries(limit=limit, after=after, state=state, task=task_id)
    if not shown(page, as_json, field):
        _print(page, with_state=True)


@inquiries.command("show")
@click.argument("reference", metavar="ID")
@json_options
def show_one(reference: str, as_json: bool, field: str | None) -> None:
    """One inquiry with its exact effect."""
    _show(reference, as_json, field)


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--reason", default="", help="Given to the agent beside the permission.")
@json_options
def approve(reference: str, reason: str, as_json: bool, field: str | None) -> None:
    """Allow what an inquiry asks, once."""
    _answer(reference, Decision.ALLOW, reason, as_json, field)


@click.command()
@click.argument("reference", metavar="ID")
@click.option("--reason", default="", help="Given to the agent: what it shall do instead.")
@json_options
def deny(reference: str, reason: str, as_json: bool, field: str | None) -> None:
    """Refuse what an inquiry asks; the agent goes on without it."""
    _answer(reference, Decision.DENY, reason, as_json, field)


def give_answer(client: Client, inquiry_id: str, decision: Decision, reason: str = "") -> Inquiry:
    """Answer an open inquiry. Raises Conflict when somebody has answered, or nobody asks any more."""
    found = client.inquiry(inquiry_id)
    if found.state.word is not InquiryState.OPEN:
        raise Conflict(_already(found), hint="nothing was changed; see: podium inbox --all")
    return client.answer(inquiry_id, str(decision), reason)


def _answer(reference: str, decision: Decision, reason: str, as_json: bool, field: str | None) -> None:
    client = connect()
    inquiry = give_answer(client, inquiry_of(client, reference), decision, reason)
    if not shown(inquiry, as_json, field):
        click.echo(told_answer(inquiry))


def _already(inquiry: Inquiry) -> str:
    answer, end = inquiry.answer, short(inquiry.id)
    if answer is None:
        return f"{end} is no longer asked: {inquiry.state.reason}"
    word = "allowed" if answer.decision is Decision.ALLOW else "denied"
    return f"{end} was already {word} by {answer.by} at {answer.at:%Y-%m-%d %H:%M:%S} UTC"


def _show(reference: str, as_json: bool, field: str | None) -> None:
    client = connect()
    inquiry = client.inquiry(inquiry_of(client, reference))
    if not shown(inquiry, as_json, field):
        show_inquiry(inquiry)


def _print(page: Page[Inquiry], *, with_state: bool) -> None:
    head = ("ID", "AGE", *(("STATE",) if with_state else ()), "TASK", "AGENT", "RISK", "WHAT")
    rows = [
        (
            short(inquiry.id),
            ago(inquiry.created_at),
            *((_state(inquiry),) if with_state else ()),
            one_line(inquiry.title, _TITLE),
            inquiry.agent,
            status(str(inquiry.risk)),
            short_what(inquiry),
        )
        for inquiry in page.items
    ]
    table(head, rows)


def _state(inquiry: Inquiry) -> str:
    word = inquiry.answer.decision if inquiry.answer is not None else inquiry.state.word
    return str(inquiry.state.word if inquiry.state.word is InquiryState.EXPIRED else word)
