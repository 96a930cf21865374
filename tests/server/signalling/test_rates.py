"""Token buckets: the burst, the rate, and a limit on refusals."""

from __future__ import annotations

import pytest

from server.signalling.rates import (
    CHUNK_RATE,
    MAX_REFUSALS,
    MESSAGE_RATE,
    REFUSAL_SECONDS,
    TEXT_RATE,
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


def test_refusals_run_out_within_its_time_only() -> None:
    limit = RefusalLimit(0.0)
    assert [limit.allows_one_more(1.0) for _ in range(MAX_REFUSALS)] == [True] * (MAX_REFUSALS - 1) + [False]
    slow = RefusalLimit(0.0)
    assert all(
        slow.allows_one_more(step * REFUSAL_SECONDS / (MAX_REFUSALS - 2)) for step in range(10 * MAX_REFUSALS)
    )
