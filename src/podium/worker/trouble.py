"""Something that goes wrong again and again is said once, and once more when it is over."""

from __future__ import annotations

import logging

log = logging.getLogger("podium.worker")


class Trouble:
    """One kind of it. What is tried several times a second would otherwise fill the log."""

    def __init__(self) -> None:
        self._said = ""

    def say(self, text: str) -> None:
        """A warning, unless it was the last thing said."""
        if text != self._said:
            self._said = text
            log.warning("%s", text)

    def over(self, text: str) -> None:
        """Once after a trouble; without one nothing is said."""
        if self._said:
            self._said = ""
            log.warning("%s", text)
