"""The part of the client that is about tokens and logins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from podium.client.pages import Page
from podium.kernel.access import Kind, Token, Verb
from podium.kernel.ids import ProjectId, TaskId, TokenId


class MadeToken(Struct, frozen=True, kw_only=True):
    """`secret` is told once; a repeat under the same key has None instead."""

    token: Token
    secret: str | None


class LoginCode(Struct, frozen=True, kw_only=True):
    """`path`, on the server's address, signs a browser in: once, within `expires_in_s`."""

    code: str
    path: str
    expires_in_s: float
    public_url: str | None = None
    """The server's address for those who come from elsewhere."""


class Me(Struct, frozen=True, kw_only=True):
    """Who the token at hand speaks for. `projects` None: all."""

    token_id: TokenId
    kind: Kind
    subject: str
    verbs: tuple[Verb, ...]
    projects: tuple[ProjectId, ...] | None = None
    task_id: TaskId | None = None
    session: bool = False
    expires_at: datetime | None = None


class Access:
    """Mixed into `Client`."""

    _ask: Callable[..., Any]

    def me(self) -> Me:
        made: Me = self._ask(Me, "GET", "/me")
        return made

    def tokens(self, *, limit: int | None = None, after: str | None = None) -> Page[Token]:
        """Newest first: all for an owner, else the one at hand and those made with it."""
        page: Page[Token] = self._ask(Page[Token], "GET", "/tokens", query={"limit": limit, "after": after})
        return page

    def token(self, token_id: str) -> Token:
        found: Token = self._ask(Token, "GET", f"/tokens/{quote(token_id, safe='')}")
        return found

    def make_token(self, name: str, *, key: str | None = None, **fields: Any) -> MadeToken:
        """`fields`: kind, verbs, projects, run, expires_in_s; left out, as wide as may be."""
        given = {field: value for field, value in fields.items() if value is not None}
        return self._made("/tokens", {"name": name, **given}, key)

    def rotate_token(self, token_id: str, *, key: str | None = None) -> MadeToken:
        return self._made(f"/tokens/{quote(token_id, safe='')}/rotate", {}, key)

    def revoke_token(self, token_id: str, why: str = "", *, key: str | None = None) -> Token:
        """It and all that were made with it; again is no error."""
        path = f"/tokens/{quote(token_id, safe='')}/revoke"
        ended: Token = self._ask(Token, "POST", path, body={"why": why}, key=key)
        return ended

    def login_code(self) -> LoginCode:
        """For a browser; as wide as the token at hand."""
        code: LoginCode = self._ask(LoginCode, "POST", "/login-codes", body={})
        return code

    def _made(self, path: str, body: Mapping[str, Any], key: str | None) -> MadeToken:
        made: MadeToken = self._ask(MadeToken, "POST", path, body=body, key=key)
        return made
