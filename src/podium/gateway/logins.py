"""Codes that a person carries from a terminal into a browser: once, soon, each for the token it came of."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

from podium.kernel.clock import Clock, Entropy
from podium.kernel.errors import Unauthorized
from podium.kernel.ids import TokenId

CODE_BYTES = 16
CODE_LIFE_S = 600.0
MAX_CODES = 100


class _Waiting(NamedTuple):
    token_id: TokenId
    until: float


class Logins:
    """In memory only: a restart voids them, and `podium login` prints a new one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()

    def issue(self, token_id: TokenId, entropy: Entropy) -> str:
        """A code for whoever holds that token. Beyond MAX_CODES the oldest is forgotten."""
        code = entropy(CODE_BYTES).hex()
        self._waiting[_hash(code)] = _Waiting(token_id, self._clock.monotonic() + CODE_LIFE_S)
        while len(self._waiting) > MAX_CODES:
            self._waiting.popitem(last=False)
        return code

    def redeem(self, code: str) -> TokenId:
        """The token that the code was made for; it is used up. Raises Unauthorized."""
        found = self._waiting.pop(_hash(code), None)
        if found is None or self._clock.monotonic() >= found.until:
            raise Unauthorized(
                "that login code is not valid (any more)",
                hint="codes hold for 10 minutes and one use; get a new one: podium login",
            )
        return found.token_id


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
