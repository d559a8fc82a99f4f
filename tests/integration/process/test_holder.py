"""One agent and its holder: what goes in, what comes out, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium.process import feed, layout, procfs
from podium.process.base import Exited
from podium.process.identity import signal_process
from podium.process.probe import probe
from tests.integration.process.runs import Runs, python, until

pytestmark = pytest.mark.anyio

ECHO = python("import sys\nfor line in sys.stdin: print('got', line.strip(), flush=True)")
DEAF = python("import signal; print('deaf', flush=True); signal.pause()")


async def test_what_is_appended_reaches_the_agent_and_what_it_prints_is_spooled(runs: Runs) -> None:
    run = await runs.launch(*ECHO, initial_input=b"first\n")
    feed.append_input(run, b"second")
    feed.close_stdin(run)
    end = await runs.ended(run)
    assert runs.output(run) == b"got first\ngot second\n"
    assert (end.code, end.left, end.survivors) == (0, 0, 0)
    assert end.out_size == len(runs.output(run))


async def test_an_initial_input_can_be_all_there_is(runs: Runs) -> None:
    run = await runs.launch("cat", initial_input=b"only\n", close_stdin=True)
    await runs.ended(run)
    assert runs.output(run) == b"only\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit(143)", 143),
        ("import os; os.kill(os.getpid(), 15)", -15),
        ("import os; os.kill(os.getpid(), 9)", -9),
    ],
)
async def test_an_exit_code_is_told_apart_from_a_signal(runs: Runs, code: str, told: int) -> None:
    run = await runs.launch(*python(code))
    assert (await runs.ended(run)).code == told


async def test_a_program_that_does_not_exist_is_127_with_the_reason_in_err(runs: Runs) -> None:
    run = await runs.launch("no-such-agent")
    assert (await runs.ended(run)).code == 127
    assert runs.errors(run) == "podium: cannot start no-such-agent: No such file or directory\n"


async def test_a_missing_working_directory_is_named(runs: Runs) -> None:
    run = await runs.launch("cat", cwd=runs.base / "nowhere")
    assert (await runs.ended(run)).code == 127
    assert f"in {runs.base / 'nowhere'}" in runs.errors(run)


async def test_a_line_of_five_megabytes_arrives_whole_and_costs_the_holder_nothing(runs: Runs) -> None:
    size = 5 * 1024 * 1024
    run = await runs.launch(*python("import sys\nfor line in sys.stdin: print(len(line), flush=True)"))
    holder, _ = runs.held(run)
    before = resident_kb(holder.pid)
    feed.append_input(run, b"x" * size)
    feed.append_input(run, b"after")
    assert await runs.said(run, b"\n6\n") == b"%d\n6\n" % (size + 1)
    assert resident_kb(holder.pid) - before < 1024


async def test_an_agent_that_never_reads_can_still_be_signalled(runs: Runs) -> None:
    run = await runs.launch(*DEAF)
    await runs.said(run, b"deaf")
    feed.append_input(run, b"x" * 300_000)
    feed.signal_agent(run, signal.SIGINT)
    assert (await runs.ended(run)).code == -signal.SIGINT


async def test_an_agent_that_never_reads_can_still_be_killed(runs: Runs) -> None:
    run = await runs.launch(*DEAF)
    await runs.said(run, b"deaf")
    feed.append_input(run, b"x" * 300_000)
    feed.order_kill(run)
    assert (await runs.ended(run)).code == -signal.SIGKILL


async def test_an_agent_may_close_its_stdin_and_go_on(runs: Runs) -> None:
    code = "import os, signal; os.close(0); print('closed', flush=True); signal.pause()"
    run = await runs.launch(*python(code))
    await runs.said(run, b"closed")
    feed.append_input(run, b"nobody reads this")
    feed.signal_agent(run, signal.SIGUSR1)
    assert (await runs.ended(run)).code == -signal.SIGUSR1


async def test_a_line_torn_by_a_killed_writer_is_never_delivered(runs: Runs) -> None:
    run = await runs.launch(*ECHO)
    with (run / layout.INPUT).open("ab") as torn:
        torn.write(b'{"half":')
    feed.append_input(run, b"whole")
    feed.close_stdin(run)
    await runs.ended(run)
    assert runs.output(run) == b"got whole\n"
    assert [line for _, line in feed.sent_lines(run)] == [b"whole"]


async def test_a_torn_control_line_is_not_obeyed(runs: Runs) -> None:
    run = await runs.launch(*ECHO)
    with (run / layout.INPUT).open("ab") as torn:
        torn.write(layout.KILL)
    feed.append_input(run, b"still here")
    assert await runs.said(run, b"still here")


async def test_a_line_whose_bell_was_lost_arrives_with_the_next_ring(runs: Runs) -> None:
    run = await runs.launch(*ECHO)
    with (run / layout.INPUT).open("ab") as silent:
        silent.write(b"unannounced\n")
    feed.ring(run)
    assert await runs.said(run, b"unannounced")


async def test_a_line_whose_bell_was_lost_for_ever_still_arrives(runs: Runs) -> None:
    run = await runs.launch(*ECHO)
    with (run / layout.INPUT).open("ab") as silent:
        silent.write(b"unannounced\n")
    assert await runs.said(run, b"unannounced")


async def test_the_agent_starts_with_default_signals_and_no_foreign_descriptors(runs: Runs) -> None:
    run = await runs.launch("sh", "-c", "grep -E 'Sig(Blk|Ign):' /proc/self/status; ls /proc/self/fd")
    await runs.ended(run)
    _, blocked, _, ignored, *descriptors = runs.output(run).split()
    # 32 and 33 belong to the C library; no program can set them, so they say nothing about us.
    ours = ~(0b11 << 31)
    assert int(blocked, 16) & ours == int(ignored, 16) & ours == 0
    assert descriptors == [b"0", b"1", b"2", b"3"], "3 is ls reading the directory"


async def test_the_environment_is_exactly_the_one_given(runs: Runs) -> None:
    given = {"ODD": "a=b\nc", "UNICODE": "żółw"}
    run = await runs.launch("env", "-0", env=given)
    await runs.ended(run)
    seen = dict(line.split("=", 1) for line in runs.output(run).decode().split("\0") if line)
    assert seen == {**given, "PATH": os.environ["PATH"], "PODIUM_RUN": runs.marker}


async def test_a_secret_of_the_environment_is_nowhere_but_in_the_agent(runs: Runs) -> None:
    run = await runs.launch(*DEAF, env={"SECRET": "hunter2hunter2"})
    await runs.said(run, b"deaf")
    holder, agent = runs.held(run)
    assert b"hunter2" in Path(f"/proc/{agent.pid}/environ").read_bytes()
    assert b"hunter2" not in Path(f"/proc/{holder.pid}/environ").read_bytes()
    assert b"hunter2" not in Path(f"/proc/{holder.pid}/cmdline").read_bytes()
    for file in run.iterdir():
        assert file.is_fifo() or b"hunter2" not in file.read_bytes()


async def test_only_its_owner_can_read_a_run(runs: Runs) -> None:
    run = await runs.launch("true")
    await runs.ended(run)
    assert run.stat().st_mode & 0o777 == 0o700
    assert {name.name: oct(name.stat().st_mode & 0o077) for name in run.iterdir()} == {
        name.name: "0o0" for name in run.iterdir()
    }


async def test_holder_and_agent_have_sessions_of_their_own_and_are_nobodys_children(runs: Runs) -> None:
    run = await runs.launch(*DEAF)
    await runs.said(run, b"deaf")
    holder, agent = runs.held(run)
    assert (procfs.session_of(holder.pid), procfs.session_of(agent.pid)) == (holder.pid, agent.pid)
    assert holder.pid not in procfs.descendants(os.getpid())
    assert procfs.descendants(holder.pid) == [agent.pid]


async def test_an_agent_that_kills_its_group_does_not_reach_its_holder(runs: Runs) -> None:
    run = await runs.launch(*python("import os; os.kill(0, 9)"))
    assert (await runs.ended(run)).code == -9


async def test_a_holder_told_to_terminate_ends_the_agent_and_says_so(runs: Runs) -> None:
    run = await runs.launch("sleep", "1000")
    holder, _ = runs.held(run)
    assert signal_process(holder, signal.SIGTERM)
    assert (await runs.ended(run)).code == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1])
async def test_a_holder_ignores_every_other_polite_signal(runs: Runs, number: int) -> None:
    run = await runs.launch(*ECHO)
    holder, _ = runs.held(run)
    assert signal_process(holder, number)
    feed.append_input(run, b"still relayed")
    assert await runs.said(run, b"still relayed")


async def test_agent_output_is_appended_even_when_it_truncates_its_view(runs: Runs) -> None:
    code = "import os; os.write(1, b'one\\n'); os.lseek(1, 0, 0); os.write(1, b'two\\n')"
    run = await runs.launch(*python(code))
    await runs.ended(run)
    assert runs.output(run) == b"one\ntwo\n"


async def test_a_malformed_control_line_is_skipped(runs: Runs) -> None:
    run = await runs.launch(*ECHO)
    with (run / layout.INPUT).open("ab") as spool:
        spool.write(b"\x05nonsense\n\x05999\n\x01\n\x07 but longer than any control line\n")
    feed.append_input(run, b"alive")
    assert await runs.said(run, b"alive") == b"got alive\n"


async def test_a_holder_can_be_run_by_hand(runs: Runs) -> None:
    run = runs.base / "by-hand"
    run.mkdir()
    launch = layout.Launch(str(runs.cwd), ["cat"], {"PATH": os.environ["PATH"]}, 1.0)
    (run / layout.LAUNCH).write_bytes(launch.encode())
    (run / layout.INPUT).write_bytes(b"hello\n\x04\n")
    os.mkfifo(run / layout.BELL)
    main = Path(layout.__file__).with_name("__main__.py")
    subprocess.run([sys.executable, "-I", "-S", main, "holder", run], check=True, timeout=20)
    state = probe(run)
    assert isinstance(state, Exited)
    assert (state.code, runs.output(run)) == (0, b"hello\n")


async def test_signals_blocked_by_whoever_started_the_template_stay_with_them(runs: Runs) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    try:
        # Started from this thread on purpose: a new process inherits the mask of the thread that forks it.
        runs.launcher._ready_template().end()
        runs.launcher._ready_template()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    run = await runs.launch("sh", "-c", "grep SigBlk: /proc/self/status; kill $$; sleep 1000")
    assert (await runs.ended(run)).code == -signal.SIGTERM
    assert int(runs.output(run).split()[1], 16) & ~(0b11 << 31) == 0


async def test_exit_stands_before_the_holder_is_gone_and_nothing_temporary_remains(runs: Runs) -> None:
    run = await runs.launch("true")
    await until(run, lambda: (run / layout.EXIT).exists())
    await runs.ended(run)
    assert {file.name for file in run.iterdir()} - {layout.CGROUP} == {
        *(layout.INPUT, layout.OUTPUT, layout.ERRORS, layout.BELL, layout.LOCK),
        *(layout.MARKER, layout.HOLDER, layout.AGENT, layout.EXIT),
    }


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
