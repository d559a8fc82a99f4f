"""Which addresses a gateway that follows answers by itself: decided beside each route, and here for all."""

from __future__ import annotations

from collections.abc import Iterator

from podium.gateway.app import ROOMS
from podium.gateway.openapi import PREFIX
from podium.gateway.routes import About

ASKED_OF_THE_MAIN_SERVER = {
    "/artifacts/{id:str}",
    "/changes/{id:str}/bundle",
    "/changes/{id:str}/diff",
    "/runs/{id:str}/diagnose",
    "/runs/{id:str}/diff",
    "/runs/{id:str}/output",
    "/sessions/{id:str}",
}
"""What is read and does not stand in rows: files, mirrors, machines, the main server's own configuration."""


def routes() -> Iterator[tuple[str, str, About]]:
    for room in ROOMS:
        for route in room.ROUTES:
            methods = getattr(route, "http_methods", {"GET"})
            for method in methods:
                yield str(method), min(route.paths), route.opt["about"]


def test_a_gateway_that_follows_changes_nothing_itself() -> None:
    assert [path for method, path, about in routes() if method not in {"GET", "HEAD"} and about.here] == []


def test_it_reads_itself_whatever_stands_in_rows() -> None:
    asked = {path for method, path, about in routes() if method in {"GET", "HEAD"} and not about.here}
    assert asked == ASKED_OF_THE_MAIN_SERVER
    assert PREFIX not in "".join(asked)


def test_only_the_end_of_a_server_is_not_passed_on() -> None:
    assert [path for _, path, about in routes() if about.stays] == ["/shutdown"]


def test_whatever_may_change_which_secrets_count_says_so() -> None:
    said = {path for _, path, about in routes() if about.about_tokens}
    changing = {
        path for method, path, _ in routes() if method == "POST" and path.startswith(("/tokens", "/log"))
    }
    assert said == changing - {"/login-codes"}
