"""An online backup: a directory that is a home. Start Podium with PODIUM_HOME set to it to restore."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from podium.kernel.errors import Conflict, StorageFull
from podium.store.artifacts import Artifacts
from podium.store.sqlite import SqliteDatabase


def back_up(home: Path, target: Path, *, database: bool = True) -> dict[str, int]:
    """Copy database and artifacts of a running home to `target`, which must not exist or be empty.

    The database first, then the artifacts: every row of the copy then finds its bytes. Works while the
    server writes. The copy appears complete or not at all (made beside, then renamed). Returns counts.
    Without `database` it stands elsewhere, and its owner has copied it before. Raises Conflict, StorageFull.
    """
    if target.exists() and any(target.iterdir()):
        raise Conflict(f"{target} is not empty", hint="name a directory that does not exist yet")
    staging = target.with_name(target.name + ".part")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True, mode=0o700)
        size, count = 0, 0
        if database:
            SqliteDatabase(home / "podium.db").copy_to(staging / "podium.db")
            size = (staging / "podium.db").stat().st_size
        for blob in Artifacts(home / "artifacts").everything():
            copy = staging / "artifacts" / blob.parent.name / blob.name
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(blob, copy)
            size, count = size + copy.stat().st_size, count + 1
        (staging / "artifacts").mkdir(exist_ok=True)
        for name in ("config.toml",):
            if (home / name).exists():
                shutil.copyfile(home / name, staging / name)
        if target.exists():
            target.rmdir()
        os.replace(staging, target)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StorageFull(f"the backup could not be written: {error.strerror or error}") from error
    return {"bytes": size, "artifacts": count}
