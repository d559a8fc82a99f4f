"""kill -9 of server and worker, holder or program, at each phase of a conversation with either program."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from podium.kernel import events as e
from podium.kernel.inquiry import Decision
from podium.kernel.nouns import Permissions, Task
from podium.kernel.session import Message, Mode
from podium.kernel.states import RUN_TERMINAL, InquiryState, MessageState, TaskState
from podium.process.base import Alive, HolderGone
from podium.process.probe import probe
from podium.store import schema
from podium.testing.rig import Rig
from tests.agents.gate import Gate
from tests.agents.test_both import MAKE, SAY, agents, making
from tests.agents.test_conversation import say
from tests.agents.test_through_the_worker import log
from tests.integration.runs.test_conversations import answer, inquiries, rows
from tests.support import eventually_in_loop

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900), pytest.mark.usefixtures("users")]
ENDS_WITHIN_S = 120.0
# Whether a program had written its last call down before it was killed, only the machine knows: what it then
# does again changes nothing. Claude Code goes on to the end of its turn when its input has ended, everything
# refused; the second half is what it then does in its next run.
TURNS = {name: (*(make,) * 4, SAY) * 2 for name, make in MAKE.items()}


def told(kind: type) -> Callable[[list[e.Event]], bool]:
    return lambda events: any(isinstance(event, kind) for event in events)


PHASES: dict[str, Callable[[list[e.Event]], bool]] = {
    "before its first frame": told(e.RunStarted),
    "while it asks": told(e.InquiryOpened),
    "its answer written, perhaps not read": told(e.InquiryAnswered),
    "after a tool": told(e.RunToolReturned),
    "between result and exit": lambda events: any(
        isinstance(event, e.RunSaid) and event.text == "Made." for event in events
    ),
}


async def carry_on(rig: Rig, task: Task, until: Callable[[list[e.Event]], bool]) -> None:
    """Answer whatever is asked, until something has happened or the task has ended."""
    with anyio.fail_after(ENDS_WITHIN_S):
        while not until(await log(rig)) and not await ended(rig, task):
            for one in await inquiries(rig):
                if one.state.word is InquiryState.OPEN:
                    await answer(rig, one, Decision.ALLOW)
            await rig.store.ring.wait(rig.store.ring.last_seq, 0.2)


async def ended(rig: Rig, task: Task) -> bool:
    return (await rig.task(task.id)).state.word in (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)


async def kill(rig: Rig, task: Task, victim: str, how: signal.Signals = signal.SIGKILL) -> None:
    run = await rig.run_of(task.id)
    state = probe(rig.worker_home.run(run.id).process)
    if victim == "holder" and isinstance(state, Alive):
        os.kill(state.holder.pid, how)
    elif victim == "program" and isinstance(state, Alive) and state.agent is not None:
        os.kill(state.agent.pid, how)


async def alive(rig: Rig, task: Task) -> int:
    """Agents of the task that live, by the process table."""
    events = await log(rig)
    runs = {event.run_id for event in events if isinstance(event, e.RunStarted) and event.task_id == task.id}
    states = [probe(rig.worker_home.run(run).process) for run in runs]
    return sum(isinstance(state, (Alive, HolderGone)) for state in states)


@pytest.mark.parametrize("name", ["claude", "codex"])
@pytest.mark.parametrize("victim", ["server and worker", "holder", "program"])
@pytest.mark.parametrize("phase", PHASES)
async def test_nothing_is_lost_or_doubled(
    tmp_path: Path, repository: Path, claude: Path, codex_program: Path, name: str, victim: str, phase: str
) -> None:
    reached = PHASES[phase]
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.ASK)
        task = await making(rig, name, repository, *TURNS[name])
        await carry_on(rig, task, reached)
        if victim != "server and worker":
            await kill(rig, task, victim)
            await carry_on(rig, task, lambda events: False)
            assert await alive(rig, task) == 0
    async with Rig(tmp_path / "home").running() as rig:
        await ends_well(rig, task)


async def ends_well(rig: Rig, task: Task) -> None:
    """Nothing lost, nothing doubled, and never two agents."""
    assert await alive(rig, task) <= 1
    await carry_on(rig, task, lambda events: False)
    done = await rig.task(task.id)
    assert done.state.word is TaskState.DONE, done.state
    events = await log(rig)
    assert len([event for event in events if isinstance(event, e.TaskDone)]) == 1
    returned = [(event.run_id, event.call_id) for event in events if isinstance(event, e.RunToolReturned)]
    assert len(set(returned)) == len(returned)
    assert await alive(rig, task) == 0
    run = await rig.run_of(task.id)
    assert run.state.word in RUN_TERMINAL
    assert not [one for one in await inquiries(rig) if one.state.word is InquiryState.OPEN]


@pytest.mark.parametrize("name", ["claude", "codex"])
@pytest.mark.parametrize("victim", ["server and worker", "holder", "program", "program told to end"])
async def test_nothing_is_lost_or_doubled_in_the_middle_of_a_tool(
    tmp_path: Path, repository: Path, claude: Path, codex_program: Path, name: str, victim: str
) -> None:
    gate = Gate(tmp_path)
    wait = gate.turn(name)
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.ASK)
        # Told to end, Codex may hear the model once more before it does.
        waits = (wait,) * (3 if victim == "program told to end" else 2)
        task = await making(rig, name, repository, *(*waits, {"say": "Made."}) * 2)
        await carry_on(rig, task, lambda events: gate.count("began") == 1)
        tool = gate.processes()
        assert tool
        if victim == "program told to end":  # as at the shutdown of a machine
            await kill(rig, task, "program", signal.SIGTERM)
        elif victim != "server and worker":
            await kill(rig, task, victim)
        if victim != "server and worker":
            if (name, victim) != ("claude", "holder"):
                # Claude Code ends its turn, the tool included, when its input has ended; all else is orphaned
                # and nobody lets it go on.
                await eventually_in_loop(lambda: not tool & gate.processes(), ENDS_WITHIN_S)
                assert gate.count("ended") == 0
            gate.let_go(9)
            await carry_on(rig, task, lambda events: False)
    async with Rig(tmp_path / "home").running() as rig:
        gate.let_go(9)
        await ends_well(rig, task)
        events = await log(rig)
    returned = [event for event in events if isinstance(event, e.RunToolReturned) and not event.is_error]
    assert gate.count("ended") == len(returned)
    torn = gate.count("began") - gate.count("ended")
    assert torn == (victim != "server and worker" and (name, victim) != ("claude", "holder"))
    assert gate.processes() == set()


@pytest.mark.parametrize("name", ["claude", "codex"])
async def test_a_message_sent_before_a_restart_is_heard_once(
    tmp_path: Path, repository: Path, claude: Path, codex_program: Path, name: str
) -> None:
    async with Rig(tmp_path / "home").running() as rig:
        await agents(rig, claude, codex_program, Permissions.ASK)
        task = await making(rig, name, repository, *TURNS[name])
        with anyio.fail_after(ENDS_WITHIN_S):
            while not await inquiries(rig):
                await rig.store.ring.wait(rig.store.ring.last_seq, 0.2)
        await say(rig, task.id, "and be quick", Mode.STEER)
    async with Rig(tmp_path / "home").running() as rig:
        await carry_on(rig, task, lambda events: False)
        assert (await rig.task(task.id)).state.word is TaskState.DONE
        (message,) = await rows(rig, schema.messages, Message)
        assert message.state.word is MessageState.COMPLETED
        spools = [path.read_bytes() for path in tmp_path.rglob("process/in")]
        assert sum(spool.count(b"and be quick") for spool in spools) <= 1
