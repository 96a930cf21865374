"""Token buckets: what they give in a burst, and what comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turn.flows import Address
from turn.limits.buckets import BUCKETS, NUMBERS, Bucket, Buckets

IP, OTHER = Address.of("8.8.8.8", 0).ip, Address.of("8.8.4.4", 0).ip


@given(st.lists(st.floats(0, 2), max_size=300), st.integers(1, 50), st.integers(1, 100))
def test_a_bucket_gives_no_more_than_burst_and_rate(gaps: list[float], rate: int, burst: int) -> None:
    bucket, now, taken = Bucket(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.spend(now)
    assert taken <= burst + rate * now + 1e-6


def test_a_bucket_refills_and_takes_whole_amounts() -> None:
    bucket = Bucket(10, 20)
    assert bucket.spend(0.0, 20)
    assert not bucket.spend(0.0)
    assert not bucket.spend(0.5, 6)
    assert bucket.spend(0.5, 5)
    assert bucket.spend(100.0, 20)
    assert not bucket.spend(100.0, 1)
    assert not bucket.spend(99.0, 1)


def test_no_rate_is_no_limit() -> None:
    assert all(Bucket(0, 0).spend(0.0, 1e9) for _ in range(100))
    assert all(Buckets(0, 0, b"key").spend(IP, 0.0) for _ in range(1000))


def test_a_name_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(10, 40, b"key")
    assert sum(buckets.spend(IP, 0.0) for _ in range(1000)) == 40
    assert buckets.spend(OTHER, 0.0)
    assert sum(buckets.spend(IP, 10.0) for _ in range(1000)) == 40


def test_more_than_one_is_taken_whole_or_not_at_all() -> None:
    buckets = Buckets(10, 40, b"key")
    assert buckets.spend(b"alice", 0.0, 30)
    assert not buckets.spend(b"alice", 0.0, 11)
    assert buckets.spend(b"alice", 0.0, 10)
    assert buckets.spend(b"bob", 0.0, 40)


def test_a_flood_from_everywhere_costs_no_memory() -> None:
    buckets = Buckets(10, 40, b"key")
    taken = sum(buckets.spend(number.to_bytes(4, "big"), 0.0) for number in range(20_000))
    assert len(buckets._memory) == NUMBERS
    assert taken == 20_000


def test_what_another_took_is_owed_as_far_as_a_burst() -> None:
    bucket = Bucket(10, 20)
    bucket.deduct(0.0, 15)
    assert [bucket.spend(0.0, 5), bucket.spend(0.0)] == [True, False]
    bucket.deduct(0.0, 1000)
    assert [bucket.spend(1.9, 1), bucket.spend(2.1, 1)] == [False, True]


def test_what_was_spent_for_nothing_comes_back_up_to_the_burst() -> None:
    bucket = Bucket(1, 2)
    assert [bucket.spend(0.0), bucket.spend(0.0), bucket.spend(0.0)] == [True, True, False]
    bucket.refund()
    assert [bucket.spend(0.0), bucket.spend(0.0)] == [True, False]
    bucket.refund(100)
    assert [bucket.spend(0.0) for _ in range(3)] == [True, True, False]


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_two_buckets_of_one_name_give_as_much_as_one(gaps: list[float], rate: int, burst: int) -> None:
    single, double, now = Buckets(rate, burst, b"key"), Buckets(rate, burst, b"key"), 0.0
    for gap in gaps:
        now += gap
        could = double.can_spend_either((1, 2), now)
        assert single.spend_from(1, now) == double.spend_either((1, 2), now) == could


def test_who_shares_one_of_its_two_buckets_loses_nothing_and_gains_nothing() -> None:
    buckets = Buckets(10, 40, b"key")
    assert sum(buckets.spend_either((1, 2), 0.0) for _ in range(1000)) == 40
    assert sum(buckets.spend_either((2, 3), 0.0) for _ in range(1000)) == 40
    assert sum(buckets.spend_either((2, 3), 0.01 * step) for step in range(101)) == 10
    assert sum(buckets.spend_either((1, 2), 1.0) for _ in range(1000)) == 10


def test_more_than_a_burst_never_fits() -> None:
    buckets = Buckets(10, 40, b"key")
    assert not buckets.can_spend_either((1, 2), 1e6, 41)
    assert not buckets.spend_either((1, 2), 1e6, 41)
    assert buckets.can_spend_either((1, 2), 1e6, 40)


def test_names_have_two_buckets_each() -> None:
    buckets = Buckets(10, 40, b"key")
    pairs = [buckets.slots(number.to_bytes(4, "big")) for number in range(2000)]
    assert len(set(pairs)) == 2000
    assert {slot < BUCKETS for pair in pairs for slot in pair} == {True}
    assert len({slot for pair in pairs for slot in pair}) > BUCKETS / 2
