"""Quotas: who holds how much."""

from __future__ import annotations

import pytest

from turn.errors import InsufficientCapacity, QuotaReached
from turn.flows import Address
from turn.limits.ledger import LocalLedger
from turn.limits.quotas import Quota
from turn.policies import Limits, networks

IP, OTHER = Address.of("8.8.8.8", 0).ip, Address.of("8.8.4.4", 0).ip


def test_quota_of_a_user_an_address_and_all() -> None:
    ledger = LocalLedger()
    quota = Quota(Limits(allocations_per_user=2, allocations_per_address=3, allocations=4), ledger)
    quota.reserve("alice", IP, 2)
    with pytest.raises(QuotaReached):
        quota.reserve("alice", OTHER)
    quota.reserve("bob", IP)
    with pytest.raises(QuotaReached):
        quota.reserve("carol", IP)
    quota.reserve("carol", OTHER)
    with pytest.raises(InsufficientCapacity):
        quota.reserve("dave", OTHER)
    quota.give_back("alice", IP, 2)
    quota.reserve("dave", OTHER)
    for user, ip in (("bob", IP), ("carol", OTHER), ("dave", OTHER)):
        quota.give_back(user, ip)
    assert (quota.total, ledger.usage("users"), ledger.usage("addresses")) == (0, {}, {})


def test_a_48_holds_twice_what_an_address_holds() -> None:
    ledger = LocalLedger()
    quota = Quota(Limits(allocations_per_address=3), ledger)
    households = [Address.of(f"2001:db8:bad:{number:x}::1", 0).ip for number in range(50)]
    for _ in range(3):
        quota.reserve("alice", households[0])
    with pytest.raises(QuotaReached):
        quota.reserve("alice", households[0])
    for ip in households[1:4]:
        quota.reserve("alice", ip)
    for ip in households[4:]:
        with pytest.raises(QuotaReached):
            quota.reserve("alice", ip)
    quota.reserve("alice", Address.of("2001:db8:900d::1", 0).ip)
    for ip in (*3 * households[:1], *households[1:4], Address.of("2001:db8:900d::1", 0).ip):
        quota.give_back("alice", ip)
    assert ledger.usage("addresses") == {}


def test_trusted_networks_have_no_limit_by_address() -> None:
    quota = Quota(Limits(allocations_per_address=1, trusted=networks("8.8.8.0/24")), LocalLedger())
    for number in range(20):
        quota.reserve(str(number), IP)
    quota.reserve("one", OTHER)
    with pytest.raises(QuotaReached):
        quota.reserve("two", OTHER)
