"""One HTTP conversation with a server: requests, their errors, and lines of server-sent events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from podium.client.blobs import CONNECT_S, unreachable
from podium.client.errors import UnknownAnswer, error_from
from podium.client.home import Target
from podium.client.tls import trust

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
ANSWER_S = 30.0
PREFIX = "/api/v1"


class Transport:
    """Keeps connections open; not for several threads at once."""

    def __init__(self, target: Target) -> None:
        import httpx

        self._target = target
        self._http = httpx.Client(
            base_url=target.url,
            headers={"authorization": f"Bearer {target.token}"},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=trust(target),
            trust_env=False,  # a proxy is not for loopback, and must never see the token
        )

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        key: str | None = None,
        patience_s: float = ANSWER_S,
    ) -> httpx.Response:
        """Raises the server's error as its class, Unavailable when it cannot be reached."""
        import httpx

        headers = {"idempotency-key": key} if key else {}
        content = None
        if body is not None:
            content, headers["content-type"] = msgspec.json.encode(body), "application/json"
        try:
            answer = self._http.request(
                method,
                PREFIX + path,
                params=plain(query),
                content=content,
                headers=headers,
                timeout=httpx.Timeout(patience_s, connect=CONNECT_S),
            )
        except httpx.HTTPError as error:
            raise unreachable(self._target.url, error) from error
        if answer.status_code >= 400:
            raise error_from(answer.status_code, answer.content)
        return answer

    def ask(self, kind: type[T], method: str, path: str, **rest: Any) -> T:
        """The JSON answer as `kind`."""
        answer = self.send(method, path, **rest)
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise UnknownAnswer(f"{path} was answered in a shape this client does not know") from error

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        gap_s: float,
    ) -> Iterator[httpx.Response]:
        """A body to be read as it comes; `gap_s` is the longest silence. Raises as `send`; while reading,
        httpx's own errors."""
        import httpx

        with self._http.stream(
            "GET",
            PREFIX + path,
            params=plain(query),
            headers=dict(headers or {}),
            timeout=httpx.Timeout(gap_s, connect=CONNECT_S),
        ) as answer:
            if answer.status_code >= 400:
                raise error_from(answer.status_code, answer.read())
            yield answer


def plain(query: Mapping[str, Any] | None) -> dict[str, str]:
    """Parameters as the server reads them; None is left out."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }
