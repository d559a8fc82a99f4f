"""What every list takes."""

from __future__ import annotations

import click

limit_option = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 500), help="At most so many."
)
after_option = click.option("--after", help="Where the last page ended (its `next`).")
