"""Records the history that this version is judged by: `python -m histories.record NAME PART…` in `tests/`,
parts being functions of `making`: live, converse, change_model.

Only when a new version of an event is introduced, into a new file: what older versions recorded stays.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from histories.making import change_model, converse, live, log, rows
from podium.engine.engine import EngineSettings
from podium.testing.rig import Rig

HERE = Path(__file__).parent
PLACE = "/somewhere"
"""Stands for the directory of the recording."""


PARTS: dict[str, Callable[[Rig, Path], Awaitable[None]]] = {
    "live": live,
    "converse": lambda rig, _folder: converse(rig),
    "change_model": lambda rig, _folder: change_model(rig),
}


async def record(folder: Path, name: str, parts: list[str]) -> None:
    # Nothing is renewed meanwhile: an answer that nobody tells the worker stays where it is.
    settings = EngineSettings(renew_every_s=60, lease_ttl_s=300)
    async with Rig(folder / "home", capacity=2, settings=settings).running() as rig:
        for part in parts:
            await PARTS[part](rig, folder)
        lines, found = await log(rig), await rows(rig)
    text = b"\n".join(lines).decode() + "\n"
    nouns = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (HERE / f"{name}.jsonl").write_text(text.replace(str(folder), PLACE))
    (HERE / f"{name}.nouns.json").write_text(nouns.replace(str(folder), PLACE))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        anyio.run(record, Path(made), sys.argv[1], sys.argv[2:])
