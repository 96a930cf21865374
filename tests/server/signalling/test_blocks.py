"""Blocks and recent pairs: how long they hold, and that their memory has an end."""

from __future__ import annotations

import pytest

from server.signalling import blocks
from server.signalling.blocks import MAX_BLOCKS_EACH, Blocks, RecentPairs

HOME = b"\xc0\x00\x02\x01"


def test_a_block_holds_while_one_of_the_two_is_connected() -> None:
    held = Blocks()
    held.arrive("victim", b"home-of-the-victim")
    held.arrive("other", HOME)
    held.arrive("other", HOME)
    for blocked in ("other", HOME):
        held.add("victim", blocked)
    held.depart("other", HOME)
    held.depart("other", HOME)
    assert ("victim", "other") in held
    assert ("victim", HOME) in held
    held.arrive("new", HOME)
    held.depart("victim", b"home-of-the-victim")
    assert ("victim", "other") not in held
    assert ("victim", HOME) in held
    held.depart("new", HOME)
    assert (held.pairs, held.by_blocker, held.by_blocked, held.present) == ({}, {}, {}, {})


def test_a_block_has_a_direction() -> None:
    held = Blocks()
    held.add("victim", "other")
    assert ("victim", "other") in held
    assert ("other", "victim") not in held


def test_one_browser_blocks_so_many_and_its_oldest_makes_room() -> None:
    held = Blocks()
    held.add("victim", "me")
    for number in range(MAX_BLOCKS_EACH + 1):
        held.add("me", f"other{number}")
    assert MAX_BLOCKS_EACH <= 1_000
    assert len(held.by_blocker["me"]) == MAX_BLOCKS_EACH
    assert ("me", "other0") not in held
    assert ("me", "other1") in held
    assert ("victim", "me") in held, "who is blocked cannot push that out"


def test_all_blocks_together_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_BLOCKS", 100)
    held = Blocks()
    for number in range(1000):
        held.add(f"blocker{number}", HOME)
    assert len(held.pairs) == len(held.by_blocker) == len(held.by_blocked[HOME]) == 100


def test_the_last_parting_counts() -> None:
    recent = RecentPairs(300.0)
    for now in (0.0, 100.0):
        recent.add(("one", "other"), now)
    assert list(recent.expire(350.0)) == []
    assert ("one", "other") in recent
    assert list(recent.expire(400.0)) == [("one", "other")]
    assert not recent.until


def test_so_many_pairs_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_PAIRS", 100)
    recent = RecentPairs(300.0)
    for number in range(1000):
        recent.add(("me", f"other{number}"), 0.0)
        list(recent.expire(0.0))
    assert len(recent.until) == len(recent.order) == 100
