"""How results travel from PostgreSQL."""

from __future__ import annotations

from typing import Any

from psycopg import Cursor
from psycopg.pq import Format


class BinaryCursor(Cursor[Any]):
    """Results as bytes: as text every document would come in hexadecimal, twice as long."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.format = Format.BINARY
