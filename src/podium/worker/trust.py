"""Files of a repository that configure agents' programs: honoured only as a project trusts them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

MAX_FILE_BYTES = 256 * 1024


def trusted_content(
    tree: Path, known: tuple[str, ...], trusted: Mapping[str, str]
) -> tuple[dict[str, bytes], list[str]]:
    """(file → content) of those whose SHA-256 the project trusts, and the others that are there."""
    honoured: dict[str, bytes] = {}
    ignored: list[str] = []
    for name in known:
        content = _read(tree / name)
        if content is None:
            continue
        if trusted.get(name) == hashlib.sha256(content).hexdigest():
            honoured[name] = content
        else:
            ignored.append(name)
    return honoured, ignored


def _read(path: Path) -> bytes | None:
    """The bytes of a regular file, never through a link at its end; None for everything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        try:
            return file.read(MAX_FILE_BYTES)
        except OSError:
            return None
