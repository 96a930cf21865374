"""Counts and levels in one process's own memory."""

from __future__ import annotations

from turn.limits.ledger import Counts, Private


def test_counts_are_exact_and_nothing_is_left_of_what_is_given_back() -> None:
    counts = Counts()
    for amount in (1, 2, -1):
        counts.add(b"alice", amount)
    counts.add(b"bob", 1)
    assert (counts.count(b"alice"), counts.count(b"bob"), counts.count(b"carol")) == (2, 1, 0)
    counts.add(b"alice", -2)
    assert counts == {b"bob": 1}


def test_who_asks_again_gets_the_same() -> None:
    ledger, other = Private(), Private()
    ledger.levels("strangers", 2)[1] = 7.0
    ledger.held("users").add(b"alice", 1)
    assert list(ledger.levels("strangers", 2)) == [0.0, 7.0]
    assert ledger.held("users").count(b"alice") == 1
    assert list(ledger.levels("failures", 2)) == list(other.levels("strangers", 2)) == [0.0, 0.0]
    assert ledger.held("addresses") == other.held("users") == {}
