"""Which database the stores of a test stand on: the one parameter behind Rig, Serving and Fleet.

A home gets its database when it is first asked for and keeps it: another server on the same home finds it.
"""

from __future__ import annotations

from pathlib import Path

from podium.testing.postgresql import Databases


class Chosen:
    """Nothing chosen is SQLite: a file in each home."""

    def __init__(self) -> None:
        self._databases: Databases | None = None
        self._made: dict[Path, str] = {}

    def use(self, databases: Databases | None) -> None:
        self._databases = databases

    def url(self, home: Path) -> str | None:
        if self._databases is None:
            return None
        if home not in self._made:
            self._made[home] = self._databases.make()
        return self._made[home]

    def forget(self) -> None:
        """Drop what was made; back to SQLite."""
        if self._databases is not None:
            for url in self._made.values():
                self._databases.drop(url)
        self._made.clear()
        self._databases = None


chosen = Chosen()
