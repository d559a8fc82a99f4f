"""What a gateway is told by whoever composes it. Every limit of the HTTP side has its name here."""

from __future__ import annotations

from msgspec import Struct

from podium.gateway.exposure import WILDCARDS, Exposure

MIB = 1024 * 1024


class GatewaySettings(Struct, frozen=True, kw_only=True):
    host: str
    """The address that was bound."""
    port: int
    """The port that was bound: Host and Origin are compared with it."""
    exposure: Exposure = Exposure()
    version: str = "0"
    max_json_bytes: int = 8 * MIB
    """A body of JSON; a prompt of 1 MiB fits however it is escaped."""
    body_gap_s: float = 10.0
    """Longest silence inside a body."""
    body_total_s: float = 30.0
    """A whole JSON body; an artifact may take as long as it keeps coming."""
    requests_per_s: float = 20_000.0
    """Of one token. Far above what a fleet needs: it stops a loop gone wrong, not a user."""
    anonymous_per_s: float = 200.0
    """Requests without a token, by address."""
    bad_tokens_per_s: float = 5.0
    """Wrong tokens, by address; beyond it 429 at once, before any look at the token."""
    bad_token_delay_s: float = 0.2
    max_followers: int = 2_000
    """Streams and long polls at once."""
    heartbeat_s: float = 15.0
    stalled_s: float = 60.0
    """How long a stream waits for a client that takes nothing before it is dropped."""
    ask_s: float = 5.0
    """How long a worker may take to answer what only it knows."""

    @property
    def hosts(self) -> frozenset[bytes]:
        """The values of `Host` that name this server, the port included."""
        names = {"127.0.0.1", "localhost", "[::1]", f"[{self.host}]" if ":" in self.host else self.host}
        local = {f"{name}:{self.port}" for name in names - WILDCARDS}
        public = self.exposure.public_host
        if public is not None:
            # The scheme's own port may be named or not.
            local |= {public, f"{public}:443"} if ":" not in public.rpartition("]")[2] else {public}
        return frozenset(name.encode() for name in local)

    @property
    def origins(self) -> frozenset[bytes]:
        schemes = {self.exposure.scheme} | ({"https"} if self.exposure.public_url is not None else set())
        return frozenset(f"{scheme}://".encode() + host for host in self.hosts for scheme in schemes)
