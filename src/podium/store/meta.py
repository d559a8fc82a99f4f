"""Facts about the database itself, by name: who wrote last, whether it was closed."""

from __future__ import annotations

from sqlalchemy import Connection, select

from podium.store import schema
from podium.store.unit import Unit


def set_meta(unit: Unit, key: str, value: str) -> None:
    table = schema.meta
    if not unit.execute(table.update().where(table.c.key == key).values(value=value)):
        unit.execute(table.insert().values(key=key, value=value))


def epoch_of(connection: Connection) -> str | None:
    """Which Writer this shared database belongs to at present; None when there has been none."""
    found = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "writer")).scalar()
    return str(found).partition(" ")[0] if found else None
