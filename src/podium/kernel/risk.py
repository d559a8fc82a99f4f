"""How much an effect can hurt, from what it says it would do. A hint for people, never a permission."""

from __future__ import annotations

import posixpath
import re

from podium.kernel.inquiry import Effect, EffectKind, Risk

_HIGH = re.compile(
    r"""(^|[\s;&|(`])(\S*/)?(
        sudo | su\s | doas | rm\s[^;&|]*-(\w*[rf]|-recursive|-force) | mkfs | dd\s | shred | shutdown
      | reboot | chmod\s+-R | chown\s+-R | kill(all)?\s | pkill\s | crontab | systemctl | iptables | mount\s
      | git\s+push | git\s+reset\s+--hard | git\s+clean | npm\s+publish | twine\s+upload | docker\s
      | kubectl\s | terraform\s | aws\s | gcloud\s | psql\s | mysql\s | ssh\s | scp\s | rsync\s
    )""",
    re.VERBOSE,
)
_PIPED = re.compile(r"(curl|wget)\b[^|;]*\|\s*(\S+/)?(ba|z|da|k)?sh\b")
_SECRET = re.compile(r"(\.ssh|\.aws|\.gnupg|\.netrc|id_rsa|credentials|\.env\b|/etc/|/proc/|auth\.json)")


def risk_of(effect: Effect, workspace: str) -> Risk:
    """low: a file inside the workspace. high: a command that is known to reach or destroy more, or a place
    outside the workspace. Everything else is medium. `workspace` is an absolute path; empty: unknown."""
    outside = any(_outside(path, workspace) for path in effect.paths)
    text = f"{effect.command} {' '.join(effect.paths)}"
    if outside or _HIGH.search(text) or _PIPED.search(text) or _SECRET.search(text):
        return Risk.HIGH
    return Risk.LOW if effect.kind is EffectKind.EDIT and effect.paths else Risk.MEDIUM


def _outside(path: str, workspace: str) -> bool:
    if not path.startswith("/"):
        return posixpath.normpath(path).startswith("..")
    if not workspace:
        return True
    return not (posixpath.normpath(path) + "/").startswith(workspace.rstrip("/") + "/")
