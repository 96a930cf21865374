"""What our server vouches for: until when, and how much of it is remembered."""

from __future__ import annotations

from turn.gate.vouched import MAX_OF_USER, MAX_VOUCHED, VouchedPairs

ONE, OTHER = (b"a", b"b"), (b"b", b"c")


def ufrags(number: int) -> tuple[bytes, bytes]:
    return b"%d" % number, b"other"


def test_a_pair_is_vouched_for_until_its_end() -> None:
    pairs = VouchedPairs()
    assert pairs.add("alice", ONE, 60.0) == [ONE]
    assert pairs.add("alice", ONE, 90.0) == []
    assert ("alice", ONE) in pairs
    assert ("bob", ONE) not in pairs
    assert ("alice", OTHER) not in pairs
    assert list(pairs.expire(60.0)) == []
    assert list(pairs.expire(90.0)) == [("alice", ONE)]
    assert ("alice", ONE) not in pairs
    assert (len(pairs), pairs.next_expiry(), list(pairs)) == (0, None, [])


def test_what_is_told_may_end_it_earlier_and_what_is_merged_may_not() -> None:
    pairs = VouchedPairs()
    pairs.add("alice", ONE, 60.0)
    pairs.add("alice", ONE, 30.0, merge=True)
    assert list(pairs) == [("alice", ONE, 60.0)]
    pairs.add("alice", ONE, 30.0)
    assert list(pairs) == [("alice", ONE, 30.0)]


def test_a_user_is_forgotten_as_a_whole() -> None:
    pairs = VouchedPairs()
    pairs.add("alice", ONE, 60.0)
    pairs.add("alice", OTHER, 60.0)
    pairs.add("bob", ONE, 60.0)
    assert pairs.forget("alice") == [ONE, OTHER]
    assert pairs.forget("alice") == []
    assert list(pairs) == [("bob", ONE, 60.0)]


def test_of_one_user_the_latest_are_kept() -> None:
    pairs = VouchedPairs()
    changed = [pairs.add("alice", ufrags(number), 60.0) for number in range(MAX_OF_USER + 1)]
    assert changed[-1] == [ufrags(0), ufrags(MAX_OF_USER)]
    assert len(pairs) == len(list(pairs)) == MAX_OF_USER
    assert ("alice", ufrags(0)) not in pairs


def test_memory_is_bounded() -> None:
    pairs = VouchedPairs()
    for number in range(MAX_VOUCHED):
        pairs.add(f"user {number}", ONE, 60.0)
    assert pairs.add("one more", ONE, 60.0) == []
    assert ("one more", ONE) not in pairs
    assert pairs.add("user 0", ONE, 90.0) == []
    assert len(pairs) == MAX_VOUCHED
