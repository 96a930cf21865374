"""Token buckets: the burst, the rate, and a patience that runs out."""

from __future__ import annotations

import pytest

from server.signalling.rates import (
    CHUNK_RATE,
    MESSAGE_RATE,
    REFUSED,
    TEXT_RATE,
    WITHIN,
    Rate,
    RefusalLimit,
)
from turn.limits.buckets import Bucket


@pytest.mark.parametrize("rate", [MESSAGE_RATE, TEXT_RATE, CHUNK_RATE])
def test_a_burst_and_then_the_rate(rate: Rate) -> None:
    bucket = Bucket(*rate)
    assert [bucket.spend(100.0) for _ in range(int(rate.burst) + 1)].count(True) == rate.burst
    passed = sum(bucket.spend(100.0 + tenth / 1000) for tenth in range(10_000))
    assert passed == pytest.approx(10 * rate.per_second, abs=1)


def test_rest_fills_no_more_than_the_burst() -> None:
    bucket = Bucket(*Rate(1, 3))
    assert [bucket.spend(1e6) for _ in range(5)] == [True, True, True, False, False]


def test_patience_runs_out_within_its_time_only() -> None:
    patience = RefusalLimit(0.0)
    assert [patience.allows_one_more(1.0) for _ in range(REFUSED)] == [True] * (REFUSED - 1) + [False]
    slow = RefusalLimit(0.0)
    assert all(slow.allows_one_more(step * WITHIN / (REFUSED - 2)) for step in range(10 * REFUSED))
