"""Every failure leaves as `{"error": {"code", "message", "hint", "details"}}` and nothing of our insides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from podium.bus.messages import Failure
from podium.kernel import errors as k

log = logging.getLogger("podium.gateway")
JSON = "application/json"
_encode = msgspec.json.Encoder(enc_hook=str).encode

_ASK_AGAIN = "look into $PODIUM_HOME/podium.log, then try again"
_NEXT_STEPS: tuple[tuple[type[k.PodiumError], str], ...] = (
    (k.UnsupportedMediaType, "set the header Content-Type: application/json"),
    (k.InvalidRequest, "what an address takes stands in /api/v1/openapi.json"),
    (k.Unauthorized, "send `Authorization: Bearer` with the token in $PODIUM_HOME/owner.token"),
    (k.Forbidden, "use the token in $PODIUM_HOME/owner.token"),
    (k.NotFound, "list what there is, and take an id from the list"),
    (k.MethodNotAllowed, "the header Allow names the methods there are"),
    (k.Conflict, "look at its present state, then decide"),
    (k.CursorExpired, "begin again without a cursor"),
    (k.TooLarge, "send less"),
    (k.RateLimited, "wait as long as the header Retry-After says"),
    (k.Timeout, "try again, faster or with less"),
    (k.Unavailable, "try again in a moment"),
    (k.WorkerUnreachable, "see whether the worker is up: podium status"),
    (k.StorageFull, "free some space; nothing else is needed"),
)
"""Of errors raised without a hint of their own; the first kind that fits."""


class BadRequestBody(k.InvalidRequest):
    """The body cannot be read as what this address takes."""


def envelope(error: k.PodiumError) -> bytes:
    """As bytes; an error that names no next step gets the one of its kind."""
    return _encode(
        {
            "error": {
                "code": error.code,
                "message": error.message,
                "hint": error.hint or _next_step(error),
                "details": error.details,
            }
        }
    )


def _next_step(error: k.PodiumError) -> str:
    return next((hint for kind, hint in _NEXT_STEPS if isinstance(error, kind)), _ASK_AGAIN)


def headers_of(error: k.PodiumError) -> dict[str, str]:
    match error:
        case k.Unauthorized():
            return {"www-authenticate": "Bearer"}
        case k.MethodNotAllowed() if "allow" in error.details:
            return {"allow": str(error.details["allow"])}
        case k.RateLimited():
            return {"retry-after": str(error.details.get("retry_after_s", 1))}
        case _:
            return {}


def answer(error: k.PodiumError, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        envelope(error),
        status_code=error.http_status,
        media_type=JSON,
        headers={**headers_of(error), **(headers or {})},
    )


def on_podium_error(_request: Request[Any, Any, Any], error: k.PodiumError) -> Response[bytes]:
    if type(error).http_status >= 500:
        log.warning("answered %s: %s", error.code, error.message)
    return answer(error)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the router itself refuses: no such address, no such method."""
    if error.status_code == 405:
        allow = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
        return answer(k.MethodNotAllowed(), {"allow": allow} if allow else None)
    if error.status_code == 404:
        hint = "the addresses are listed in /api/v1/openapi.json"
        return answer(k.NotFound(f"there is nothing at {request.scope['path'][:200]}", hint=hint))
    if error.status_code < 500:
        return answer(k.InvalidRequest(error.detail))
    return on_exception(request, error)


def on_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("%s %s failed", request.scope["method"], request.scope["path"], exc_info=error)
    return answer(k.PodiumError("Podium failed to answer that; its log says why"))


def _classes(base: type[k.PodiumError] = k.PodiumError) -> dict[str, type[k.PodiumError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found = {**_classes(child), **found}
    return found


def told_by_worker(failure: Failure) -> k.PodiumError:
    """What a worker refused, as the error it stands for."""
    known = _classes().get(failure.code)
    return known(failure.message) if known is not None else k.Unavailable(failure.message)
