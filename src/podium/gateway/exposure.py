"""How a server may be reached from elsewhere: encrypted by itself, or behind a proxy that encrypts.

Off loopback nothing is served in the clear. Pure, but for reading whether a key file is private.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from podium.kernel.errors import Forbidden, InvalidRequest, Unavailable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 (compared with, not bound)
LOCAL = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Certificate(Struct, frozen=True, kw_only=True):
    """PEM files: the chain, leaf first, and its key."""

    chain: Path
    key: Path


class Exposure(Struct, frozen=True, kw_only=True):
    """`proxies`: addresses that may speak for others. `public_url`: how people reach it from elsewhere."""

    certificate: Certificate | None = None
    proxies: tuple[Network, ...] = ()
    public_url: str | None = None

    @property
    def scheme(self) -> str:
        return "http" if self.certificate is None else "https"

    @property
    def public_host(self) -> str | None:
        """With its port where that is not the scheme's own."""
        return None if self.public_url is None else urlsplit(self.public_url).netloc


def exposure_of(
    *, tls_cert: str | None, tls_key: str | None, behind_proxy: str | None, public_url: str | None
) -> Exposure:
    """From the settings. Raises InvalidRequest, and Unavailable for a key that others can read."""
    if (tls_cert is None) != (tls_key is None):
        raise InvalidRequest("a certificate and its key belong together", hint="give tls_cert and tls_key")
    certificate = None
    if tls_cert is not None and tls_key is not None:
        certificate = Certificate(chain=_file(tls_cert), key=_private(tls_key))
    proxies = tuple(_network(part) for part in (behind_proxy or "").split(",") if part.strip())
    if behind_proxy is not None and not proxies:
        raise InvalidRequest("behind_proxy names no address", hint="the proxy's: 127.0.0.1, or 10.0.0.0/8")
    return Exposure(
        certificate=certificate,
        proxies=proxies,
        public_url=None if public_url is None else _url(public_url),
    )


def check_address(host: str, exposure: Exposure) -> None:
    """Raises InvalidRequest for an address that others reach, unless what they send is encrypted."""
    if is_loopback(host):
        return
    if exposure.certificate is None and not exposure.proxies:
        raise InvalidRequest(
            f"{host or 'that address'} is reachable from other machines, and nothing would be encrypted",
            hint="give --tls-cert and --tls-key, or --behind-proxy with the address of a proxy that does; "
            "or serve 127.0.0.1 and reach it through a tunnel: ssh -L 4180:127.0.0.1:4180 HOST",
        )
    if (host in WILDCARDS or exposure.proxies) and exposure.public_url is None:
        raise InvalidRequest(
            "under which name will others reach it?", hint="say so: --public-url https://podium.example.org"
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def caller_behind(peer: str, forwarded: Sequence[str], proto: str | None, proxies: Sequence[Network]) -> str:
    """The address of whoever asks, `peer` being who has connected. Without proxies that is the peer.

    Only a proxy of ours is believed about others, and the last address that is no proxy of ours counts: what
    stands before it the caller may have written. Raises Forbidden for a peer that is neither a proxy nor
    this machine, and for what did not reach the proxy encrypted.
    """
    if not proxies:
        return peer
    if not _is_in(peer, proxies):
        if not _is_in(peer, LOCAL):
            raise Forbidden("this server is reached through its proxy", hint="use its public address")
        return peer
    if not forwarded:
        if not _is_in(peer, LOCAL):
            raise Forbidden("the proxy does not say for whom it asks", hint="let it send X-Forwarded-For")
        return peer  # something on this machine, directly
    if proto is not None and proto.strip().lower() not in {"https", "wss"}:
        raise Forbidden("that did not reach the proxy encrypted", hint="use https")
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    others = [hop for hop in hops if not _is_in(hop, proxies)]
    return (others[-1] if others else hops[0])[:100]


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise InvalidRequest(
            f"behind_proxy: {text.strip()!r} is no address", hint="write 127.0.0.1, or 10.0.0.0/8"
        ) from error


def _url(text: str) -> str:
    parts = urlsplit(text.rstrip("/"))
    try:
        usable = bool(parts.hostname) and (parts.port is None or 0 < parts.port < 65_536)
    except ValueError:
        usable = False
    rest = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme != "https" or not usable or rest:
        raise InvalidRequest(
            f"public_url: {text[:200]!r} will not do", hint="write https://podium.example.org, without a path"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _file(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not os.access(path, os.R_OK) or not path.is_file():
        raise InvalidRequest(f"{path} cannot be read", hint="name a PEM file")
    return path


def _private(text: str) -> Path:
    path = _file(text)
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Unavailable(
            f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})", hint=f"chmod 600 {path}"
        )
    return path
