"""The `podium` command's client half."""

from __future__ import annotations

import click

from podium import __version__
from podium.cli import nouns, work
from podium.cli.work import Locate, StartServer


def build(*, locate: Locate, start_server: StartServer) -> click.Group:
    """Every command that speaks to a server. `locate` and `start_server` come from this machine's side."""

    @click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    @click.version_option(__version__, prog_name="podium")
    def podium() -> None:
        """One control plane for fleets of AI agents."""

    podium.add_command(work.run_command(locate, start_server))
    for verb in (work.ps, work.logs, work.wait, work.cancel, work.diagnose, work.diff, work.show_status):
        podium.add_command(verb)
    for group in (
        nouns.tasks, nouns.runs, nouns.changes, nouns.projects, nouns.agents, nouns.workers, nouns.events
    ):  # fmt: skip
        podium.add_command(group)
    return podium
