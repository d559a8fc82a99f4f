"""The list of tasks, live."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.support import eventually, script

from .conftest import Podium, SignIn


def to_end(table: Locator) -> bool:
    """Scrolls there; rows that are seen for the first time may move the end."""
    table.evaluate("element => element.scrollTo(0, element.scrollHeight)")
    return True


def row(page, task: str):
    return page.locator(f'[data-task="{task}"]')


def test_a_task_appears_and_changes_its_status_without_a_reload(
    sign_in: SignIn, podium: Podium, tmp_path: Path
) -> None:
    before = podium.open(script({"do": "say", "text": "x"}), "There before")
    page = sign_in()
    expect(row(page, before)).to_be_visible()
    lists: list[str] = []
    page.on("request", lambda request: lists.append(request.url) if "/tasks?" in request.url else None)
    gate = tmp_path / "gate"
    steps = ({"do": "edit", "path": "new.txt", "write": "1\n2\n3\n"}, {"do": "wait", "file": str(gate)})
    task = podium.open(script(*steps), "Seen as it happens", with_repository=True)
    expect(row(page, task)).to_contain_text("Seen as it happens")
    expect(row(page, task)).to_contain_text("running")
    expect(row(page, task)).to_contain_text("scripted")
    gate.touch()
    expect(row(page, task)).to_contain_text("review")
    expect(row(page, task)).to_contain_text("+3 \N{MINUS SIGN}0 in 1 file")
    assert lists == []


def test_filters_stand_in_the_address_and_hold_for_what_comes(
    sign_in: SignIn, podium: Podium, tmp_path: Path
) -> None:
    page = sign_in()
    page.get_by_label("Status").select_option("failed")
    expect(page).to_have_url(f"{podium.url}/?status=failed")
    good = podium.open(script({"do": "say", "text": "well"}), "Succeeds beside it")
    bad = podium.open(script({"do": "fail", "message": "no"}), "Fails beside it")
    expect(row(page, bad)).to_contain_text("failed")
    expect(row(page, good)).to_have_count(0)
    page.reload()
    expect(row(page, bad)).to_be_visible()
    page.go_back()
    expect(row(page, good)).to_be_visible()


def test_a_project_filters_too_and_what_fits_nothing_says_so(sign_in: SignIn, podium: Podium) -> None:
    project = podium.fleet.call("POST", "/projects", {"name": "shop"})
    task = podium.open(script({"do": "say", "text": "x"}), "In the shop", project=project["id"])
    page = sign_in()
    page.get_by_label("Project").select_option(label="shop")
    expect(row(page, task)).to_contain_text("shop")
    expect(page.locator("[data-task]")).to_have_count(1)
    page.get_by_label("Status").select_option("unknown")
    expect(page.get_by_text("No task fits.")).to_be_visible()


def test_more_is_loaded_when_asked_and_a_long_list_keeps_few_rows(sign_in: SignIn, podium: Podium) -> None:
    project = podium.fleet.call("POST", "/projects", {"name": "many", "max_running": 1})
    for number in range(230):
        podium.open(script({"do": "hang"}), f"Number {number}", project=project["id"])
    page = sign_in(f"/?project={project['id']}")
    table = page.get_by_role("region", name="List of tasks")
    expect(page.get_by_text("Number 229")).to_be_visible()
    more = page.get_by_role("button", name="Load more")
    for last in ("Number 130", "Number 30", "Number 0"):
        eventually(lambda: to_end(table) and page.get_by_text(last, exact=True).count())  # noqa: B023
        if last != "Number 0":
            more.click()
    expect(page.get_by_role("button", name="Load more")).to_have_count(0)
    assert page.locator("[data-task]").count() < 60


def test_everything_can_be_reached_by_keyboard(sign_in: SignIn, podium: Podium) -> None:
    task = podium.open(script({"do": "say", "text": "x"}), "By keyboard")
    page = sign_in()
    expect(row(page, task)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    link = row(page, task).get_by_role("link")
    for _ in range(12):
        if link.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keyboard")).to_be_visible()


def test_an_address_that_leads_nowhere_says_so(sign_in: SignIn) -> None:
    for path in ("/nowhere", "/tasks/task_00000000000000000000000000", "/tasks/nonsense"):
        page = sign_in(path)
        expect(
            page.get_by_text("There is no such page.").or_(page.get_by_role("alert")).first
        ).to_be_visible()
