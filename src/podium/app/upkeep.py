"""Commands about the database as a whole: backup, migrate."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from podium.app.home import Home
from podium.kernel.config import Settings
from podium.kernel.database_url import check_database_url, shown_database_url
from podium.kernel.errors import Conflict, NotFound
from podium.local.config import home_path, load_settings


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--artifacts", "only_artifacts", is_flag=True, help="Leave out a PostgreSQL database.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def backup(target: Path, only_artifacts: bool, as_json: bool) -> None:
    """Copy the database and artifacts to TARGET while the server works. TARGET is then a $PODIUM_HOME.

    A PostgreSQL database is copied by its own tools, and first: dump it (pg_dump), then take the artifacts
    with --artifacts.
    """
    from podium.store.backup import back_up

    home = home_path()
    settings, _ = load_settings(home)
    _must_know(settings, only_artifacts, target)
    done = back_up(home, target.absolute(), database=settings.database_url is None)
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(f"Saved to {target} ({done['bytes']:,} bytes, {done['artifacts']} artifacts).")
    if settings.database_url is None:
        click.echo(f"To restore: PODIUM_HOME={target} podium up")
    else:
        click.echo("The database is not in it. To restore: pg_restore the dump that you made before into an")
        click.echo(f"empty database, then PODIUM_HOME={target} PODIUM_DATABASE_URL=… podium up")


def _must_know(settings: Settings, only_artifacts: bool, target: Path) -> None:
    """Nobody may believe that a backup holds what it does not."""
    if settings.database_url is None:
        if only_artifacts:
            raise Conflict("the database of this home is a file in it", hint="leave out --artifacts")
        return
    if not only_artifacts:
        place = shown_database_url(settings.database_url)
        raise Conflict(
            f"the database is not in this home but at {place}",
            hint=f"first: pg_dump -Fc -f podium.dump '{place}'; then: podium backup --artifacts {target}",
        )


@click.command()
@click.option("--to", "url", required=True, metavar="URL", help="postgresql://USER@HOST:PORT/NAME, empty.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def migrate(url: str, as_json: bool) -> None:
    """Copy this home's database into an empty PostgreSQL database. The home itself stays as it is.

    Only while no server runs on the home and no run is open. Everything is copied and compared, or nothing
    is there afterwards. Keep the password out of the command line: PGPASSWORD or ~/.pgpass are read.
    """
    from podium.store.postgresql import PostgresqlDatabase
    from podium.store.sqlite import SqliteDatabase
    from podium.store.transfer import transfer

    check_database_url(url)
    home = Home(home_path())
    settings, origins = load_settings(home.path)
    if settings.database_url is not None:
        place = shown_database_url(settings.database_url)
        raise Conflict(
            f"this home's database is at {place} already", hint=f"set in: {origins['database_url']}"
        )
    file = home.path / "podium.db"
    if not file.exists():
        raise NotFound(f"there is no database in {home.path}", hint="set database_url, then: podium up")
    target = PostgresqlDatabase(url, "podium migrate")
    with home.owned():
        copied = transfer(SqliteDatabase(file), target)
    line = f'database_url = "{target.place}"'
    if as_json:
        click.echo(msgspec.json.encode({"tables": copied, "set": line}).decode())
        return
    for table in copied:
        click.echo(f"{table.table:<14}{table.rows:>10} rows   sha256 {table.sha256[:12]} on both sides")
    click.echo(
        f"\nTo go on with it, put this into {home.path / 'config.toml'} (with the password, if any):\n"
    )
    click.echo(f"  {line}\n")
    click.echo(f"{file} is as it was. Until the line is set, podium up goes on with that.")
