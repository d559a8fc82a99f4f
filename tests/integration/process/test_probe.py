"""Who is dead, told from files and /proc alone."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from pathlib import Path

import pytest

from podium.process import feed, layout, procfs
from podium.process.base import Alive, Exited, NotStarted, ProcessIdentity, Vanished
from podium.process.identity import age_s, identify, is_alive, read_identity, wait_gone
from podium.process.probe import lock_owner, probe
from tests.integration.process.runs import LIMIT_S, Runs

pytestmark = pytest.mark.anyio


def write_identity(path: Path, identity: ProcessIdentity) -> None:
    path.write_text(f"{identity.pid} {identity.started} {identity.boot_id}\n")


def ourselves() -> ProcessIdentity:
    identity = identify(os.getpid())
    assert identity
    return identity


def changed(identity: ProcessIdentity, **fields: object) -> ProcessIdentity:
    old = {name: getattr(identity, name) for name in identity.__struct_fields__}
    return ProcessIdentity(**{**old, **fields})  # type: ignore[arg-type]


def test_an_empty_or_missing_directory_was_never_started(tmp_path: Path) -> None:
    assert probe(tmp_path) == NotStarted()
    assert probe(tmp_path / "missing") == NotStarted()


async def test_a_held_run_is_alive_and_then_exited(runs: Runs) -> None:
    run = await runs.launch("cat")
    state = probe(run)
    assert isinstance(state, Alive)
    assert state.agent
    assert lock_owner(run) == state.holder.pid
    assert 0 <= age_s(state.agent) < LIMIT_S
    feed.close_stdin(run)
    end = await runs.ended(run)
    assert (end, lock_owner(run)) == (probe(run), None)


async def test_a_reused_pid_does_not_bring_a_holder_back(tmp_path: Path) -> None:
    us = ourselves()
    write_identity(tmp_path / layout.HOLDER, changed(us, started=us.started - 1))
    write_identity(tmp_path / layout.AGENT, changed(us, started=us.started + 1))
    assert probe(tmp_path) == Vanished()


async def test_nothing_survives_a_boot_of_the_machine(tmp_path: Path) -> None:
    earlier = changed(ourselves(), boot_id="00000000-0000-0000-0000-000000000000")
    write_identity(tmp_path / layout.HOLDER, earlier)
    write_identity(tmp_path / layout.AGENT, earlier)
    assert probe(tmp_path) == Vanished()


async def test_a_holder_that_another_process_outlocks_is_not_believed(runs: Runs, tmp_path: Path) -> None:
    run = await runs.launch("cat")
    write_identity(run / layout.HOLDER, ourselves())
    assert not isinstance(probe(run), Alive)
    holder = lock_owner(run)
    assert holder
    identity = identify(holder)
    assert identity
    write_identity(run / layout.HOLDER, identity)
    assert isinstance(probe(run), Alive)


async def test_a_holder_that_has_only_its_lock_yet_is_alive(tmp_path: Path) -> None:
    # A lock of our own process is invisible to us, so a child takes it, and stays until it is told to go.
    (tmp_path / layout.LOCK).touch()
    ready, told = os.pipe()
    stay, go = os.pipe()
    child = os.fork()
    if not child:
        lock = os.open(tmp_path / layout.LOCK, os.O_RDWR)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        os.write(told, b"!")
        os.close(go)
        os.read(stay, 1)
        os._exit(0)
    os.read(ready, 1)
    try:
        state = probe(tmp_path)
        assert isinstance(state, Alive)
        assert (state.holder.pid, state.agent) == (child, None)
    finally:
        for descriptor in (ready, told, stay, go):
            os.close(descriptor)
        os.waitpid(child, 0)
    assert probe(tmp_path) == NotStarted()


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    identity = identify(child)
    assert identity
    assert is_alive(identity)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert procfs.start_ticks(child) == identity.started, "it still stands in /proc"
        assert not is_alive(identity)
        assert identify(child) is None
    finally:
        os.waitpid(child, 0)


async def test_waiting_for_a_process_ends_with_it_or_with_the_time(runs: Runs) -> None:
    run = await runs.launch("cat")
    _, agent = runs.held(run)
    assert not await wait_gone(agent, 0.01)
    os.kill(agent.pid, signal.SIGKILL)
    assert await wait_gone(agent, LIMIT_S)
    assert await wait_gone(agent, 0)


@pytest.mark.parametrize("text", [b"", b"{", b'{"code": 0}', b"\xff\xfe", b'{"code": "0", "left": 0}'])
def test_an_exit_file_that_makes_no_sense_says_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / layout.EXIT).write_bytes(text)
    assert probe(tmp_path) == NotStarted()
    write_identity(tmp_path / layout.HOLDER, changed(ourselves(), started=1))
    assert probe(tmp_path) == Vanished()


def test_an_exit_file_is_read_even_when_it_says_more_than_we_know(tmp_path: Path) -> None:
    text = '{"code": -15, "left": 2, "survivors": 0, "out_size": 7, "at": 1.5, "later": "field"}'
    (tmp_path / layout.EXIT).write_text(text)
    assert probe(tmp_path) == Exited(code=-15, left=2, survivors=0, out_size=7, at=1.5)


@pytest.mark.parametrize("text", [b"", b"1 2", b"x y z", b"1 2 3 4", b"\xff 1 2", b"9" * 5000])
def test_an_identity_that_makes_no_sense_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "agent").write_bytes(text)
    assert read_identity(tmp_path / "agent") is None


def test_a_holder_that_died_before_its_agent_was_named_started_nothing(tmp_path: Path) -> None:
    """The fault campaign: such a run counted as lost although no program had ever run."""
    dead = subprocess.Popen(["true"])
    identity = procfs.identity_line(dead.pid)
    dead.wait()
    (tmp_path / layout.LOCK).touch()
    (tmp_path / layout.HOLDER).write_bytes(identity)
    assert probe(tmp_path) == NotStarted()
