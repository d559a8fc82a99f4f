"""Rows are never more than their log: played again, by any later version, it gives the same nouns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.kernel import events as e
from podium.kernel.errors import IllegalMove
from podium.testing.replay import Replayed, decode, replay
from podium.testing.rig import Rig

from .making import live, log, rows

HERE = Path(__file__).parent
RECORDED = sorted(HERE.glob("*.jsonl"))
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.usefixtures("database")
async def test_the_log_of_a_fresh_run_gives_exactly_its_rows(tmp_path):
    async with Rig(tmp_path / "home", capacity=2).running() as rig:
        await live(rig, tmp_path)
        lines, found = await log(rig), await rows(rig)
        while lines != (now := await log(rig)):  # what follows a run's end was recorded between the two looks
            lines, found = now, await rows(rig)
    assert replay(lines).docs() == found
    words = {noun["state"]["word"] for noun in found.values() if "state" in noun}
    assert words >= {"done", "failed", "cancelled", "succeeded", "lost", "proposed", "draft"}


@pytest.mark.usefixtures("database")
async def test_every_prefix_of_a_fresh_log_replays_and_its_sequence_has_no_gap(tmp_path):
    async with Rig(tmp_path / "home", capacity=2).running() as rig:
        await live(rig, tmp_path)
        events = [decode(line) for line in await log(rig)]
    assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))
    replayed = Replayed()
    for event in events:
        replayed.apply(event)
        replayed.docs()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_log_recorded_by_an_earlier_version_gives_the_nouns_it_gave_then(path):
    then = json.loads(path.with_suffix(".nouns.json").read_text())
    now = replay(path.read_bytes().splitlines()).docs()
    assert set(now) == set(then)
    for name, noun in then.items():
        # A later version may know more about a noun, never anything else.
        assert known_part(now[name], noun) == noun


def known_part(now: object, then: object) -> object:
    """What `then` knew of `now`: fields that came later are left out, at every depth."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: known_part(now[key], then[key]) for key in then}
    return now


def test_the_recorded_logs_hold_every_kind_of_event_that_a_server_here_can_record():
    found = {type(decode(line).event) for path in RECORDED for line in path.read_bytes().splitlines()}
    elsewhere = {
        # Of harnesses and servers that the rig does not have.
        e.RunThought, e.RunAskWithdrawn, e.RunSessionKnown, e.RunAdopted, e.RunNoticed,
        e.ServerStarted, e.DatabaseReturned,
        e.ProjectRemoved, e.ProjectChanged, e.InquiryExpired, e.MessageRequeued, e.WorkerLeft,
        e.RunOutputKept,
        # Tokens are no part of what a log gives.
        e.TokenMade, e.TokenRotated, e.TokenRevoked, e.AccessRefused, e.ServerStopAsked,
    }  # fmt: skip
    assert set(e.Event.__args__) - elsewhere <= found


def test_a_log_names_no_place_of_the_machine_it_was_recorded_on():
    for path in RECORDED:
        assert "/tmp" not in path.read_text(), path.name


def test_an_event_that_cannot_follow_is_an_error_and_so_is_one_out_of_order():
    events = [decode(line) for line in RECORDED[0].read_bytes().splitlines()]
    ended = next(event for event in events if isinstance(event.event, e.TaskDone))
    replayed = replay(RECORDED[0].read_bytes().splitlines())
    with pytest.raises(ValueError, match="after"):
        replayed.apply(ended)
    task = ended.event
    assert isinstance(task, e.TaskDone)
    again = e.Recorded(
        seq=replayed.last_seq + 1,
        at=ended.at,
        by="x",
        event=e.TaskFailed(task_id=task.task_id, reason="killed"),
    )
    with pytest.raises(IllegalMove):
        replayed.apply(again)
