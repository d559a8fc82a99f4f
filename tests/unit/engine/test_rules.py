"""The pure decisions: who runs where, and what follows from an end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podium.engine.rules import MAX_RERUNS, Waiting, choose, conclude, judge
from podium.kernel import events as e
from podium.kernel.fold import Stamp, first_state
from podium.kernel.ids import ChangeId, RunId, TaskId, WorkerId
from podium.kernel.nouns import Agent, CancelIntent, CheckResult, Outcome, Reason, Run, Source, Task
from podium.kernel.states import RunState, State, TaskState, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = Stamp(seq=1, at=NOW, by="t")
GOOD = Outcome(succeeded=True, reason=Reason.COMPLETED)
LOST = Outcome(succeeded=False, reason=Reason.KILLED, lost=True)
A, B = WorkerId("worker_a"), WorkerId("worker_b")


def waiting(number: int, **fields) -> Waiting:
    base = {"run_id": RunId(f"run_{number}"), "project_id": None, "affinity": None, "affinity_over": False}
    return Waiting(**{**base, **fields})


def task_and_run(**fields) -> tuple[Task, Run]:
    state = first_state(TaskState.ACTIVE, STAMP)
    task = Task(
        id=TaskId("task_1"), title="t", source=Source.API, agent="a", created_at=NOW, state=state,
        status=State(word="running", since=NOW, evidence=STAMP.evidence()), **fields,
    )  # fmt: skip
    run = Run(
        id=RunId("run_1"), task_id=task.id, agent=Agent(name="a", harness="scripted"),
        workspace_of=RunId("run_1"), worker_id=A, conversation_id="s", created_at=NOW,
        state=first_state(RunState.FINISHING, STAMP),
    )  # fmt: skip
    return task, run


def ends(task: Task, run: Run, outcome: Outcome, checks=(), change: str | None = None) -> list[str]:
    change_id = ChangeId(change) if change else None
    events = conclude(task, run, outcome, checks, change_id, new_run_id=RunId("run_2"), now=NOW)
    return [e.type_of(event) for event in events]


@given(
    st.lists(st.sampled_from(["free", "p1", "p2", "to_a"]), max_size=40),
    st.dictionaries(st.sampled_from([A, B]), st.integers(-1, 5)),
    st.integers(0, 3),
)
def test_no_slot_and_no_place_is_ever_given_twice(kinds, free, places):
    queue = [
        waiting(
            number,
            project_id=kind if kind.startswith("p") else None,
            affinity=A if kind == "to_a" else None,
        )
        for number, kind in enumerate(kinds)
    ]
    chosen = choose(queue, free, {"p1": places})
    by_run = {run.run_id: run for run in queue}
    for worker, slots in free.items():
        assert sum(w == worker for _, w in chosen) <= max(0, slots)
    assert sum(by_run[run].project_id == "p1" for run, _ in chosen) <= places
    assert all(by_run[run].affinity in {None, worker} for run, worker in chosen)
    assert len({run for run, _ in chosen}) == len(chosen)


def test_the_first_in_the_queue_goes_first_and_to_the_emptiest_worker():
    assert choose([waiting(1), waiting(2)], {A: 1, B: 2}, {}) == [("run_1", B), ("run_2", A)]


def test_a_run_that_must_wait_for_its_node_does_not_hold_up_the_next():
    assert choose([waiting(1, affinity=B), waiting(2)], {A: 1}, {}) == [("run_2", A)]


def test_a_run_whose_node_stays_away_goes_elsewhere():
    assert choose([waiting(1, affinity=B, affinity_over=True)], {A: 1}, {}) == [("run_1", A)]


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ([], Reason.COMPLETED),
        ([Verdict.PASS, Verdict.PASS], Reason.COMPLETED),
        ([Verdict.PASS, Verdict.FAIL, Verdict.CANNOT_TELL], Reason.CHECKS_FAILED),
        ([Verdict.PASS, Verdict.CANNOT_TELL], Reason.CHECKS_CANNOT_TELL),
    ],
)
def test_only_passed_checks_complete_a_task(verdicts, reason):
    checks = [CheckResult(name=str(number), verdict=verdict) for number, verdict in enumerate(verdicts)]
    assert judge(GOOD, checks)[0] is reason


def test_success_proposes_its_change_and_ends_the_task_done():
    task, run = task_and_run()
    assert ends(task, run, GOOD, change="change_1") == ["run.succeeded", "change.proposed", "task.done"]
    assert ends(task, run, GOOD) == ["run.succeeded", "task.done"]


def test_a_cancelled_run_ends_cancelled_even_when_the_agent_succeeded():
    task, run = task_and_run()
    cancelled = replace(run, cancel=CancelIntent(by="owner", at=NOW))
    for outcome in (GOOD, LOST, Outcome(succeeded=False, reason=Reason.AGENT_FAILED)):
        assert ends(task, cancelled, outcome) == ["run.cancelled", "task.cancelled"]


def test_a_lost_run_is_tried_again_where_it_was_and_only_so_often():
    task, run = task_and_run()
    events = conclude(task, run, LOST, (), None, new_run_id=RunId("run_2"), now=NOW)
    again = next(event.run for event in events if isinstance(event, e.RunQueued))
    assert (again.resume_of, again.workspace_of, again.affinity, again.conversation_id) == (
        run.id,
        run.id,
        A,
        "s",
    )
    assert ends(replace(task, reruns=MAX_RERUNS), run, LOST) == ["run.lost", "task.failed"]


def test_a_failed_agent_fails_its_run_and_a_failed_check_only_its_task():
    task, run = task_and_run()
    assert ends(task, run, Outcome(succeeded=False, reason=Reason.AGENT_FAILED)) == [
        "run.failed",
        "task.failed",
    ]
    failed = [CheckResult(name="x", verdict=Verdict.FAIL)]
    assert ends(task, run, GOOD, failed, "change_1") == ["run.succeeded", "task.failed"]
