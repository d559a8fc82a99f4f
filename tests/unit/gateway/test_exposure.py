"""Off loopback nothing is served in the clear, and only our proxy is believed: row W11 of the threat list."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from podium.gateway.exposure import Exposure, caller_behind, check_address, exposure_of
from podium.gateway.settings import GatewaySettings
from podium.kernel.errors import Forbidden, InvalidRequest, Unavailable

PROXY = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def given(**settings: str) -> Exposure:
    names = ("tls_cert", "tls_key", "behind_proxy", "public_url")
    return exposure_of(**{name: settings.get(name) for name in names})


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, str]:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("PEM")
        (tmp_path / name).chmod(0o600)
    return {"tls_cert": str(tmp_path / "cert"), "tls_key": str(tmp_path / "key")}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
def test_off_loopback_something_must_encrypt(host: str, pem: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="other machines"):
        check_address(host, Exposure())
    check_address(host, given(**pem, public_url="https://podium.example.org"))
    check_address(host, given(behind_proxy="10.0.0.1", public_url="https://podium.example.org"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_an_address_for_all_must_say_its_name(host: str, pem: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="which name"):
        check_address(host, given(**pem))
    with pytest.raises(InvalidRequest, match="which name"):
        check_address("192.0.2.1", given(behind_proxy="10.0.0.1"))
    check_address("192.0.2.1", given(**pem))


def test_a_key_that_others_read_or_that_stands_alone_is_refused(pem: dict[str, str]) -> None:
    Path(pem["tls_key"]).chmod(0o640)
    with pytest.raises(Unavailable, match="can be read by others"):
        given(**pem)
    with pytest.raises(InvalidRequest, match="belong together"):
        given(tls_cert=pem["tls_cert"])
    with pytest.raises(InvalidRequest, match="cannot be read"):
        given(tls_cert="/nowhere.pem", tls_key=pem["tls_cert"])


@pytest.mark.parametrize(
    "url",
    ["http://podium.example.org", "podium.example.org", "https://", "https://a/b", "https://u@a", "https://a:0",
     "https://a:x", "https://a?x=1", "https://a/#x"],
)  # fmt: skip
def test_what_is_no_address_for_others_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="public_url"):
        given(public_url=url)


@pytest.mark.parametrize("text", ["proxy.example.org", "10.0.0.1/33", ",", " "])
def test_what_is_no_proxy_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="behind_proxy"):
        given(behind_proxy=text)


def test_the_names_of_the_server_are_its_own_and_the_public_one() -> None:
    settings = GatewaySettings(
        host="0.0.0.0",
        port=4180,
        exposure=given(behind_proxy="10.0.0.1", public_url="https://Podium.example.org/"),
    )
    assert settings.hosts == {
        b"127.0.0.1:4180", b"localhost:4180", b"[::1]:4180", b"podium.example.org", b"podium.example.org:443",
    }  # fmt: skip
    assert b"https://podium.example.org" in settings.origins
    assert b"http://evil.example" not in settings.origins


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.8"], "10.0.0.8"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], "127.0.0.1"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_asks(peer: str, forwarded: list[str], caller: str) -> None:
    assert caller_behind(peer, forwarded, "https", PROXY) == caller


@pytest.mark.parametrize(
    ("peer", "forwarded", "proto"),
    [
        ("203.0.113.9", [], None),
        ("203.0.113.9", ["127.0.0.1"], "https"),
        ("", ["127.0.0.1"], "https"),
        ("10.0.0.1", [], "https"),
        ("10.0.0.1", ["203.0.113.9"], "http"),
    ],
)
def test_who_is_not_our_proxy_or_did_not_come_encrypted_is_refused(
    peer: str, forwarded: list[str], proto: str | None
) -> None:
    with pytest.raises(Forbidden):
        caller_behind(peer, forwarded, proto, PROXY)


def test_without_a_proxy_nobody_speaks_for_others() -> None:
    assert caller_behind("203.0.113.9", ["127.0.0.1"], None, ()) == "203.0.113.9"
