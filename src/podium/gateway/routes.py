"""What the API's own document says about a route, written beside the route."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from podium.gateway.api import Nothing
from podium.gateway.auth import PRINCIPAL, Principal
from podium.kernel.access import Verb
from podium.kernel.errors import Forbidden, Unauthorized

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
    also: tuple[int, ...] = ()
    """Further statuses, without a body of ours."""
    changes: bool = False
    """Takes an Idempotency-Key."""
    verbs: tuple[Verb, ...] = (Verb.READ,)
    """Any of them is enough."""
    is_open: bool = False
    """Needs no token."""
    here: bool = False
    """Rows answer it: a gateway that follows the server answers it itself."""
    parts: bool = False
    """Bytes that never change under this address, of any length, in parts when a `Range` asks for them."""
    about_tokens: bool = False
    """May change which secrets count."""
    stays: bool = False
    """Concerns the one server that is asked: never passed on to another."""


def about(says: str, verb: Verb | None = None, **rest: Any) -> dict[str, Any]:
    """For `opt=` of a handler. A route that changes something must name the verb that it needs."""
    if verb is not None:
        rest["verbs"] = (verb,)
    if rest.get("changes") and "verbs" not in rest:
        raise TypeError(f"{says!r} changes something: which verb does it need?")
    return {"about": About(says=says, **rest)}


def may(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard of the framework, for every route. Raises Forbidden; what says nothing about itself is refused.

    Which rows of a kind somebody sees is decided in the queries, by the scope of the token.
    """
    about = handler.opt.get("about")
    if not isinstance(about, About):
        raise Forbidden("that address is not described, so nobody may use it")
    if about.is_open:
        return
    principal = connection.scope.get(PRINCIPAL)
    if not isinstance(principal, Principal):
        raise Unauthorized()
    if not principal.verbs & set(about.verbs):
        needed = " or ".join(about.verbs)
        raise Forbidden(
            f"this token ({principal.subject}) may not {needed}",
            hint="use one that may; what this one may: podium tokens me",
        )
