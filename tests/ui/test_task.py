"""One task: its transcript as it comes, what can be done with it, and what it changed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from podium.testing.fleet import Fleet
from tests.support import eventually, script

from .conftest import Podium, SignIn


def say(text: str) -> dict[str, Any]:
    return {"do": "say", "text": text}


def says(*texts: str) -> list[dict[str, Any]]:
    return [say(text) for text in texts]


def gate(path: Path) -> dict[str, Any]:
    return {"do": "wait", "file": str(path)}


def transcript(page: Page) -> Locator:
    return page.get_by_test_id("transcript")


def lines(page: Page, start: str) -> list[str]:
    """What stands in the transcript, of the blocks that begin so."""
    found = transcript(page).locator("[data-seq]").all_inner_texts()
    return [text.strip() for text in found if text.strip().startswith(start)]


def test_a_transcript_comes_live_and_is_the_same_after_a_reload(
    sign_in: SignIn, podium: Podium, tmp_path: Path
) -> None:
    steps = [
        say("I look at it."),
        {"do": "think", "text": "A thought about it"},
        {"do": "run", "argv": ["sh", "-c", "seq 1 30"]},
        gate(tmp_path / "gate"),
        {"do": "run", "argv": ["sh", "-c", "echo broken; exit 3"]},
        say("It is done now."),
    ]
    task = podium.open(script(*steps), "Live")
    page = sign_in(f"/tasks/{task}")
    log = transcript(page)
    expect(log).to_contain_text("I look at it.")
    expect(log.get_by_role("button", name="show 25 more lines")).to_be_visible()
    expect(page.get_by_test_id("status")).to_contain_text("running")
    expect(page.get_by_test_id("status")).to_contain_text("said by worker")
    (tmp_path / "gate").touch()
    expect(log).to_contain_text("It is done now.")
    expect(log).to_contain_text("exit code 3")
    expect(page.get_by_test_id("status")).to_contain_text("done")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    log.get_by_role("button", name="thought").click()
    expect(log.get_by_role("button", name="thought")).to_have_attribute("aria-expanded", "true")
    live = lines(page, "")
    page.reload()
    expect(log).to_contain_text("It is done now.")
    log.get_by_role("button", name="thought").click()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    assert lines(page, "") == live


def test_a_long_transcript_begins_at_its_end_and_is_read_upwards_with_few_elements(
    sign_in: SignIn, podium: Podium, tmp_path: Path
) -> None:
    steps = [say("the very first")] + [say(f"line {number} of many") for number in range(1, 900)]
    task = podium.open(script(*steps, gate(tmp_path / "gate"), say("the very last")), "Long")
    page = sign_in(f"/tasks/{task}")
    log = transcript(page)
    expect(log).to_contain_text("line 899 of many")
    log.hover()
    for _ in range(40):
        page.mouse.wheel(0, -4000)
        page.wait_for_timeout(30)
        if log.get_by_text("the very first").count():
            break
    expect(log).to_contain_text("the very first")
    assert log.locator("[data-seq]").count() < 100
    (tmp_path / "gate").touch()
    pill = page.get_by_role("button", name="new ↓")
    expect(pill).to_be_visible()
    expect(log).to_contain_text("the very first")
    pill.click()
    expect(log).to_contain_text("the very last")
    expect(pill).to_have_count(0)


def test_a_flood_of_lines_does_not_break_the_page(sign_in: SignIn, podium: Podium) -> None:
    flood = {"do": "flood", "kind": "says", "lines": 60_000, "bytes_per_line": 80}
    task = podium.open(script(say("before"), flood, say("after the flood")), "Flood")
    page = sign_in(f"/tasks/{task}")
    expect(transcript(page)).to_contain_text("after the flood", timeout=60_000)
    assert transcript(page).locator("[data-seq]").count() < 100
    expect(page.get_by_test_id("status")).to_contain_text("done")


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Podium]:
    """A server of its own, that comes back at the same address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    fleet = Fleet(tmp_path / "home", separate=False, environ={"PODIUM_PORT": str(port)})
    fleet.start_all()
    yield Podium(fleet, tmp_path)
    fleet.stop()


def test_after_a_kill_of_the_server_the_page_goes_on_without_a_gap_and_without_a_double(
    sign_in: SignIn, mortal: Podium, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    parts = [says(*(f"line {n}" for n in range(begin, begin + 20))) for begin in (0, 20, 40)]
    steps = [*parts[0], gate(first), *parts[1], gate(second), *parts[2]]
    task = mortal.open(script(*steps), "Survivor")
    page = sign_in(f"/tasks/{task}", at=mortal)
    page.set_viewport_size({"width": 1280, "height": 3000})
    expect(transcript(page)).to_contain_text("line 19")
    assert mortal.fleet.kill("server")
    expect(page.get_by_test_id("lost")).to_be_visible()
    first.touch()
    mortal.fleet.start_all()
    expect(transcript(page)).to_contain_text("line 39", timeout=40_000)
    expect(page.get_by_test_id("lost")).to_have_count(0)
    second.touch()
    expect(transcript(page)).to_contain_text("line 59")
    expect(page.get_by_test_id("status")).to_contain_text("done")
    assert lines(page, "line ") == [f"line {number}" for number in range(60)]


def test_an_inquiry_is_answered_from_the_page_with_its_exact_effect_in_sight(
    sign_in: SignIn, podium: Podium
) -> None:
    ask = {"do": "ask", "command": "rm -rf build\u202e && make", "why": "the cache is stale"}
    task = podium.open(script(say("I need leave."), ask, say("I went on.")), "Asks")
    page = sign_in(f"/tasks/{task}")
    card = page.get_by_role("region", name="The agent asks")
    expect(card).to_contain_text("rm -rf build\\u202e && make")
    expect(card).to_contain_text("the cache is stale")
    expect(page.get_by_test_id("status")).to_contain_text("needs you")
    card.get_by_role("button", name="Allow").click()
    expect(card).to_have_count(0)
    expect(transcript(page)).to_contain_text("✓ allowed by owner")
    expect(page.get_by_test_id("status")).to_contain_text("done")


def test_who_may_only_look_sees_what_is_asked_and_nothing_to_press(sign_in: SignIn, podium: Podium) -> None:
    task = podium.open(script({"do": "ask", "command": "make", "why": ""}, say("done")), "Watched")
    made = podium.fleet.call("POST", "/tokens", {"name": "onlooker", "kind": "viewer"})
    page = sign_in(f"/tasks/{task}", token=made["secret"])
    card = page.get_by_role("region", name="The agent asks")
    expect(card).to_contain_text("It waits for somebody who may answer.")
    for button in ("Allow", "Deny", "Interrupt", "Model", "Cancel", "Send"):
        expect(page.get_by_role("button", name=button)).to_have_count(0)
    owner = sign_in(f"/tasks/{task}")
    for button in ("Deny", "Interrupt", "Model", "Cancel", "Send"):
        expect(owner.get_by_role("button", name=button)).to_have_count(1)
    card.get_by_role("button", name="Allow").click()
    expect(owner.get_by_test_id("status")).to_contain_text("done")
    expect(owner.get_by_role("button", name="Retry")).to_have_count(1)


def test_a_denial_carries_its_reason(sign_in: SignIn, podium: Podium) -> None:
    task = podium.open(script({"do": "ask", "command": "curl evil", "why": ""}, say("then not")), "Denied")
    page = sign_in(f"/tasks/{task}")
    card = page.get_by_role("region", name="The agent asks")
    card.get_by_label("Reason").fill("use the mirror")
    card.get_by_role("button", name="Deny").click()
    expect(transcript(page)).to_contain_text("✕ denied by owner: use the mirror")


def test_what_is_said_to_the_agent_arrives(sign_in: SignIn, podium: Podium) -> None:
    task = podium.open(script(say("ready"), {"do": "listen", "count": 1}), "Listens")
    page = sign_in(f"/tasks/{task}")
    expect(transcript(page)).to_contain_text("ready")
    field = page.get_by_label("Message to the agent")
    field.fill("take the blue one")
    field.press("Control+Enter")
    expect(transcript(page)).to_contain_text("heard: take the blue one")
    expect(transcript(page)).to_contain_text("owner (")
    expect(page.get_by_test_id("status")).to_contain_text("done")


def test_a_task_is_cancelled_after_a_question_and_tried_again(sign_in: SignIn, podium: Podium) -> None:
    task = podium.open(script(say("working"), {"do": "hang"}), "To be cancelled")
    page = sign_in(f"/tasks/{task}")
    expect(transcript(page)).to_contain_text("working")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the task").click()
    expect(page.get_by_test_id("status")).to_contain_text("cancelled")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Retry of")).to_be_visible()
    assert task not in page.url
    expect(page.get_by_test_id("status")).to_contain_text("running")
    page.get_by_role("button", name="Interrupt").click()
    expect(page.get_by_test_id("status")).to_contain_text("failed")


def test_changes_are_shown_live_and_after_the_end(sign_in: SignIn, podium: Podium, tmp_path: Path) -> None:
    more = {"do": "edit", "path": "src/new.py", "write": "print(1)\n"}
    first = {"do": "edit", "path": "a.txt", "old": "hello", "new": "hello world"}
    task = podium.open(
        script(first, gate(tmp_path / "one"), more, gate(tmp_path / "two")), "Changes", with_repository=True
    )
    eventually(lambda: "wrote" in str(podium.fleet.events(task=task)))
    page = sign_in(f"/tasks/{task}?tab=changes")
    shown = page.get_by_role("region", name="Changes")
    expect(shown.get_by_role("region", name="a.txt")).to_contain_text("hello world")
    expect(shown).to_contain_text("as it was")
    expect(shown.get_by_role("region", name="src/new.py")).to_have_count(0)
    (tmp_path / "one").touch()
    eventually(lambda: str(podium.fleet.events(task=task)).count("wrote") == 2)
    page.get_by_role("button", name="Refresh").click()
    expect(shown.get_by_role("region", name="src/new.py")).to_contain_text("print(1)")
    (tmp_path / "two").touch()
    expect(page.get_by_test_id("status")).to_contain_text("review")
    expect(shown.get_by_role("link", name="Download the commits")).to_be_visible()
    expect(shown.get_by_role("list", name="Changed files").get_by_role("listitem")).to_have_count(2)
    with page.expect_download() as download:
        shown.get_by_role("link", name="Download the diff").click()
    assert "+hello world" in download.value.path().read_text()


def test_a_huge_diff_is_cut_with_a_word_about_it(sign_in: SignIn, podium: Podium) -> None:
    big = "import os; open('big.txt', 'w').write(('x' * 99 + chr(10)) * 520_000)"
    task = podium.open(script({"do": "run", "argv": ["python3", "-c", big]}), "Huge", with_repository=True)
    podium.fleet.wait_ended(task)
    page = sign_in(f"/tasks/{task}?tab=changes")
    expect(page.get_by_test_id("cut")).to_contain_text("too long to be shown whole")
    page.get_by_role("button", name="big.txt").last.click()
    expect(page.locator(".diff-line").first).to_be_visible()
    assert page.locator(".diff-line").count() <= 1_001
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the commits").click()
    assert download.value.path().read_bytes().startswith(b"# v2 git bundle")


def test_the_address_of_a_run_leads_to_its_task(sign_in: SignIn, podium: Podium) -> None:
    task = podium.open(script(say("x")), "Found by its run")
    run = eventually(lambda: podium.fleet.call("GET", f"/tasks/{task}")["run_id"])
    page = sign_in(f"/runs/{run}")
    expect(page.get_by_role("heading", name="Found by its run")).to_be_visible()
    assert page.url.endswith(f"/tasks/{task}")
