"""Nothing that an agent starts outlives its run, with a holder and without."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from pathlib import Path

import anyio
import pytest

from podium.process import feed, procfs
from podium.process.base import HolderGone, ProcessIdentity, Vanished
from podium.process.identity import identify, is_alive, signal_process, wait_gone
from podium.process.probe import probe
from podium.process.sweep import kill_below, kill_tree, sweep_marker
from tests.integration.process.runs import LIMIT_S, Runs, python, until

pytestmark = pytest.mark.anyio

# Forks twice, leaves the session, drops environment, descriptors and working directory: as far away as an
# ordinary program can get. Says its pid first, by rename.
ESCAPE = """
import os, sys
ready, gone = os.pipe()
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    with open("pid.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename("pid.new", "pid")
    os.chdir("/")
    os.closerange(0, 100)
    os.execve("/bin/sleep", ["sleep", "1000"], {})
os.close(gone)
os.read(ready, 1)
"""

# A child that says its pid on stdout and does what the second half says; the agent waits for that, then ends.
CHILD = """
import os, signal, sys
pid = os.fork()
if not pid:
    {setup}
    os.write(1, b"child %d\\n" % os.getpid())
    while True:
        signal.pause()
{agent}
"""


def child_pid(said: bytes) -> int:
    return int(said.split(b"child ")[1].split()[0])


async def test_a_hundred_of_a_hundred_escaped_grandchildren_are_gone_when_the_run_ends(runs: Runs) -> None:
    gone = 0

    async def one(number: int) -> None:
        nonlocal gone
        home = runs.base / f"home-{number}"
        home.mkdir()
        run = await runs.launch(*python(ESCAPE), name=f"run-{number}", cwd=home)
        end = await runs.ended(run)
        escaped = identify(int((home / "pid").read_text()))
        # Its number may have been given to another process meanwhile; that one is no `sleep 1000` of ours.
        assert escaped is None or not is_sleep(escaped.pid)
        # At least: on a loaded machine one that is just ending by itself may be counted too.
        assert (end.code, end.left >= 1, end.survivors) == (0, True, 0)
        gone += 1

    for batch in range(10):
        async with anyio.create_task_group() as together:
            for number in range(batch * 10, batch * 10 + 10):
                together.start_soon(one, number)
    assert gone == 100


def is_sleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_what_is_left_behind_is_asked_before_it_is_killed(runs: Runs) -> None:
    setup = "signal.signal(15, lambda *_: (os.write(1, b'asked\\n'), os._exit(0)))"
    run = await runs.launch(*python(CHILD.format(setup=setup, agent="signal.pause()")))
    await runs.said(run, b"child")
    feed.signal_agent(run, signal.SIGINT)
    end = await runs.ended(run)
    assert b"asked" in runs.output(run)
    assert (end.code, end.left >= 1, end.survivors) == (-signal.SIGINT, True, 0)
    assert end.out_size == len(runs.output(run)), "measured after the last writer was gone"


async def test_a_child_that_ignores_the_question_is_killed_after_the_grace(runs: Runs) -> None:
    setup = "signal.signal(15, signal.SIG_IGN)"
    run = await runs.launch(*python(CHILD.format(setup=setup, agent="signal.pause()")), sweep_grace_s=0.1)
    pid = child_pid(await runs.said(run, b"child"))
    feed.signal_agent(run, signal.SIGINT)
    assert (await runs.ended(run)).left == 1
    assert identify(pid) is None


async def test_a_child_that_stopped_itself_is_ended_too(runs: Runs) -> None:
    setup = "os.write(1, b'child %d\\n' % os.getpid()); os.kill(os.getpid(), signal.SIGSTOP)"
    run = await runs.launch(*python(CHILD.format(setup=setup, agent="os.waitpid(pid, os.WUNTRACED)")))
    assert (await runs.ended(run)).left == 1
    assert identify(child_pid(runs.output(run))) is None


async def test_a_kill_during_the_grace_ends_the_grace(runs: Runs) -> None:
    setup = "signal.signal(15, signal.SIG_IGN)"
    run = await runs.launch(*python(CHILD.format(setup=setup, agent="signal.pause()")), sweep_grace_s=300)
    await runs.said(run, b"child")
    feed.signal_agent(run, signal.SIGINT)
    feed.order_kill(run)
    assert (await runs.ended(run)).survivors == 0


async def test_a_child_that_keeps_forking_does_not_get_away(runs: Runs) -> None:
    code = """
import os, sys, time
os.write(1, b"running\\n")
def chain():
    while True:
        if os.fork():
            time.sleep(0.002)
            os._exit(0)
        os.setsid()
if not os.fork():
    chain()
os.wait()
"""
    run = await runs.launch(*python(code), sweep_grace_s=0.05)
    end = await runs.ended(run)
    assert end.survivors == 0


async def test_when_the_holder_is_killed_the_agent_sees_the_end_of_its_input(runs: Runs) -> None:
    run = await runs.launch("sh", "-c", "echo up; cat; echo bye")
    await runs.said(run, b"up")
    holder, agent = runs.held(run)
    assert signal_process(holder, signal.SIGKILL)
    assert await wait_gone(agent, LIMIT_S)
    # Its files are closed before it has ended altogether.
    assert await wait_gone(holder, LIMIT_S)
    assert runs.output(run) == b"up\nbye\n"
    assert probe(run) == Vanished()


async def test_without_its_holder_a_run_is_ended_from_outside(runs: Runs) -> None:
    agent_code = "os.waitpid(pid, 0)"
    run = await runs.launch(*python(CHILD.format(setup="os.setsid()", agent=agent_code)))
    pid = child_pid(await runs.said(run, b"child"))
    holder, agent = runs.held(run)
    child = identify(pid)
    assert child
    signal_process(holder, signal.SIGKILL)
    assert await wait_gone(holder, LIMIT_S)
    assert probe(run) == HolderGone(agent=agent)

    assert kill_tree(run) == 2
    assert not is_alive(agent)
    assert not is_alive(child)
    assert probe(run) == Vanished()


async def test_orphans_of_a_dead_run_are_found_by_its_marker(runs: Runs) -> None:
    run = await runs.launch(*python(CHILD.format(setup="os.setsid()", agent="signal.pause()")))
    child = identify(child_pid(await runs.said(run, b"child")))
    assert child
    holder, agent = runs.held(run)
    for victim in (holder, agent):
        signal_process(victim, signal.SIGKILL)
        assert await wait_gone(victim, LIMIT_S)
    assert probe(run) == Vanished()
    assert is_alive(child)

    assert kill_tree(run) == 1
    assert not is_alive(child)
    assert kill_tree(run) == 0


async def test_a_marker_spares_everybody_else(runs: Runs) -> None:
    marker = f"run_{uuid.uuid4().hex}"
    values = {
        "mine": marker,
        "other": f"run_{uuid.uuid4().hex}",
        "longer": marker + "1",
        "shorter": marker[:-1],
    }
    started = {}
    for name, value in values.items():
        started[name] = await runs.launch(
            "sh", "-c", "echo up; exec sleep 1000", name=name, env={"PODIUM_RUN": value}
        )
        await runs.said(started[name], b"up")
    assert sweep_marker(f"PODIUM_RUN={marker}".encode()) == 1
    assert (await runs.ended(started.pop("mine"))).code == -signal.SIGKILL
    assert all(is_alive(runs.held(run)[1]) for run in started.values())


@pytest.mark.parametrize("marker", [b"", b"PODIUM_RUN=", b"=x", b"PODIUM_RUN"])
def test_a_marker_that_would_match_too_much_is_refused(marker: bytes) -> None:
    with pytest.raises(ValueError, match="NAME=value"):
        sweep_marker(marker)


async def test_a_reused_pid_is_never_killed(runs: Runs) -> None:
    run = await runs.launch("sleep", "1000")
    _, agent = runs.held(run)
    another = ProcessIdentity(pid=agent.pid, started=agent.started - 1, boot_id=agent.boot_id)
    before_boot = ProcessIdentity(pid=agent.pid, started=agent.started, boot_id="another boot")
    for mistaken in (another, before_boot):
        assert kill_below(mistaken) == 0
        assert not signal_process(mistaken, signal.SIGKILL)
    assert is_alive(agent)


async def test_killing_a_tree_without_the_spool_still_kills_it(runs: Runs) -> None:
    run = await runs.launch("sleep", "1000")
    (run / "in").unlink()
    kill_tree(run)
    assert (await runs.ended(run)).code == -signal.SIGKILL


async def test_descendants_are_found_where_the_kernel_keeps_no_lists_of_children(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await runs.launch(*python(CHILD.format(setup="pass", agent="signal.pause()")))
    pid = child_pid(await runs.said(run, b"child"))
    holder, agent = runs.held(run)
    by_files = procfs.descendants(holder.pid)
    monkeypatch.setattr(os.path, "exists", lambda _: False)
    assert procfs.descendants(holder.pid) == by_files == [agent.pid, pid]


async def test_a_run_in_a_directory_with_an_odd_name_is_held_like_any_other(runs: Runs) -> None:
    run = await runs.launch("cat", name="an odd (name) żółw", initial_input=b"x\n", close_stdin=True)
    await until(run, lambda: (run / "exit").exists())
    assert (await runs.ended(run)).code == 0
    assert sys.getfilesystemencoding() == "utf-8"
