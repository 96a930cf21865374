"""One memory with several columns: what one process uses counts for all, until its column is wiped."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from turn.errors import InsufficientCapacity, QuotaReached
from turn.flows import Address
from turn.limits.buckets import NUMBERS, Buckets
from turn.limits.quotas import Quota
from turn.policies import Limits
from turn.workers.shared_ledger import HELD, LEVELS, SharedLedger, Size, make_memory

COLUMNS = 3
IP, OTHER = Address.of("8.8.8.8", 0).ip, Address.of("8.8.4.4", 0).ip
KEY = bytes(32)


@pytest.fixture
def views() -> Iterator[list[SharedLedger]]:
    descriptor = make_memory(COLUMNS)
    yield [SharedLedger(descriptor, COLUMNS, column, KEY) for column in range(COLUMNS)]
    os.close(descriptor)


@pytest.mark.parametrize("name", HELD)
def test_what_each_holds_is_counted_together(views: list[SharedLedger], name: str) -> None:
    tables = [view.usage(name) for view in views]
    for table, amount in zip(tables, (1, 2, 3), strict=True):
        table.add(b"alice", amount)
    assert {table.amount(b"alice") for table in tables} == {6}
    assert {table.amount(b"bob") for table in tables} == {0}
    tables[2].add(b"alice", -3)
    assert tables[0].amount(b"alice") == 3
    views[0].wipe(1)
    assert {table.amount(b"alice") for table in tables} == {1}
    assert all(views[0].usage(other).amount(b"alice") == 0 for other in HELD if other != name)


def test_two_of_many_seldom_share_a_count(views: list[SharedLedger]) -> None:
    users = views[0].usage("users")
    for number in range(4000):
        users.add(b"%d" % number, 1)
    wrong = sum(users.amount(b"%d" % number) != 1 for number in range(4000))
    assert wrong < 1000
    for number in range(4000):
        users.add(b"%d" % number, -1)
    assert not any(users.amount(b"%d" % number) for number in range(4000))


def test_a_users_allocations_are_limited_over_all(views: list[SharedLedger]) -> None:
    limits = Limits(allocations_per_user=3, allocations_per_address=4, allocations=5)
    quotas = [Quota(limits, view) for view in views]
    for quota in quotas:
        quota.reserve("alice", IP)
    with pytest.raises(QuotaReached):
        quotas[0].reserve("alice", OTHER)
    quotas[1].reserve("bob", IP)
    with pytest.raises(QuotaReached):
        quotas[2].reserve("carol", IP)
    quotas[2].reserve("carol", OTHER)
    with pytest.raises(InsufficientCapacity):
        quotas[0].reserve("dave", OTHER)
    views[0].wipe(2)
    assert {quota.total for quota in quotas} == {3}
    quotas[0].reserve("alice", OTHER)


@pytest.mark.parametrize("name", [name for name, number in LEVELS.items() if number == NUMBERS])
def test_a_bucket_is_everybodys(views: list[SharedLedger], name: str) -> None:
    buckets = [Buckets(10, 40, KEY, view.levels(name, NUMBERS)) for view in views]
    assert sum(bucket.spend(IP, 1000.0) for _ in range(30) for bucket in buckets) == 40
    assert sum(bucket.spend(IP, 1001.0) for _ in range(30) for bucket in buckets) == 10


def test_levels_do_not_touch_each_other_or_the_counts(views: list[SharedLedger]) -> None:
    for name, number in LEVELS.items():
        views[0].levels(name, number)[number - 1] = 5.0
        assert sum(sum(views[1].levels(other, room)) for other, room in LEVELS.items()) == 5.0
        views[0].levels(name, number)[number - 1] = 0.0
    assert not any(views[2].usage(name).amount(b"alice") for name in HELD)
    with pytest.raises(ValueError, match="there is room for 2"):
        views[0].levels("all strangers", 4)


def test_sixty_four_processes_share_less_than_32_megabytes() -> None:
    assert Size(64).all < 32 << 20
