"""The commands that start something of ours, and all the others joined with them."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import click

from podium.app.background import end_server, start_detached
from podium.app.home import Home, hint_beside
from podium.app.upkeep import backup, migrate
from podium.cli.errors import run as run_group
from podium.cli.main import build
from podium.cli.run import Start
from podium.client.api import Client
from podium.harness.registry import check_harnesses
from podium.kernel.config import Settings
from podium.local.checkouts import locate
from podium.local.commands import register
from podium.local.config import home_path, load_settings
from podium.local.snapshots import take

STOPPING = (signal.SIGTERM, signal.SIGINT)


def run() -> int:
    """The `podium` command. Returns the exit code."""
    return run_group(command_line())


def command_line() -> click.Group:
    """Everything it can do."""
    group = build(locate=_locate, start_server=lambda: start_detached(home_path()))
    register(group)
    for command in (up, down, worker, demo, backup, migrate, model_server):
        group.add_command(command)
    return group


def _locate(client: Client, repo: str | None, base: str | None, include_dirty: bool) -> Start:
    if include_dirty:
        taken = take(client, repo)
        return Start(repository=taken.repository, base=taken.base, snapshot=taken.artifact, notes=taken.notes)
    found = locate(repo, base)
    return Start(repository=found.repository, base=found.base, notes=found.notes)


def _settings(flags: dict[str, Any]) -> tuple[Home, Settings]:
    home = Home(home_path())
    settings, origins = load_settings(home.path, flags)
    check_harnesses(settings.harnesses, origins["harnesses"])
    return home, settings


@click.command()
@click.option("--detach", is_flag=True, help="Run in the background; returns once the server is healthy.")
@click.option("--host", help="Address to listen on; off loopback what follows is needed.")
@click.option("--tls-cert", help="Certificate with its chain, PEM file.")
@click.option("--tls-key", help="Its key, PEM file of mode 0600.")
@click.option("--behind-proxy", help="Addresses of proxies that encrypt, with commas between.")
@click.option("--public-url", help="How it is reached from elsewhere: https://podium.example.org.")
@click.option("--port", type=int, help="Port; without it 4180 or the next free one.")
@click.option("--capacity", type=int, help="Runs at once on this machine.")
@click.option("--beside", metavar="PATH", help="Follow the server whose bus.sock that is, as a gateway.")
@click.option("--worker/--no-worker", "works", default=None, help="Whether this process also runs agents.")
def up(detach: bool, **flags: Any) -> None:
    """Start the server (and its worker) on this machine.

    With --beside: a further gateway to the server that runs on another home and has the same database_url.
    """
    works = flags.pop("works")
    if flags["beside"] is not None:
        flags["beside"] = str(Path(flags["beside"]).expanduser().absolute())
    home, settings = _settings(flags | {"worker": works})
    if detach:
        given = {name.replace("_", "-"): value for name, value in flags.items() if value is not None}
        words = [f"--{name}={value}" for name, value in given.items()]
        words += [] if works is None else ["--worker" if works else "--no-worker"]
        server = start_detached(home.path, words)
        if server.beside is not None:
            click.echo(hint_beside(home, server.url, server.beside))
            return
        with Client.from_home(home.path) as client:
            code = client.login_code()
        click.echo(
            f"Podium {server.version} runs on {server.url} (pid {server.pid}). End it with: podium down"
        )
        click.echo(f"Open {code.public_url or server.url}{code.path}")
        return
    home.open()
    _log_to(home.log if not sys.stderr.isatty() else None, settings)
    anyio.run(_serving(home, settings), click.echo)
    _stop_listening()


def _serving(home: Home, settings: Settings) -> Callable[[Callable[[str], None]], Awaitable[None]]:
    if settings.beside is not None:
        from podium.app.following import Following

        return Following(home, settings, Path(settings.beside)).run
    from podium.app.daemon import Daemon

    return Daemon(home, settings).run


@click.command()
@click.option("--stop-agents", is_flag=True, help="End the agents too; their tasks go on at the next start.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for the end.")
def down(stop_agents: bool, timeout_s: float) -> None:
    """Stop the server. Agents that run go on and are taken up by the next `podium up`."""
    ended = end_server(home_path(), stop_agents=stop_agents, timeout_s=timeout_s)
    click.echo(ended)


@click.command()
@click.option("--name", default="worker", show_default=True, help="Its directory below $PODIUM_HOME.")
@click.option("--capacity", type=int, help="Runs at once.")
def worker(name: str, capacity: int | None) -> None:
    """Run a worker in its own process, for the server on this $PODIUM_HOME."""
    from podium.app.alone import work

    home, settings = _settings({"capacity": capacity})
    home.open()
    _log_to(None, settings)

    async def until_stopped() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, home, settings, name)
            with anyio.open_signal_receiver(*STOPPING) as signals:
                async for _ in signals:
                    break
            # From here on another one changes nothing: what is under way ends by itself.
            for number in STOPPING:
                signal.signal(number, lambda *_: None)
            tasks.cancel_scope.cancel()

    anyio.run(until_stopped)
    _stop_listening()


@click.command()
@click.option("--once", is_flag=True, help="Exit when the tasks have ended.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print one JSON object.")
@click.pass_context
def demo(context: click.Context, once: bool, as_json: bool) -> None:
    """Three agents mend a small project, each in its own workspace. Needs no key and no set-up."""
    from podium.app.demo import run_demo

    _, settings = _settings({"capacity": 3})
    once = once or as_json or not sys.stdout.isatty()
    _log_to(Path(os.devnull), settings)
    code = anyio.run(run_demo, settings, once, as_json)
    _stop_listening()
    context.exit(code)


@click.command("model-server")
@click.option("--port", type=int, default=0, help="Port on 127.0.0.1; without it a free one.")
@click.option("--scripts", type=click.Path(exists=True, file_okay=False), help="Directory of scripts.")
@click.option("--log", type=click.Path(dir_okay=False), help="File to note every request in.")
def model_server(port: int, scripts: str | None, log: str | None) -> None:
    """A model that plays scripts, for tests of agents without a key: docs/reference/model-server.md."""
    words = [sys.executable, "-m", "podium.testing.model_server", f"--port={port}"]
    words += [f"--{name}={value}" for name, value in (("scripts", scripts), ("log", log)) if value]
    # A program of its own in our place: nothing of Podium's imports what is there for tests.
    os.execv(sys.executable, words)


def _stop_listening() -> None:
    """Nothing is left to stop; while Python puts itself away, a further Ctrl-C would still kill it."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _log_to(path: Path | None, settings: Settings) -> None:
    """Our log: on a terminal to stderr, otherwise to a file of bounded size."""
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler()
    else:
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=settings.log_max_bytes, backupCount=1, delay=True
        )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("podium")
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    root.propagate = False
