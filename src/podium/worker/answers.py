"""What a worker answers when the server asks about a process or its raw output."""

from __future__ import annotations

import time

from podium.bus import messages as m
from podium.kernel.errors import NotFound
from podium.process.base import Alive, Exited, HolderGone, NotStarted, Vanished
from podium.process.probe import probe
from podium.worker.home import RunHome

MAX_READ_BYTES = 4 * 1024 * 1024
_WORDS = {
    NotStarted: "not_started",
    Alive: "alive",
    HolderGone: "holder_gone",
    Exited: "exited",
    Vanished: "vanished",
}


def answer_process(home: RunHome, phase: str) -> m.ProcessIs:
    """Facts from the run's directory and the process table. argv shows the program and option names."""
    state = probe(home.process)
    out = home.process / "out"
    agent = state.agent if isinstance(state, (Alive, HolderGone)) else None
    try:
        stat = out.stat()
        size, age = stat.st_size, max(0.0, time.time() - stat.st_mtime)
    except FileNotFoundError:
        size, age = 0, None
    return m.ProcessIs(
        word=_WORDS[type(state)],
        pid=agent.pid if agent is not None else None,
        holder_pid=state.holder.pid if isinstance(state, Alive) else None,
        argv=home.argv(),
        exit_code=state.code if isinstance(state, Exited) else None,
        out_bytes=size,
        output_age_s=age,
        phase=phase,
    )


def answer_output(home: RunHome, ask: m.AskOutput) -> m.OutputIs:
    """Raw bytes of a spool from an offset, also of what was compressed already. Blocks. Raises NotFound when
    the run is not on this node (any more)."""
    offset = max(ask.offset, 0)
    try:
        data, size = home.archive(ask.stream).read(offset, min(ask.limit_bytes, MAX_READ_BYTES))
    except FileNotFoundError:
        if home.order() is None:
            raise NotFound("the output of this run is not on its node (any more)") from None
        return m.OutputIs(data=b"", offset=ask.offset, size=0)
    return m.OutputIs(data=data, offset=ask.offset, size=size)


def mask(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The program and the names of options; every value becomes `…`."""
    shown = list(argv[:1])
    for word in argv[1:]:
        if word.startswith("-"):
            shown.append(word.split("=", 1)[0] + ("=…" if "=" in word else ""))
        else:
            shown.append("…")
    return tuple(shown)
