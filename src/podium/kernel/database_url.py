"""The address of a PostgreSQL database: what is accepted, and how it may be shown. Pure."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from podium.kernel.errors import InvalidRequest

SCHEMES = frozenset({"postgresql", "postgres"})
HINT = "write postgresql://USER@HOST:PORT/NAME, or leave it out for the SQLite file in the home"
_SECRETS = frozenset({"password", "sslpassword"})


def check_database_url(url: str) -> None:
    """Raises InvalidRequest, never repeating the address: it may hold a password."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        raise InvalidRequest("this is no address of a database", hint=HINT)
    if scheme not in SCHEMES:
        known = scheme[:30] if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) else "?"
        raise InvalidRequest(f"Podium does not know databases of the kind {known!r}", hint=HINT)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidRequest("the host or port of the database cannot be read", hint=HINT) from None
    named = parts.path.strip("/") or dict(parse_qsl(parts.query)).get("dbname")
    if not named or parts.fragment or any(character.isspace() for character in rest):
        raise InvalidRequest("the address of the database names no database", hint=HINT)


def shown_database_url(url: str) -> str:
    """The address without its passwords; three stars when it cannot be read at all."""
    try:
        parts = urlsplit(url)
        query = [(key, "***" if key in _SECRETS else value) for key, value in parse_qsl(parts.query)]
    except ValueError:
        return "***"
    if parts.scheme not in SCHEMES:
        return "***"
    who, at, where = parts.netloc.rpartition("@")
    user, colon, _ = who.partition(":")
    netloc = quote(unquote(user)) + (":***" if colon else "") + at + where
    shown = urlencode(query, safe="/*:,")
    question = f"?{shown}" if shown else ""
    return f"{parts.scheme}://{netloc}{parts.path}{question}"
