"""`podium workers`: list."""

from __future__ import annotations

import click

from podium.cli.output import json_options, shown, table
from podium.client.api import connect


@click.group()
def workers() -> None:
    """The processes that execute runs."""


@workers.command("list")
@json_options
def list_workers(as_json: bool, field: str | None) -> None:
    """All that ever connected."""
    page = connect().workers(limit=500)
    if not shown(page, as_json, field):
        rows = [
            (w.id, "connected" if w.connected else "away", str(w.capacity), w.isolation, w.node)
            for w in page.items
        ]
        table(("ID", "IS", "SLOTS", "ISOLATION", "NODE"), rows)
