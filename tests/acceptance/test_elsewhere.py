"""A server that others reach: encrypted by itself, or behind a proxy that is. Never in the clear."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from podium.client.api import Client
from podium.client.home import Target
from podium.testing.fleet import Fleet
from tests.support import script

PUBLIC = "https://podium.example.org"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """For a name that is not this machine's address, as a real one is."""
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=podium"]
    names = ["-addext", "subjectAltName=DNS:podium.example.org"]
    subprocess.run([*words, *names, "-keyout", key, "-out", chain], check=True, capture_output=True)
    key.chmod(0o600)
    return chain, key


@pytest.fixture(params=["embedded", "separate"])
def encrypted(request, tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Fleet]:
    chain, key = certificate
    environ = {"PODIUM_TLS_CERT": str(chain), "PODIUM_TLS_KEY": str(key), "PODIUM_PUBLIC_URL": PUBLIC}
    made = Fleet(tmp_path / "home", separate=request.param == "separate", environ=environ)
    made.start_all()
    yield made
    made.stop()


def test_everything_of_ours_speaks_to_it_and_nothing_is_in_the_clear(
    encrypted: Fleet, repository: Path, certificate: tuple[Path, Path]
) -> None:
    """The command line, the worker's uploads, the stream; and a stranger who does not trust it."""
    edit = {"do": "edit", "path": "b.txt", "write": "x"}
    prompt = script(edit, {"do": "commit", "message": "b"})
    ran = encrypted.cli("run", prompt, "--agent", "scripted", "--repo", str(repository))
    assert ran.returncode == 0, ran.stderr
    assert encrypted.cli("ps").returncode == 0
    login = encrypted.cli("login").stdout.strip()
    assert login.startswith(f"{PUBLIC}/#login=")
    url, chain = encrypted.cli("status", "--field", "version"), certificate[0]
    assert url.returncode == 0
    address = encrypted._url
    assert address.startswith("https://127.0.0.1:")
    token = (encrypted.home / "owner.token").read_text().strip()
    with Client(Target(url=address, token=token, certificate=str(chain))) as client:
        assert client.me().subject == "owner"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/api/v1/health", trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(address.replace("https", "http") + "/api/v1/health", trust_env=False)


def test_other_names_than_its_own_are_refused_also_encrypted(
    encrypted: Fleet, certificate: tuple[Path, Path]
) -> None:
    encrypted.call("GET", "/health")
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.check_hostname = False
    for host, status in ((None, 200), ("podium.example.org", 200), ("evil.example", 403)):
        headers = {"host": host} if host else {}
        answer = httpx.get(
            f"{encrypted._url}/api/v1/health", headers=headers, verify=context, trust_env=False
        )
        assert answer.status_code == status, host


def test_an_address_that_others_reach_is_refused_in_the_clear(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home", separate=False)
    for words in (("--host", "0.0.0.0"), ("--host", "0.0.0.0", "--behind-proxy", "10.0.0.1")):
        refused = fleet.cli("up", *words)
        assert refused.returncode == 1
        assert "--tls-cert" in refused.stderr or "--public-url" in refused.stderr
    assert not (fleet.home / "server.json").exists()


def test_behind_a_proxy_the_caller_is_whom_the_proxy_names(tmp_path: Path) -> None:
    environ = {"PODIUM_BEHIND_PROXY": "127.0.0.1", "PODIUM_PUBLIC_URL": PUBLIC}
    fleet = Fleet(tmp_path / "home", separate=False, environ=environ)
    fleet.start_all()
    try:
        assert fleet.cli("ps").returncode == 0, "what runs on this machine needs no proxy"
        named = {"host": "podium.example.org", "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
        wrong = named | {"authorization": "Bearer wrong"}
        with httpx.Client(base_url=f"{fleet._url}/api/v1", trust_env=False, timeout=60) as http:
            assert http.get("/health", headers=named).status_code == 200
            assert http.get("/health", headers=named | {"x-forwarded-proto": "http"}).status_code == 403
            for _ in range(200):
                http.get("/tasks", headers=wrong)
                if told := fleet.events(type="access.refused"):
                    break
        assert [event["event"]["address"] for event in told] == ["203.0.113.9"]
    finally:
        fleet.stop()
