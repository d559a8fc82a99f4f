"""Ending an agent: politely, then less so, always."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import pytest

from podium.kernel.errors import StorageFull
from podium.process import feed, layout, stop
from podium.process.base import Exited, NotStarted, Vanished
from podium.process.identity import identify, is_alive, signal_process, wait_gone
from podium.process.stop import stop as stop_run
from tests.integration.process.runs import LIMIT_S, Runs, python, until

pytestmark = pytest.mark.anyio

# Says "up", then ends with 7 when it reads the word "interrupt"; does to TERM what `{term}` says.
AGENT = """
import signal, sys, os
signal.signal(signal.SIGTERM, {term})
print("up", flush=True)
for line in sys.stdin:
    if line == "interrupt\\n":
        sys.exit(7)
signal.pause()
"""
IGNORES = "signal.SIG_IGN"
EXITS = "lambda *_: os._exit(9)"


async def up(runs: Runs, term: str) -> Path:
    run = await runs.launch(*python(AGENT.format(term=term)))
    await runs.said(run, b"up")
    return run


async def test_an_agent_that_heeds_the_interrupt_is_not_signalled(runs: Runs) -> None:
    run = await up(runs, IGNORES)

    async def interrupt() -> None:
        feed.append_input(run, b"interrupt")

    state = await stop_run(run, interrupt=interrupt)
    assert isinstance(state, Exited)
    assert state.code == 7


async def test_an_agent_deaf_to_the_interrupt_is_terminated(runs: Runs) -> None:
    run = await up(runs, EXITS)
    asked = []

    async def interrupt() -> None:
        asked.append(run)

    state = await stop_run(run, interrupt=interrupt, grace_s=(0.05, LIMIT_S))
    assert isinstance(state, Exited)
    assert (state.code, asked) == (9, [run])


async def test_an_agent_that_ignores_everything_is_killed(runs: Runs) -> None:
    run = await up(runs, IGNORES)
    state = await stop_run(run, grace_s=(0.05, 0.05))
    assert isinstance(state, Exited)
    assert state.code == -signal.SIGKILL


async def test_an_interrupt_that_hangs_or_fails_only_uses_up_its_time(runs: Runs) -> None:
    run = await up(runs, EXITS)

    async def hang() -> None:
        await anyio.sleep_forever()

    async def fail() -> None:
        raise StorageFull

    assert isinstance(await stop_run(run, interrupt=hang, grace_s=(0.05, LIMIT_S)), Exited)
    other = await runs.launch(*python(AGENT.format(term=EXITS)), name="other")
    await runs.said(other, b"up")
    assert isinstance(await stop_run(other, interrupt=fail, grace_s=(0.05, LIMIT_S)), Exited)


async def test_an_agent_that_stopped_itself_is_ended(runs: Runs) -> None:
    run = await runs.launch(*python("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"))
    state = await stop_run(run, grace_s=(0.05, LIMIT_S))
    assert isinstance(state, Exited)
    assert state.code == -signal.SIGTERM, "it was continued, so that it could see the TERM"


@pytest.mark.parametrize("attempt", range(10))
async def test_an_agent_stopped_in_its_very_first_moment_ends_by_that_signal(
    runs: Runs, attempt: int
) -> None:
    # A TERM between fork and exec once ran the holder's own handler and became a kill of the whole tree.
    run = await runs.launch("sleep", "1000", name=f"run-{attempt}")
    state = await stop_run(run, grace_s=(0, LIMIT_S))
    assert isinstance(state, Exited)
    assert state.code == -signal.SIGTERM


async def test_stopping_what_never_ran_or_has_ended_changes_nothing(runs: Runs, tmp_path: Path) -> None:
    assert await stop_run(tmp_path / "nothing") == NotStarted()
    run = await runs.launch("true")
    end = await runs.ended(run)
    assert await stop_run(run) == end == await stop_run(run)


async def test_a_run_without_its_holder_is_stopped_with_all_that_can_be_found(runs: Runs) -> None:
    run = await runs.launch("sh", "-c", "setsid sleep 1000 & echo up; trap '' TERM; while :; do wait; done")
    await runs.said(run, b"up")
    holder, agent = runs.held(run)
    signal_process(holder, signal.SIGKILL)
    assert await wait_gone(holder, LIMIT_S)
    assert await stop_run(run, grace_s=(0.05, 0.05)) == Vanished()
    assert not is_alive(agent)


async def test_even_a_holder_that_somebody_stopped_is_ended(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await runs.launch("sleep", "1000")
    holder, agent = runs.held(run)
    signal_process(holder, signal.SIGSTOP)
    monkeypatch.setattr(stop, "KILL_WAIT_S", 0.3)
    state = await stop_run(run, grace_s=(0.05, 0.05))
    assert isinstance(state, Exited | Vanished)
    assert not is_alive(agent)


async def test_a_cancelled_stop_can_be_repeated(runs: Runs) -> None:
    run = await up(runs, IGNORES)
    with anyio.move_on_after(0.05):
        await stop_run(run, grace_s=(LIMIT_S, LIMIT_S))
    assert is_alive(runs.held(run)[1])
    assert isinstance(await stop_run(run, grace_s=(0.05, 0.05)), Exited)
    assert os.path.exists(run / "exit")


# Heeds neither interrupt nor TERM; its children left its session, one of them by forking twice and without
# its environment. All of them ignore TERM too: that outlives exec.
DEAF_TREE = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
def say():
    os.write(1, b"pid %d\\n" % os.getpid())
if not os.fork():
    os.setsid()
    say()
    while True:
        signal.pause()
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    say()
    os.closerange(0, 100)
    os.execve("/bin/sleep", ["sleep", "1000"], {})
while True:
    signal.pause()
"""


async def test_a_hundred_of_a_hundred_stops_leave_nothing_of_the_whole_tree(runs: Runs) -> None:
    ended = []

    async def one(number: int) -> None:
        # Each under a name of its own, as runs have: what is left of one is looked for by it.
        env = {layout.MARKER_VARIABLE: f"{runs.marker}-{number}"}
        run = await runs.launch(*python(DEAF_TREE), name=f"run-{number}", env=env)
        out = run / layout.OUTPUT
        await until(run, lambda: out.read_bytes().count(b"\n") == 2)
        _, agent = runs.held(run)
        tree = [agent, *(identify(int(line.split()[1])) for line in out.read_bytes().splitlines())]
        assert None not in tree

        async def interrupt() -> None:
            feed.signal_agent(run, signal.SIGINT)

        state = await stop_run(run, interrupt=interrupt, grace_s=(0.02, 0.02))
        assert isinstance(state, Exited), state
        assert (state.code, state.left, state.survivors) == (-signal.SIGKILL, 2, 0)
        ended.append([member for member in tree if member and is_alive(member)])

    for batch in range(10):
        async with anyio.create_task_group() as together:
            for number in range(batch * 10, batch * 10 + 10):
                together.start_soon(one, number)
    assert ended == [[]] * 100
