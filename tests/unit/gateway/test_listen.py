from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest

from podium.gateway import server
from podium.gateway.exposure import Exposure
from podium.gateway.server import listen
from podium.gateway.settings import GatewaySettings
from podium.kernel.errors import Conflict, InvalidRequest


def test_a_port_that_was_asked_for_and_is_in_use_is_an_error() -> None:
    first = listen(port=0)
    try:
        with pytest.raises(Conflict, match="in use"):
            listen(port=first.port)
    finally:
        first.socket.close()


def test_without_a_wish_the_next_free_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = listen(port=0)
    monkeypatch.setattr(server, "DEFAULT_PORT", taken.port)
    try:
        next_one = listen()
        assert taken.port < next_one.port < taken.port + server.PORTS_TRIED
        assert next_one.url == f"http://127.0.0.1:{next_one.port}"
        next_one.socket.close()
    finally:
        taken.socket.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequest, match="other machines"):
        listen(host, 0)


def test_an_address_that_stands_for_all_has_one_for_this_machine() -> None:
    exposure = Exposure(proxies=(ip_network("10.0.0.0/8"),), public_url="https://podium.example.org")
    listening = listen("0.0.0.0", 0, exposure)
    assert listening.url == f"http://127.0.0.1:{listening.port}"
    listening.socket.close()


def test_small_answers_do_not_wait_for_an_acknowledgement() -> None:
    listening = listen(port=0)
    assert listening.socket.proto == socket.IPPROTO_TCP
    listening.socket.close()


def test_the_names_of_a_server_carry_its_port() -> None:
    settings = GatewaySettings(host="::1", port=4180)
    assert settings.hosts == {b"127.0.0.1:4180", b"localhost:4180", b"[::1]:4180"}
    assert b"http://localhost:4180" in settings.origins
