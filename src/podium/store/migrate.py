"""Brings a database to HEAD. The only module that imports Alembic, and only when there is something to do."""

from __future__ import annotations

from sqlalchemy import Connection


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the missing migrations in the transaction that the caller has begun and will commit: afterwards the
    schema is old or new, never between.

    Several processes may call this at once: BEGIN IMMEDIATE, or the Writer's advisory lock, lets one migrate;
    the others find it current.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "podium.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
