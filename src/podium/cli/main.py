"""The `podium` command's client half."""

from __future__ import annotations

import click

from podium import __version__
from podium.cli import inbox, talk, work
from podium.cli.nouns import agents, changes, events, projects, runs, sessions, tasks, tokens, workers
from podium.cli.run import Locate, StartServer, run_command

DAY_TO_DAY = (
    "run", "ps", "inbox", "approve", "deny", "logs", "send", "interrupt", "model", "wait", "diff", "apply",
    "cancel", "diagnose", "status",
)  # fmt: skip
NOUNS = (
    "tasks",
    "runs",
    "sessions",
    "inquiries",
    "changes",
    "projects",
    "agents",
    "workers",
    "tokens",
    "events",
)


class Sections(click.Group):
    """Its help in three parts: what people type all day, the nouns, and the rest, about this machine."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rest = [name for name in self.commands if name not in (*DAY_TO_DAY, *NOUNS)]
        room = formatter.width - 6 - max(map(len, self.commands))
        for title, names in (("Day to day", DAY_TO_DAY), ("Nouns", NOUNS), ("This machine", rest)):
            rows = [
                (name, self.commands[name].get_short_help_str(room))
                for name in names
                if name in self.commands
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def build(*, locate: Locate, start_server: StartServer) -> click.Group:
    """Every command that speaks to a server. `locate` and `start_server` come from this machine's side."""

    @click.group(
        cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
    )
    @click.version_option(__version__, prog_name="podium")
    def podium() -> None:
        """One control plane for fleets of AI agents."""

    podium.add_command(run_command(locate, start_server))
    for verb in (work.ps, work.logs, work.wait, work.cancel, work.diagnose, work.diff, work.show_status):
        podium.add_command(verb)
    for verb in (inbox.inbox, inbox.approve, inbox.deny, talk.send, talk.interrupt, talk.model, tokens.login):
        podium.add_command(verb)
    for noun in (
        tasks.tasks,
        runs.runs,
        sessions.sessions,
        inbox.inquiries,
        changes.changes,
        projects.projects,
        agents.agents,
        workers.workers,
        tokens.tokens,
        events.events,
    ):
        podium.add_command(noun)
    return podium
