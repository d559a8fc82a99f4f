"""Liveness is measured on the monotonic clock; the wall clock may do what it likes."""

from __future__ import annotations

import pytest

from podium.engine.roster import MISSING_LIMIT, Roster
from podium.kernel.ids import RunId, WorkerId
from podium.testing.clock import FakeClock

A = WorkerId("worker_a")


def test_a_worker_not_heard_for_a_whole_lease_expires_once():
    clock = FakeClock()
    roster = Roster(clock, lease_ttl_s=15)
    roster.hello(A, 3)
    clock.advance(14)
    assert roster.expired() == []
    clock.advance(2)
    assert roster.expired() == [A]
    assert roster.expired() == []


@pytest.mark.parametrize("jump_s", [-3600, 3600, 10 * 365 * 86_400])
def test_a_jump_of_the_wall_clock_ends_no_lease_early_and_keeps_none_for_ever(jump_s):
    clock = FakeClock()
    roster = Roster(clock, lease_ttl_s=15)
    roster.hello(A, 3)
    clock.jump_wall(jump_s)
    assert roster.expired() == []
    clock.advance(16)
    assert roster.expired() == [A]


def test_after_a_server_start_a_worker_has_one_whole_lease_to_come_back():
    clock = FakeClock()
    roster = Roster(clock, lease_ttl_s=15)
    clock.advance(3600)
    roster.expect([A])
    clock.advance(14)
    assert roster.expired() == []
    assert roster.capacities() == {}, "expected is not connected"
    roster.hello(A, 2)
    assert roster.capacities() == {A: 2}


def test_a_run_counts_as_missing_only_after_several_renewals_in_a_row():
    roster = Roster(FakeClock())
    roster.hello(A, 1)
    run = RunId("run_1")
    for _ in range(MISSING_LIMIT - 1):
        assert roster.count_missing(A, {run}) == []
    assert roster.count_missing(A, set()) == []
    for _ in range(MISSING_LIMIT - 1):
        assert roster.count_missing(A, {run}) == []
    assert roster.count_missing(A, {run}) == [run]
