"""Every error Podium raises on purpose: a shallow tree with stable codes.

The class docstring is the default message. `code` is public (API, CLI exit, tests branch on it),
the message is for people and may change. Nothing matches on message text.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PodiumError(Exception):
    """Something in Podium went wrong; this is a bug of ours."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str = "", *, hint: str = "", **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        self.details = details
        super().__init__(self.message)


class InvalidRequest(PodiumError):
    """The request is not valid."""

    code = "invalid_request"
    http_status = 400


class Unauthorized(PodiumError):
    """A valid token is needed."""

    code = "unauthorized"
    http_status = 401


class AuthRequired(PodiumError):
    """The agent's program is not logged in."""

    code = "auth_required"
    http_status = 401


class Forbidden(PodiumError):
    """This token does not allow that."""

    code = "forbidden"
    http_status = 403


class NotFound(PodiumError):
    """There is nothing with that id."""

    code = "not_found"
    http_status = 404


class MethodNotAllowed(PodiumError):
    """This address does not take that method."""

    code = "method_not_allowed"
    http_status = 405


class Timeout(PodiumError):
    """The time given ran out."""

    code = "timeout"
    http_status = 408


class Conflict(PodiumError):
    """The request does not fit the present state."""

    code = "conflict"
    http_status = 409


class IllegalMove(Conflict):
    """That state cannot follow the present one."""

    code = "illegal_move"


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used for a different request; choose a new key."""

    code = "idempotency_conflict"


class CursorExpired(PodiumError):
    """Events before the oldest kept one are gone; start again from the oldest cursor."""

    code = "cursor_expired"
    http_status = 410


class TooLarge(PodiumError):
    """That is larger than the limit."""

    code = "too_large"
    http_status = 413


class UnsupportedMediaType(PodiumError):
    """Send this body as application/json."""

    code = "unsupported_media_type"
    http_status = 415


class RateLimited(PodiumError):
    """Too many requests; wait and try again."""

    code = "rate_limited"
    http_status = 429


class Unavailable(PodiumError):
    """Podium cannot do that right now; try again."""

    code = "unavailable"
    http_status = 503


class WorkerUnreachable(PodiumError):
    """The worker did not answer in time."""

    code = "worker_unreachable"
    http_status = 504


class StorageFull(PodiumError):
    """The disk under PODIUM_HOME is full; free some space, Podium goes on by itself."""

    code = "storage_full"
    http_status = 507


class NewerDatabase(Unavailable):
    """The database was written by a newer Podium; install that version or restore a backup."""

    code = "unavailable"


class GitFailed(PodiumError):
    """git failed."""

    code = "git_failed"


class RepositoryUnusable(PodiumError):
    """The repository cannot be used."""

    code = "repository_unusable"
    http_status = 400


class SpawnFailed(PodiumError):
    """The program could not be started."""

    code = "spawn_failed"
