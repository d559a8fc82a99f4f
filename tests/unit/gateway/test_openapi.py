"""The published document: a snapshot in the repository, and what it must say of every route."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from podium.bus.inprocess import InProcessBus
from podium.engine.engine import Engine, EngineSettings
from podium.engine.mirrors import ServerMirrors
from podium.gateway.app import build_app
from podium.gateway.openapi import document
from podium.gateway.settings import GatewaySettings
from podium.git.command import Git
from podium.kernel.ids import IdMaker
from podium.process.command import execute
from podium.store.ring import Ring
from podium.store.store import Store
from podium.testing.clock import FakeClock

SNAPSHOT = Path(__file__).resolve().parents[3] / "docs" / "reference" / "openapi.json"


@pytest.fixture
def made(tmp_path: Path) -> dict[str, object]:
    """The document of an application that serves nothing; version left out."""
    clock = FakeClock()
    store = Store(tmp_path, clock, boot_id="b")
    store.ring = Ring(last_seq=0)
    mirrors = ServerMirrors(Git(execute, tmp_path, {}), tmp_path)
    engine = Engine(store, InProcessBus().server_end(), IdMaker(clock, os.urandom), mirrors, EngineSettings())
    app = build_app(engine, store, GatewaySettings(host="127.0.0.1", port=1))
    return dict(msgspec.json.decode(document(app.litestar, "0")))


def test_the_snapshot_is_up_to_date(made: dict[str, object]) -> None:
    text = msgspec.json.format(msgspec.json.encode(made, order="sorted"), indent=1).decode() + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert SNAPSHOT.read_text() == text, "UPDATE_SNAPSHOTS=1 pytest tests/unit/gateway/test_openapi.py"


def test_every_reference_leads_somewhere(made: dict[str, object]) -> None:
    text = msgspec.json.encode(made).decode()
    names = set(msgspec.convert(made["components"], dict[str, dict[str, object]])["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used
    assert used - names == set()


def test_every_mutation_takes_a_key_and_only_health_and_login_are_open(made: dict[str, object]) -> None:
    paths = msgspec.convert(made["paths"], dict[str, dict[str, dict[str, object]]])
    without_key = {
        (method, path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method in {"post", "put", "delete"} and "Idempotency-Key" not in str(operation["parameters"])
    }
    # An artifact's id is its content, a server that is asked to stop twice stops once, a code is used once.
    assert without_key == {
        ("put", "/api/v1/artifacts/{id}"),
        ("post", "/api/v1/shutdown"),
        ("post", "/api/v1/login-codes"),
        ("post", "/api/v1/login"),
        ("post", "/api/v1/logout"),
    }
    is_open = {path for path, methods in paths.items() for op in methods.values() if op.get("security") == []}
    assert is_open == {"/api/v1/health", "/api/v1/login"}


def test_operations_have_names_of_their_own(made: dict[str, object]) -> None:
    paths = msgspec.convert(made["paths"], dict[str, dict[str, dict[str, object]]])
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(names)) == len(names)
