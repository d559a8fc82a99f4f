"""The database that a test's stores stand on: `--database sqlite|postgresql|both`, one parameter for all.

A directory whose tests open stores has `from tests.databases import on_each_database` in its conftest; each
of its tests then runs on every chosen database, each time on one of its own. Nothing is skipped: without a
PostgreSQL to test with, the tests that need one fail and say what to install.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from podium.testing.databases import chosen
from podium.testing.postgresql import Cluster, Databases

OPTION = "--database"
CHOICES = {"sqlite": ["sqlite"], "postgresql": ["postgresql"], "both": ["sqlite", "postgresql"]}
ONLY = "only_on"
GIVEN = "PODIUM_TEST_DATABASE_URL"


def wanted(metafunc: pytest.Metafunc) -> list[str]:
    """The databases to run a test on."""
    mark = metafunc.definition.get_closest_marker(ONLY)
    return [mark.args[0]] if mark else CHOICES[metafunc.config.getoption(OPTION)]


def is_chosen(item: pytest.Item) -> bool:
    mark = item.get_closest_marker(ONLY)
    return mark is None or mark.args[0] in CHOICES[item.config.getoption(OPTION)]


@pytest.fixture(scope="session")
def cluster(nothing_is_left_behind: None) -> Iterator[Cluster]:
    """A server of this session's own, with everything as durable as in life."""
    made = Cluster()
    made.start()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """On the server that the environment names, else on our own."""
    given = os.environ.get(GIVEN)
    made = Databases(given) if given else request.getfixturevalue("cluster").databases
    yield made
    made.close()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """`sqlite` or `postgresql`; set in the root conftest."""
    if request.param == "postgresql":
        chosen.use(request.getfixturevalue("databases"))
    yield request.param
    chosen.forget()


@pytest.fixture(autouse=True)
def on_each_database(database: str) -> None:
    """For the conftest of a directory."""
