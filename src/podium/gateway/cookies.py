"""The cookie of a browser that has signed in, and the proof that our own page sent what comes with it.

`__Host-`: no other host or path can set it. Its name carries the port, because cookies do not tell ports
apart and two servers of one machine would sign each other out. Strict and HttpOnly; and because neither
stops a page on another port of this machine, every request with a cookie must come from our own origin, and
one that changes something must carry a header that a foreign page cannot send.
"""

from __future__ import annotations

from podium.kernel.errors import Forbidden

CSRF_HEADER = b"x-podium-csrf"
UNSAFE = frozenset({"POST", "PUT", "DELETE", "PATCH"})
MAX_COOKIES = 100


def cookie_name(port: int) -> str:
    return f"__Host-podium-{port}"


def set_cookie(port: int, secret: str, *, max_age_s: int) -> str:
    """The header's value; an age of 0 removes it."""
    return f"{cookie_name(port)}={secret}; Path=/; Max-Age={max_age_s}; Secure; HttpOnly; SameSite=Strict"


def secret_in(cookies: bytes, port: int) -> bytes | None:
    """From a `Cookie` header; None when ours is not in it. The first counts, should there be several."""
    wanted = cookie_name(port).encode()
    for part in cookies.split(b";")[:MAX_COOKIES]:
        name, _, value = part.strip().partition(b"=")
        if name == wanted:
            return value.strip().strip(b'"')
    return None


def check_own_page(
    method: str, *, socket: bool, origin: bytes | None, site: bytes | None, csrf: bool
) -> None:
    """Raises Forbidden unless our own page sent this. An `origin` was compared with ours already.

    Browsers name the origin of everything but plain reads; of those they say whence by `Sec-Fetch-Site`.
    """
    if origin is None and (socket or site != b"same-origin"):
        raise Forbidden(
            "a browser's login counts only for this server's own pages",
            hint="scripts send `Authorization: Bearer` with a token: podium tokens add",
        )
    if not socket and method in UNSAFE and not csrf:
        raise Forbidden(
            "the header X-Podium-CSRF is missing", hint="this server's own pages send it with every change"
        )
