"""Uploading and fetching artifacts. httpx is imported when first used: it costs start-up time."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from podium.client.errors import error_from
from podium.client.home import Target
from podium.client.tls import trust
from podium.kernel.errors import NotFound, Unavailable
from podium.kernel.ids import ArtifactId
from podium.kernel.nouns import Artifact

if TYPE_CHECKING:
    import httpx

PIECE_BYTES = 256 * 1024
CONNECT_S = 5.0
GAP_S = 60.0
"""Longest wait for the server to take or give a piece."""


async def put_artifact(
    server: Target,
    path: Path,
    *,
    media_type: str,
    name: str,
    about: Mapping[str, str] | None = None,
    artifact_id: str | None = None,
) -> ArtifactId:
    """Stream the file at `path` to the server; it is kept under the SHA-256 of its bytes, which is
    read from the file unless `artifact_id` says it. Again is no change, so after any failure simply call it
    again. Cancellation leaves nothing there. `about`: what it belongs to, in the parameters of the address
    (`task`; `run`, `stream` and `size` of raw output).

    Raises NotFound when there is no file, Unavailable when the server cannot be reached, and what the
    server refuses: InvalidRequest (other bytes than the id says), TooLarge, StorageFull.
    """
    import httpx

    query = {"name": name, "media_type": media_type} | dict(about or {})
    timeout = httpx.Timeout(GAP_S, connect=CONNECT_S)
    try:
        size = (await anyio.Path(path).stat()).st_size
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    if artifact_id is None:
        artifact_id = await anyio.to_thread.run_sync(artifact_id_of, path)
    headers = {"authorization": f"Bearer {server.token}", "content-length": str(size), "content-type": _BYTES}
    try:
        async with httpx.AsyncClient(
            base_url=server.url, timeout=timeout, trust_env=False, verify=trust(server)
        ) as http:
            answer = await http.put(
                f"/api/v1/artifacts/{artifact_id}", params=query, headers=headers, content=_pieces(path)
            )
    except httpx.HTTPError as error:
        raise unreachable(server.url, error) from error
    if answer.status_code != 200:
        raise error_from(answer.status_code, answer.content)
    return msgspec.json.decode(answer.content, type=Artifact).id


async def fetch_artifact(server: Target, artifact_id: str, path: Path) -> None:
    """Stream an artifact into `path`, which appears whole (by rename) or not at all, its bytes proved to be
    those that the id says.

    Raises Unavailable when the server cannot be reached, breaks off or sends other bytes, and what it
    refuses: NotFound, Forbidden.
    """
    import httpx

    part = path.with_suffix(".part")
    headers = {"authorization": f"Bearer {server.token}"}
    timeout = httpx.Timeout(GAP_S, connect=CONNECT_S)
    try:
        async with (
            httpx.AsyncClient(
                base_url=server.url, timeout=timeout, trust_env=False, verify=trust(server)
            ) as http,
            http.stream("GET", f"/api/v1/artifacts/{artifact_id}", headers=headers) as answer,
        ):
            if answer.status_code != 200:
                raise error_from(answer.status_code, await answer.aread())
            async with await anyio.open_file(part, "wb") as file:
                async for piece in answer.aiter_bytes(PIECE_BYTES):
                    await file.write(piece)
    except httpx.HTTPError as error:
        raise unreachable(server.url, error) from error
    if await anyio.to_thread.run_sync(artifact_id_of, part) != artifact_id:
        raise Unavailable(f"{server.url} sent other bytes than {artifact_id}")
    await anyio.Path(part).replace(path)


def artifact_id_of(path: Path) -> ArtifactId:
    """The id that the bytes of a file have. Blocks."""
    with path.open("rb") as file:
        return ArtifactId(f"artifact_{hashlib.file_digest(file, 'sha256').hexdigest()}")


def unreachable(url: str, error: httpx.HTTPError) -> Unavailable:
    return Unavailable(f"{url} does not answer: {type(error).__name__}", hint="start one: podium up")


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(PIECE_BYTES):
            yield piece


_BYTES = "application/octet-stream"
