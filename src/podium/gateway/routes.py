"""What the API's own document says about a route, written beside the route."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import Struct

from podium.gateway.api import Nothing

Item = TypeVar("Item")
JSON_BODY = "application/json"


class Listed(Struct, Generic[Item], frozen=True, kw_only=True):
    """Part of a list; `next` goes into `after` of the following request, null at the end."""

    items: tuple[Item, ...]
    next: str | None


class About(Struct, frozen=True, kw_only=True):
    says: str
    query: type[Struct] = Nothing
    body: type[Struct] | None = None
    takes: str | None = None
    """Media type of a body that is not JSON."""
    answer: Any = None
    """A type that msgspec knows; None: `gives` says what kind of bytes."""
    gives: str = JSON_BODY
    status: int = 200
    changes: bool = False
    """Takes an Idempotency-Key."""
    is_open: bool = False


def about(says: str, **rest: Any) -> dict[str, Any]:
    """For `opt=` of a handler."""
    return {"about": About(says=says, **rest)}
