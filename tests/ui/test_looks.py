"""For everybody: contrast and names (axe), both themes, a phone's width. What fails leaves a screenshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support import script

from .conftest import Podium, SignIn

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
LONG = "a" * 300


@pytest.fixture(scope="session")
def addresses(podium: Podium) -> dict[str, str]:
    """One of every page, with something of everything on it."""
    work = [
        {"do": "say", "text": f"I say something. {LONG}"},
        {"do": "think", "text": "and think"},
        {"do": "run", "argv": ["sh", "-c", f"echo {LONG}; seq 1 20; exit 1"]},
        {"do": "edit", "path": f"src/{LONG[:120]}.py", "write": f"x = '{LONG}'\n" * 3},
        {"do": "usage", "input_tokens": 1000, "output_tokens": 20, "cost_usd": 0.5},
    ]
    done = podium.open(script(*work), f"Done with something long {LONG[:80]}", with_repository=True)
    failed = podium.open(script({"do": "fail", "message": LONG}), "Failed")
    ask = {"do": "ask", "command": f"make {LONG}", "why": f"because {LONG}"}
    asking = podium.open(script(*work, ask), "Asks", with_repository=True)
    podium.fleet.wait_ended(done)
    podium.fleet.wait_ended(failed)
    return {
        "tasks": "/",
        "nothing": "/?status=unknown",
        "done": f"/tasks/{done}",
        "changes": f"/tasks/{done}?tab=changes",
        "failed": f"/tasks/{failed}",
        "asking": f"/tasks/{asking}",
        "nowhere": "/nowhere",
    }


SEEN: dict[str, Any] = {
    "tasks": lambda page: page.locator("[data-task]").first,
    "nothing": lambda page: page.get_by_text("No task fits."),
    "done": lambda page: page.get_by_text("its change is ready for review"),
    "changes": lambda page: page.locator(".diff-line").first,
    "failed": lambda page: page.get_by_text("task failed"),
    "asking": lambda page: page.get_by_role("region", name="The agent asks"),
    "nowhere": lambda page: page.get_by_text("There is no such page."),
}


def check(page: Page, name: str, keep: Path) -> list[str]:
    """What is wrong with this page, in both themes and at a phone's width."""
    wrong = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 740})
            expect(SEEN.get(name, lambda page: page.locator("h1"))(page)).to_be_visible()
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if over > 0:
                wrong.append(f"{name} {scheme} {width}: {over} px too wide")
            found = Axe().run(page, options=RULES).response["violations"]
            wrong += [
                f"{name} {scheme} {width}: {one['id']} {node['target']} {node['failureSummary'][:300]}"
                for one in found
                for node in one["nodes"]
            ]
            if wrong:
                page.screenshot(path=keep / f"{name}-{scheme}-{width}.png")
    return wrong


def test_every_page_can_be_used_by_everybody_in_both_themes_and_on_a_phone(
    sign_in: SignIn, podium: Podium, addresses: dict[str, str], tmp_path: Path
) -> None:
    wrong: list[str] = []
    page = sign_in()
    for name, address in addresses.items():
        page.set_viewport_size({"width": 1280, "height": 740})
        page.goto(podium.url + address)
        wrong += check(page, name, tmp_path)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Login code")).to_be_visible()
    wrong += check(page, "login", tmp_path)
    assert wrong == [], "\n".join(wrong)
