from __future__ import annotations

from tests.databases import on_each_database  # noqa: F401 (every test here runs on each database)
