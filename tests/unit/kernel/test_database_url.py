"""The one setting that may hold a password."""

from __future__ import annotations

import pytest

from podium.kernel.config import resolve, shown
from podium.kernel.database_url import check_database_url, shown_database_url
from podium.kernel.errors import InvalidRequest

SECRET = "ge:h/e@im"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@h:5432/name",
        "postgres://u:p@h/name?sslmode=require",
        "postgresql:///name?host=/run/postgresql",
        "postgresql://h1:1,h2:2/name?target_session_attrs=read-write".replace("h1:1,", ""),
    ],
)
def test_an_address_of_a_postgresql_database_is_accepted(url):
    check_database_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u:geheim@h/n", "'mysql'"),
        ("sqlite:///x.db", "'sqlite'"),
        ("postgresql+psycopg://u:geheim@h/n", "postgresql\\+psycopg"),
        ("/var/lib/podium.db", "no address"),
        ("postgresql://u:geheim@h", "names no database"),
        ("postgresql://u:geheim@h/", "names no database"),
        ("postgresql://u:geheim@h:port/n", "host or port"),
        ("postgresql://u:geheim@h/n ame", "names no database"),
    ],
)
def test_any_other_is_refused_with_what_to_write_and_without_being_repeated(url, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        resolve([("environment", {"database_url": url})])
    assert refused.value.message.startswith("environment: database_url: ")
    assert "postgresql://USER@HOST" in refused.value.hint
    assert "geheim" not in str(refused.value) + refused.value.hint + repr(refused.value.__cause__)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://u:geheim@h:1/n", "postgresql://u:***@h:1/n"),
        ("postgresql://u:ge%40heim@h/n", "postgresql://u:***@h/n"),
        ("postgresql://u@h/n", "postgresql://u@h/n"),
        ("postgresql:///n?host=/run&password=geheim", "postgresql:///n?host=/run&password=***"),
        (
            "postgresql://h/n?sslpassword=geheim&sslmode=require",
            "postgresql://h/n?sslpassword=***&sslmode=require",
        ),
        ("rubbish geheim", "***"),
        ("postgresql://[geheim", "***"),
    ],
)
def test_a_password_is_never_shown(url, seen):
    assert shown_database_url(url) == seen
    assert shown("database_url", url) == seen
    assert shown("database_url", None) is None
    assert shown("node", "geheim") == "geheim"
