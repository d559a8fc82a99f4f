"""Where a server or a gateway listens, and the file in its home that says so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import anyio
import anyio.abc
from msgspec import Struct

from podium import __version__
from podium.app.home import Home
from podium.client.home import ServerFile, remove_server_file, write_server_file
from podium.gateway.exposure import exposure_of
from podium.gateway.server import Listening, Server, listen
from podium.gateway.settings import GatewaySettings
from podium.kernel.config import Settings
from podium.process.identity import identify


class Place(Struct, frozen=True, kw_only=True):
    listening: Listening
    gateway: GatewaySettings
    certificate: str | None


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[Place]:
    """Raises what `listen` raises."""
    exposure = exposure_of(
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        behind_proxy=settings.behind_proxy,
        public_url=settings.public_url,
    )
    listening = listen(settings.host, settings.port, exposure)
    with contextlib.closing(listening.socket):
        yield Place(
            listening=listening,
            gateway=GatewaySettings(
                host=listening.host, port=listening.port, exposure=exposure, version=__version__
            ),
            certificate=None if exposure.certificate is None else str(exposure.certificate.chain),
        )


@contextlib.contextmanager
def published(home: Home, place: Place, beside: str | None = None) -> Iterator[None]:
    """`server.json` is there inside the block."""
    me = identify(os.getpid())
    write_server_file(
        home.path,
        ServerFile(
            url=place.listening.url,
            pid=os.getpid(),
            started=me.started if me is not None else 0,
            version=__version__,
            certificate=place.certificate,
            beside=beside,
        ),
    )
    try:
        yield
    finally:
        remove_server_file(home.path)


async def serve(
    server: Server,
    stopped: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    try:
        await server.run(task_status=task_status)
    finally:
        stopped.set()
