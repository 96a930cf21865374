"""Matching: a table of couples, a model that is too simple to be wrong, and ten thousand who wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.signalling import matching
from server.signalling.matching import MAX_BLOCKS_EACH, Queue, Seeker

REMATCH = 300.0


def seeker(queue: Queue, name: str, country: str | None = None, want: str = "", token: str = "") -> Seeker:
    return Seeker(name, token or f"token-{name}", country, frozenset(want.split()), queue.new_ticket())


# Who waits and who comes, as (country, wish): do they meet?
COUPLES = [
    (None, "", None, "", True),
    ("de", "", None, "", True),
    ("de", "", "fr", "", True),
    ("de", "fr", "fr", "de", True),
    ("de", "fr", "fr", "", True),
    ("de", "", "fr", "de", True),
    ("de", "fr it", "it", "de at", True),
    ("de", "de", "de", "de", True),
    ("de", "fr", "it", "", False),
    ("de", "", "fr", "it", False),
    ("de", "fr", "fr", "it", False),
    (None, "fr", "fr", "", True),
    (None, "", "fr", "de", False),
    ("fr", "de", None, "", False),
    (None, "de", None, "de", False),
]


@pytest.mark.parametrize(("waits", "wish", "comes", "wants", "meet"), COUPLES)
def test_both_must_suit(waits: str | None, wish: str, comes: str | None, wants: str, meet: bool) -> None:
    for first, second in (((waits, wish), (comes, wants)), ((comes, wants), (waits, wish))):
        queue = Queue(REMATCH)
        one = seeker(queue, "one", *first)
        assert queue.match_or_wait(one) is None
        assert queue.match_or_wait(seeker(queue, "two", *second)) is (one if meet else None)
        assert len(queue) == (0 if meet else 2)


def test_the_longest_waiting_who_suits() -> None:
    queue = Queue(REMATCH)
    for name, country, want in (("a", "it", ""), ("b", "fr", "es"), ("c", "fr", "de"), ("d", "fr", "")):
        queue.add(seeker(queue, name, country, want))
    met = [queue.match_or_wait(seeker(queue, f"new{n}", "de", "fr")) for n in range(3)]
    assert [one and one.visitor for one in met] == ["c", "d", None]


def test_the_deserted_wait_in_front_and_who_returns_keeps_the_place() -> None:
    queue = Queue(REMATCH)
    first, second = (seeker(queue, name, "fr", "de") for name in ("first", "second"))
    for one in (first, second):
        queue.add(one)
    queue.remove("first")
    queue.add(first)
    front = replace(seeker(queue, "front", "fr", "de"), ticket=queue.new_ticket(front=True))
    queue.add(front)
    met = [queue.match_or_wait(seeker(queue, f"new{n}", "de")) for n in range(3)]
    assert met == [front, first, second]


def test_never_oneself() -> None:
    queue = Queue(REMATCH)
    assert queue.match_or_wait(seeker(queue, "tab1", token="browser")) is None
    assert queue.match_or_wait(seeker(queue, "tab2", token="browser")) is None
    assert len(queue) == 2


def test_the_pair_that_just_parted_meets_when_the_time_is_over() -> None:
    queue = Queue(REMATCH)
    queue.remember_pair("token-b", "token-a", 1000.0)
    for name in "ab":
        assert queue.match_or_wait(seeker(queue, name)) is None
    assert queue.rematch(1000.0 + REMATCH - 1) == []
    [(one, other)] = queue.rematch(1000.0 + REMATCH)
    assert {one.visitor, other.visitor} == {"a", "b"}
    assert len(queue) == 0
    assert not queue.recent_pairs.until


def test_the_last_parting_counts() -> None:
    queue = Queue(REMATCH)
    for now in (0.0, 100.0):
        queue.remember_pair("token-a", "token-b", now)
    for name in "ab":
        queue.match_or_wait(seeker(queue, name))
    assert queue.rematch(REMATCH + 50) == []
    assert len(queue.rematch(REMATCH + 100)) == 1


def test_without_an_interval_they_may_meet_at_once() -> None:
    queue = Queue(0)
    queue.remember_pair("token-a", "token-b", 1.0)
    queue.match_or_wait(seeker(queue, "a"))
    assert queue.match_or_wait(seeker(queue, "b")) is not None


def test_a_blocked_pair_never_meets_while_either_is_about() -> None:
    queue = Queue(0)
    for token in ("token-a", "token-b", "token-a"):
        queue.blocks.arrive(token)
    queue.block("token-b", "token-a")
    queue.add(seeker(queue, "a"))
    assert queue.match_or_wait(seeker(queue, "b")) is None
    queue.blocks.depart("token-a")
    queue.blocks.depart("token-a")
    assert ("token-a", "token-b") in queue.blocks
    queue.blocks.depart("token-b")
    assert ("token-a", "token-b") not in queue.blocks
    assert not queue.blocks.partners
    assert not queue.blocks.present


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_PAIRS", 100)
    queue = Queue(REMATCH)
    for number in range(1000):
        queue.remember_pair("me", f"other{number}", 0.0)
        queue.rematch(0.0)
        queue.block("me", f"other{number}")
    assert len(queue.recent_pairs.until) == len(queue.recent_pairs.order) == 100


def test_one_token_blocks_so_many_and_the_oldest_makes_room() -> None:
    queue = Queue(REMATCH)
    for number in range(MAX_BLOCKS_EACH + 1):
        queue.block("me", f"other{number}")
    assert MAX_BLOCKS_EACH <= 1_000
    assert len(queue.blocks.partners["me"]) == MAX_BLOCKS_EACH
    assert ("me", "other0") not in queue.blocks
    assert ("me", "other1") in queue.blocks
    assert "other0" not in queue.blocks.partners


def test_a_thousand_come_and_go_and_nothing_stays() -> None:
    queue = Queue(REMATCH)
    for number in range(1000):
        queue.add(seeker(queue, f"v{number}", "de", "fr it"))
        queue.remove(f"v{number}")
    assert (queue.seekers, queue.by_token, queue.index) == ({}, {}, {})


def test_ten_thousand_waiting_cost_a_newcomer_little() -> None:
    """The work is counted, not timed: how many of those who wait are looked at."""
    queue = Queue(REMATCH)
    for number in range(10_000):
        queue.add(seeker(queue, f"v{number}", "de", "fr"))
    looked = 0

    def counted(one: Seeker, other: Seeker, may_meet: object = queue.may_meet) -> bool:
        nonlocal looked
        looked += 1
        assert callable(may_meet)
        return bool(may_meet(one, other))

    queue.may_meet = counted  # type: ignore[method-assign]
    assert queue.match_or_wait(seeker(queue, "it", "it", "de")) is None
    assert looked == 0
    partner = queue.match_or_wait(seeker(queue, "fr", "fr", "de"))
    assert partner is not None
    assert (partner.visitor, looked) == ("v0", 1)


COUNTRIES = st.sampled_from([None, "de", "fr", "it"])
WISHES = st.sets(st.sampled_from(["de", "fr", "it"]), max_size=2)
PEOPLE = st.integers(0, 7)


class Machine(RuleBasedStateMachine):
    """The queue beside a list that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(10.0)
        self.waiting: list[Seeker] = []
        self.recent: dict[frozenset[str], float] = {}
        self.blocked: set[frozenset[str]] = set()
        self.now = 0.0
        self.count = 0

    def may_meet(self, one: Seeker, other: Seeker) -> bool:
        pair = frozenset((one.token, other.token))
        return len(pair) == 2 and pair not in self.recent and pair not in self.blocked

    def fit(self, one: Seeker, other: Seeker) -> bool:
        suits = (not one.wanted_countries or other.country in one.wanted_countries) and (
            not other.wanted_countries or one.country in other.wanted_countries
        )
        return suits and self.may_meet(one, other)

    @rule(person=PEOPLE, country=COUNTRIES, want=WISHES, front=st.booleans())
    def join(self, person: int, country: str | None, want: set[str], front: bool) -> None:
        self.count += 1
        one = Seeker(
            f"v{self.count}", f"t{person}", country, frozenset(want), self.queue.new_ticket(front=front)
        )
        expected = next((other for other in self.waiting if self.fit(one, other)), None)
        assert self.queue.match_or_wait(one) is expected
        if expected is not None:
            self.waiting.remove(expected)
        else:
            self.waiting = sorted([*self.waiting, one], key=lambda other: other.ticket)

    @rule(index=st.integers(0, 30))
    def leave(self, index: int) -> None:
        if self.waiting:
            gone = self.waiting.pop(index % len(self.waiting))
            assert self.queue.remove(gone.visitor) is gone
        assert self.queue.remove("nobody") is None

    @rule(one=PEOPLE, other=PEOPLE)
    def part(self, one: int, other: int) -> None:
        if one != other:
            self.queue.remember_pair(f"t{one}", f"t{other}", self.now)
            self.recent[frozenset((f"t{one}", f"t{other}"))] = self.now + 10.0

    @rule(one=PEOPLE, other=PEOPLE)
    def block(self, one: int, other: int) -> None:
        if one != other:
            self.queue.block(f"t{one}", f"t{other}")
            self.blocked.add(frozenset((f"t{one}", f"t{other}")))

    @rule(seconds=st.floats(0, 12))
    def settle(self, seconds: float) -> None:
        self.now += seconds
        self.recent = {pair: end for pair, end in self.recent.items() if end > self.now}
        for one, other in self.queue.rematch(self.now):
            assert self.fit(one, other)
            self.waiting.remove(one)
            self.waiting.remove(other)

    @invariant()
    def nobody_is_lost(self) -> None:
        assert set(self.queue.seekers.values()) == set(self.waiting)

    @invariant()
    def nobody_waits_who_could_talk(self) -> None:
        for one in self.waiting:
            assert not any(self.fit(one, other) for other in self.waiting if other is not one)


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
