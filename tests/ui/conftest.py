"""Chromium on a real daemon with scripted agents. One browser, one server; a context and a login per test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from podium.testing.fleet import Fleet
from tests.support import make_repository
from tools import browser as browsers
from tools.bootstrap import Failed

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WAIT_MS = 20_000
expect.set_options(timeout=WAIT_MS)

# What the page's policy stops, and what a payload would do, is written down by the page.
WATCH = """
window.__ran = [];
window.__violations = [];
window.alert = (what) => window.__ran.push(String(what));
document.addEventListener('securitypolicyviolation', (event) =>
  window.__violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process for everything that has a browser."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    try:
        path = browsers.get()
    except Failed as error:
        pytest.fail(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Podium:
    """A server, and what tests ask of it."""

    def __init__(self, fleet: Fleet, repository: Path) -> None:
        self.fleet = fleet
        self.repository = repository

    @property
    def url(self) -> str:
        return str(json.loads((self.fleet.home / "server.json").read_text())["url"])

    def open(
        self, prompt: str, title: str | None = None, *, with_repository: bool = False, **more: Any
    ) -> str:
        body = {"prompt": prompt, "agent": "scripted", **more}
        if title is not None:
            body["title"] = title
        if with_repository:
            body["repository"] = str(self.repository)
        return str(self.fleet.call("POST", "/tasks", body)["id"])

    def login_path(self, token: str | None = None) -> str:
        """Of the owner, or of whoever has this token."""
        if token is None:
            return str(self.fleet.call("POST", "/login-codes", {})["path"])
        asked = httpx.post(
            f"{self.url}/api/v1/login-codes",
            json={},
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        return str(asked.json()["path"])


@pytest.fixture(scope="session")
def podium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podium]:
    folder = tmp_path_factory.mktemp("podium")
    fleet = Fleet(folder / "home", separate=False)
    fleet.start_all()
    yield Podium(fleet, make_repository(folder / "repository"))
    fleet.stop()


class Watched:
    """What went wrong in a context's pages: none of it is ever expected."""

    def __init__(self, context: BrowserContext) -> None:
        self.errors: list[str] = []
        self.foreign: list[str] = []
        context.add_init_script(WATCH)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on(
            "dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss())
        )
        context.on("console", self._said)
        context.on("request", self._asked)

    def _asked_by_dialog(self, dialog: Any) -> None:
        self.errors.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _said(self, message: Any) -> None:
        # What a server refuses, or a server that is away, the browser itself writes down.
        if message.type == "error" and not any(
            word in message.text for word in ("Failed to load resource", "WebSocket connection to")
        ):
            self.errors.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "blob:", "data:")):
            self.foreign.append(request.url)

    def check(self, context: BrowserContext) -> None:
        assert self.errors == []
        assert self.foreign == []
        for page in context.pages:
            if page.url.startswith("http"):
                assert page.evaluate("[window.__ran, window.__violations]") == [[], []]


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Nobody is signed in. Fails when a page threw, was stopped by its policy, or asked another host."""
    made = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    made.set_default_timeout(WAIT_MS)
    watched = Watched(made)
    yield made
    watched.check(made)
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


SignIn = Callable[..., Page]


@pytest.fixture
def sign_in(page: Page, podium: Podium) -> SignIn:
    """Opens an address of the page, signed in."""

    def done(path: str = "/", *, at: Podium = podium, token: str | None = None) -> Page:
        page.goto(at.url + path.split("#")[0] + at.login_path(token)[1:])
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        return page

    return done
