"""Signing in and out, and what is left of it in the browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import Podium, SignIn


def test_a_code_in_the_address_signs_in_once_and_leaves_no_trace_but_a_cookie(
    page: Page, podium: Podium, chromium: Browser
) -> None:
    path = podium.login_path()
    code = path.partition("=")[2]
    page.goto(f"{podium.url}/?status=done{path[1:]}")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert page.url == f"{podium.url}/?status=done"
    kept = page.evaluate(
        "[localStorage.length, sessionStorage.length, document.cookie, document.documentElement.outerHTML]"
    )
    assert kept[:3] == [0, 0, ""]
    assert code not in kept[3]
    (cookie,) = page.context.cookies()
    assert cookie["name"].startswith("__Host-podium-")
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    page.go_back()
    assert code not in page.url
    other = chromium.new_context()
    again = other.new_page()
    again.goto(podium.url + path)
    expect(again.get_by_role("alert")).to_contain_text("not valid (any more)")
    other.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_login_holds_over_a_reload_by_either_name_of_the_machine(
    chromium: Browser, podium: Podium, host: str
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    url = podium.url.replace("127.0.0.1", host)
    page.goto(url + podium.login_path())
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    context.close()


def test_without_a_login_the_page_says_what_to_type_and_takes_the_code_and_keeps_the_address(
    page: Page, podium: Podium
) -> None:
    task = podium.open('{"steps": []}', "Where I wanted to go")
    page.goto(f"{podium.url}/tasks/{task}?tab=changes")
    expect(page.locator("main")).to_contain_text("podium login")
    page.get_by_label("Login code").fill("0" * 32)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("podium login")
    page.get_by_label("Login code").fill(podium.url + podium.login_path())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Where I wanted to go")).to_be_visible()
    assert page.url == f"{podium.url}/tasks/{task}?tab=changes"


def test_logging_out_ends_it_here_and_on_the_server(sign_in: SignIn, podium: Podium) -> None:
    page = sign_in()
    (cookie,) = page.context.cookies()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Login code")).to_be_visible()
    assert page.context.cookies() == []
    page.context.add_cookies([cookie])
    page.reload()
    expect(page.get_by_label("Login code")).to_be_visible()


def test_a_revoked_token_brings_every_page_of_it_back_to_the_login_at_once(
    sign_in: SignIn, podium: Podium
) -> None:
    made = podium.fleet.call("POST", "/tokens", {"name": "phone", "kind": "viewer"})
    page = sign_in("/?status=failed", token=made["secret"])
    expect(page.locator("header")).to_contain_text("phone")
    podium.fleet.call("POST", f"/tokens/{made['token']['id']}/revoke", {})
    expect(page.get_by_label("Login code")).to_be_visible()
    assert page.url == f"{podium.url}/?status=failed"


def test_no_parameter_of_an_address_leads_anywhere_else(sign_in: SignIn, podium: Podium) -> None:
    for trick in (
        "/?next=//evil.example/",
        "/?redirect=https://evil.example/&url=//evil.example",
        "//evil.example/..",
        "/\\evil.example",
        "/tasks/..%2f..%2f%2fevil.example",
        "/runs/%2f%2fevil.example",
    ):
        page = sign_in(trick)
        assert page.evaluate("location.origin") == podium.url


def test_the_page_is_not_there_for_other_sites(page: Page, podium: Podium) -> None:
    """Its policy is the one that the API's guard sends, and it was not weakened on the way."""
    answer = page.goto(podium.url)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
