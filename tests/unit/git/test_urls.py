from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.git.urls import expand, parse_url
from podium.kernel.errors import InvalidRequest


@pytest.mark.parametrize(
    ("raw", "kind", "text"),
    [
        ("/srv/git/project", "local", "/srv/git/project"),
        ("/srv/with space/ü:x/", "local", "/srv/with space/ü:x"),
        ("file:///srv/a%20b", "local", "/srv/a b"),
        ("https://host.example/owner/name.git", "https", "https://host.example/owner/name.git"),
        ("https://host.example:8443/o/n", "https", "https://host.example:8443/o/n"),
        ("ssh://git@host.example:22/o/n", "ssh", "ssh://git@host.example:22/o/n"),
        ("ssh://[::1]/o/n", "ssh", "ssh://[::1]/o/n"),
        ("ssh://git@[::1]:22/o/n", "ssh", "ssh://git@[::1]:22/o/n"),
        ("git@host.example:owner/name.git", "ssh", "git@host.example:owner/name.git"),
        ("host:path", "ssh", "host:path"),
    ],
)
def test_local_paths_https_and_ssh_are_sources(raw: str, kind: str, text: str) -> None:
    url = parse_url(raw)
    assert (url.kind, url.text) == (kind, text)
    assert url.protocols == ("file" if kind == "local" else kind)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "relative/path",
        "./x",
        "~/x",
        "ext::sh -c touch% x",
        "ext::/srv/x",
        "fd::17",
        "https::https://host/x",
        "/srv/a::b",
        "git@host::x",
        "-oProxyCommand=x",
        "--upload-pack=touch x",
        "ssh://-oProxyCommand=touch/x",
        "ssh://git@-oProxyCommand=touch/x",
        "ssh://-x@host/o/n",
        "-x@host:o/n",
        "git@-oProxy:o/n",
        "ssh://host/-x",
        "host:-x",
        "https://user:secret@host/o/n",
        "https://token@host/o/n",
        "ssh://git:secret@host/o/n",
        "https://host/o/n?token=x",
        "https://host/o/n#x",
        "https://host",
        "https:///o/n",
        "https://-host/o/n",
        "https://ho%73t/o/n",
        "https://host/../n",
        "https://host/o/%2e%2e/n",
        "https://host/o/%2E./n",
        "/srv/../etc",
        "/srv/..",
        "file:///srv/%2e%2e/etc",
        "file://host/srv",
        "file://-x",
        "file:srv",
        "file:///srv/%00x",
        "//host/share",
        "host:../n",
        "http://host/o/n",
        "git://host/o/n",
        "ftp://host/o/n",
        "https://host/o/n\n",
        "https://host/o\r/n",
        "/srv/a\nb",
        "/srv/a\0b",
        "https://host/o n",
        "/" + "x" * 3000,
    ],
)
def test_everything_else_is_refused_with_a_next_step(raw: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_url(raw)
    assert caught.value.hint


def test_a_refusal_does_not_repeat_a_secret() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_url("https://user:hunter2@host/o/n")
    assert "hunter2" not in caught.value.message


@given(st.text(max_size=80) | st.from_regex(r"(https|ssh|file|ext)://?[-a-z@:.]{0,20}/[-.a-z/%]{0,20}"))
def test_whatever_passes_cannot_be_an_option_a_helper_or_a_way_up(raw: str) -> None:
    try:
        url = parse_url(raw)
    except InvalidRequest:
        return
    assert url.text.startswith(("/", "https://", "ssh://")) or url.text[0].isalnum() or url.text[0] == "_"
    assert "::" not in url.text.replace("[::", "")
    assert ".." not in url.text.split("/")
    assert "\n" not in url.text


def test_a_short_form_expands_under_the_configured_base() -> None:
    assert expand("owner/name", "https://host.example").text == "https://host.example/owner/name"
    assert expand("owner/name", "git@host.example:").text == "git@host.example:owner/name"


@pytest.mark.parametrize(
    "short", ["name", "a/b/c", "../x", "-a/b", "a/-b", "a/..", "a/b:c", "a b/c", "", "a/b\n"]
)
def test_a_short_form_is_owner_and_name_and_nothing_else(short: str) -> None:
    with pytest.raises(InvalidRequest):
        expand(short, "https://host.example")
