from __future__ import annotations

import pytest

from podium.gateway import buckets
from podium.gateway.buckets import Buckets
from podium.kernel.errors import RateLimited
from podium.testing.clock import FakeClock


def drain(bucket: Buckets, key: str) -> int:
    taken = 0
    while True:
        try:
            bucket.take(key)
        except RateLimited:
            return taken
        taken += 1


def test_a_bucket_gives_its_burst_and_then_what_drips_in() -> None:
    clock = FakeClock()
    bucket = Buckets(5.0, clock.monotonic)
    assert drain(bucket, "a") == 10
    clock.advance(1.0)
    assert drain(bucket, "a") == 5
    clock.advance(3600)
    assert drain(bucket, "a") == 10


def test_one_principal_does_not_use_up_another_ones_bucket() -> None:
    bucket = Buckets(5.0, FakeClock().monotonic)
    drain(bucket, "a")
    assert drain(bucket, "b") == 10


def test_the_refusal_says_when_to_come_back() -> None:
    bucket = Buckets(0.1, FakeClock().monotonic)
    drain(bucket, "a")
    with pytest.raises(RateLimited) as refused:
        bucket.take("a")
    assert refused.value.details["retry_after_s"] == 10


def test_the_number_of_buckets_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MAX_BUCKETS", 3)
    bucket = Buckets(1.0, FakeClock().monotonic)
    for key in "abcd":
        bucket.take(key)
    assert len(bucket._levels) == 3
    assert "a" not in bucket._levels
