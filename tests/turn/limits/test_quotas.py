"""Quotas: who holds how much."""

from __future__ import annotations

import pytest

from turn.errors import InsufficientCapacity, QuotaReached
from turn.flows import Address
from turn.limits.ledger import Private
from turn.limits.quotas import Quota
from turn.policies import Limits, networks

IP, OTHER = Address.of("8.8.8.8", 0).ip, Address.of("8.8.4.4", 0).ip


def test_quota_of_a_user_an_address_and_all() -> None:
    ledger = Private()
    quota = Quota(Limits(allocations_per_user=2, allocations_per_address=3, allocations=4), ledger)
    quota.take("alice", IP, 2)
    with pytest.raises(QuotaReached):
        quota.take("alice", OTHER)
    quota.take("bob", IP)
    with pytest.raises(QuotaReached):
        quota.take("carol", IP)
    quota.take("carol", OTHER)
    with pytest.raises(InsufficientCapacity):
        quota.take("dave", OTHER)
    quota.give("alice", IP, 2)
    quota.take("dave", OTHER)
    for user, ip in (("bob", IP), ("carol", OTHER), ("dave", OTHER)):
        quota.give(user, ip)
    assert (quota.total, ledger.held("users"), ledger.held("addresses")) == (0, {}, {})


def test_trusted_networks_have_no_limit_by_address() -> None:
    quota = Quota(Limits(allocations_per_address=1, trusted=networks("8.8.8.0/24")), Private())
    for number in range(20):
        quota.take(str(number), IP)
    quota.take("one", OTHER)
    with pytest.raises(QuotaReached):
        quota.take("two", OTHER)
