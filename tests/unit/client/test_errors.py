from __future__ import annotations

import msgspec
import pytest

from podium.client.errors import UnknownAnswer, error_from
from podium.kernel import errors


def told(code: str, **rest: object) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": "m", "hint": "h", "details": {}, **rest}})


@pytest.mark.parametrize(
    "kind",
    [errors.InvalidRequest, errors.NotFound, errors.Conflict, errors.IllegalMove, errors.IdempotencyConflict,
     errors.CursorExpired, errors.Unavailable, errors.WorkerUnreachable, errors.StorageFull,
     errors.Unauthorized, errors.RateLimited, errors.PodiumError],
)  # fmt: skip
def test_an_error_comes_back_as_its_class(kind: type[errors.PodiumError]) -> None:
    error = error_from(kind.http_status, told(kind.code, details={"a": 1}))
    assert type(error) is kind
    assert (error.message, error.hint, error.details) == ("m", "h", {"a": 1})


def test_a_code_from_the_future_becomes_the_class_of_its_status() -> None:
    assert type(error_from(404, told("lost_in_space"))) is errors.NotFound
    assert type(error_from(418, told("teapot"))) is errors.PodiumError


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"\xff", b'{"error": "x"}'])
def test_what_is_no_podium_server_is_told(body: bytes) -> None:
    assert type(error_from(502, body)) is UnknownAnswer
