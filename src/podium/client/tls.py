"""Whom a client trusts to be the server."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from podium.client.home import Target
from podium.kernel.errors import Unavailable

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def trust(target: Target) -> ssl.SSLContext | bool:
    """For httpx's `verify`. Certificates are read only for an address that has any: that takes 20 ms.

    A server on this machine's own loopback shows a certificate for the name under which others reach it: that
    very certificate is trusted there, whatever name it carries. Raises Unavailable for a file that is none.
    """
    if not target.url.startswith("https:"):
        return False
    if target.certificate is None:
        return True
    try:
        context = ssl.create_default_context(cafile=target.certificate)
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(
            f"{target.certificate} is no certificate: {error}", hint="name a PEM file: PODIUM_CERTIFICATE"
        ) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if urlsplit(target.url).hostname in _LOOPBACK:
        context.check_hostname = False
    return context
