"""Counts and levels in one process's own memory."""

from __future__ import annotations

from turn.limits.ledger import LocalLedger, LocalUsage


def test_counts_are_exact_and_nothing_is_left_of_what_is_given_back() -> None:
    counts = LocalUsage()
    for amount in (1, 2, -1):
        counts.add(b"alice", amount)
    counts.add(b"bob", 1)
    assert (counts.amount(b"alice"), counts.amount(b"bob"), counts.amount(b"carol")) == (2, 1, 0)
    counts.add(b"alice", -2)
    assert counts == {b"bob": 1}


def test_who_asks_again_gets_the_same() -> None:
    ledger, other = LocalLedger(), LocalLedger()
    ledger.levels("strangers", 2)[1] = 7.0
    ledger.usage("users").add(b"alice", 1)
    assert list(ledger.levels("strangers", 2)) == [0.0, 7.0]
    assert ledger.usage("users").amount(b"alice") == 1
    assert list(ledger.levels("failures", 2)) == list(other.levels("strangers", 2)) == [0.0, 0.0]
    assert ledger.usage("addresses") == other.usage("users") == {}
