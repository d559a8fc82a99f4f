"""Commits as one pack in memory: made once, handed straight to the receive-pack of whoever shall have them.

`git push` to a directory starts six programs, and makes a pack that we have already. `receive-pack` on its
stdin and stdout, as an HTTP server runs it, does the same work in three: quarantine, fsck, connectivity,
then the refs, all or none (docs/decisions/0005). Only the ordinary case goes this way; everything else is
told by False and goes by push, whose answers say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from podium.git.base import Commit, RefName
from podium.git.command import NETWORK, Bounds, Git, Place, receive_words

MAX_PACK_BYTES = 8 * 1024 * 1024
"""Larger packs travel through files and pipes, not through our memory."""
_PACK = ("pack-objects", "--quiet", "--revs", "--thin", "--stdout", "--delta-base-offset")
_SIGNATURE = b"PACK"


async def make_pack(git: Git, place: Place, base: Commit, tip: Commit) -> bytes | None:
    """What `tip` has and `base` has not, as a thin pack; None when it is larger than MAX_PACK_BYTES."""
    bounds = Bounds(timeout_s=NETWORK.timeout_s, limit_bytes=MAX_PACK_BYTES)
    done = await git.run(place, *_PACK, stdin=f"{tip}\n^{base}\n".encode(), bounds=bounds)
    return None if done.truncated else done.stdout


async def receive(git: Git, git_dir: Path, pack: bytes, refs: Mapping[RefName, Commit]) -> bool:
    """Let a pack into a git directory of ours under refs that are new there. False: nothing of it was kept.

    A ref that exists already is refused too, so that nothing can be lost under it. Raises GitFailed only
    for a timeout.
    """
    if not pack.startswith(_SIGNATURE):
        return False
    stdin = _commands(refs) + pack
    words = (*receive_words(git_dir), str(git_dir))
    done = await git.run(None, *words, stdin=stdin, bounds=NETWORK, ok=range(-64, 256))
    return done.code == 0 and _taken(done.stdout) == {"unpack ok", *(f"ok {ref}" for ref in refs)}


def _commands(refs: Mapping[RefName, Commit]) -> bytes:
    lines = []
    for number, (ref, commit) in enumerate(sorted(refs.items())):
        kind = "sha256" if len(commit) == 64 else "sha1"
        wishes = f"\0 report-status atomic quiet object-format={kind}" if number == 0 else ""
        lines.append(_line(f"{'0' * len(commit)} {commit} {ref}{wishes}".encode()))
    return b"".join(lines) + b"0000"


def _line(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)


def _taken(answer: bytes) -> set[str]:
    """The lines of a report; what is no such line ends it."""
    found = set()
    while len(answer) >= 4:
        try:
            size = int(answer[:4], 16)
        except ValueError:
            break
        if size < 4:
            break
        found.add(answer[4:size].decode("utf-8", "replace").strip())
        answer = answer[size:]
    return found
