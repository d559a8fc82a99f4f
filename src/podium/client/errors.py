"""An error answer of the server, as the class of `kernel.errors` that it stands for."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from podium.kernel import errors


class _Error(Struct, frozen=True):
    code: str
    message: str = ""
    hint: str = ""
    details: dict[str, Any] = {}


class _Envelope(Struct, frozen=True):
    error: _Error


class UnknownAnswer(errors.Unavailable):
    """What answered does not speak as a Podium server does."""


_BY_STATUS: dict[int, type[errors.PodiumError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    500: errors.PodiumError,
}


def _classes(base: type[errors.PodiumError]) -> dict[str, type[errors.PodiumError]]:
    found: dict[str, type[errors.PodiumError]] = {}
    for child in base.__subclasses__():
        # A class that shares its parent's code must not hide the parent.
        found = {**_classes(child), child.code: child, **found}
    return {**found, base.code: base}


def error_from(status: int, body: bytes) -> errors.PodiumError:
    """By `code`; a code this client is too old to know becomes the class of its status."""
    try:
        told = msgspec.json.decode(body, type=_Envelope).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return UnknownAnswer(f"the server answered {status} without saying why")
    kind = _classes(errors.PodiumError).get(told.code) or _BY_STATUS.get(status, errors.PodiumError)
    try:
        error = kind(told.message, hint=told.hint)
    except TypeError:  # a class that is only ever made with facts of its own
        error = _BY_STATUS.get(status, errors.PodiumError)(told.message, hint=told.hint)
    error.details = dict(told.details)
    return error
