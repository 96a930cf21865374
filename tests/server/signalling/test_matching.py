"""Matching: a table of couples, a model that is too simple to be wrong, and ten thousand who wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.signalling.blocks import Person, Terms
from server.signalling.households import Networks
from server.signalling.matching import (
    LOOK_SECONDS,
    MAX_LOOKED_AT,
    REUNION_SECONDS,
    Obstacle,
    Queue,
)
from server.signalling.reasons import Reason, why
from server.signalling.seekers import Seeker
from turn.limits.addresses import counted_networks

REMATCH = 300.0


def home(number: int) -> Networks:
    return counted_networks(bytes((192, 0, 2, number)))


def seeker(
    queue: Queue,
    name: str,
    country: str | None = None,
    want: str = "",
    token: str = "",
    networks: Networks = (),
    since: float = 0.0,
) -> Seeker:
    wanted = frozenset(want.split())
    return Seeker(name, token or f"token-{name}", country, wanted, queue.new_ticket(), networks, since)


def person(name: str, household: bytes | None = None) -> Person:
    return Person(f"token-{name}", household)


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
        assert queue.match_or_wait(one, 0.0) is None
        assert queue.match_or_wait(seeker(queue, "two", *second), 0.0) is (one if meet else None)
        assert len(queue) == (0 if meet else 2)


def test_the_longest_waiting_who_suits() -> None:
    queue = Queue(REMATCH)
    for name, country, want in (("a", "it", ""), ("b", "fr", "es"), ("c", "fr", "de"), ("d", "fr", "")):
        queue.add(seeker(queue, name, country, want), 0.0)
    met = [queue.match_or_wait(seeker(queue, f"new{n}", "de", "fr"), 0.0) for n in range(3)]
    assert [one and one.visitor for one in met] == ["c", "d", None]


def test_who_returns_keeps_the_place() -> None:
    queue = Queue(REMATCH)
    first, second = (seeker(queue, name, "fr", "de") for name in ("first", "second"))
    for one in (first, second):
        queue.add(one, 0.0)
    queue.remove("first", 0.0)
    queue.add(first, 0.0)
    met = [queue.match_or_wait(seeker(queue, f"new{n}", "de"), 0.0) for n in range(2)]
    assert met == [first, second]


def test_never_oneself() -> None:
    queue = Queue(REMATCH)
    for name in ("page1", "page2"):
        assert queue.match_or_wait(seeker(queue, name, token="browser"), 0.0) is None
    assert queue.retry(100.0) == []
    assert len(queue) == 2


def test_a_browser_stands_once_with_its_latest_page() -> None:
    queue = Queue(REMATCH)
    for name in ("page1", "page2", "page3"):
        queue.match_or_wait(seeker(queue, name, token="browser"), 0.0)
    assert [one.visitor for row in queue.index.values() for one in row] == ["page3"]
    queue.remove("page2", 0.0)
    partner = queue.match_or_wait(seeker(queue, "a"), 0.0)
    assert partner is not None
    assert partner.visitor == "page3"
    assert [one.visitor for row in queue.index.values() for one in row] == ["page1"]


def test_a_page_that_comes_to_stand_looks_at_those_who_wait_already() -> None:
    queue = Queue(REMATCH)
    queue.match_or_wait(seeker(queue, "page1", "de", token="browser"), 0.0)
    queue.match_or_wait(seeker(queue, "page2", "de", "it", token="browser"), 0.0)
    queue.match_or_wait(seeker(queue, "a", "fr"), 0.0)
    queue.remove("page2", 1.0)
    [(one, other)] = queue.retry(1.0)
    assert (one.visitor, other.visitor) == ("page1", "a")


def test_two_of_one_household_meet_at_once_however_busy_it_is() -> None:
    queue = Queue(REMATCH)
    queue.change_share(home(1), 0.0, seats=64)
    assert queue.match_or_wait(seeker(queue, "a", networks=home(1)), 0.0) is None
    assert queue.match_or_wait(seeker(queue, "b", networks=home(1)), 0.0) is not None


def test_two_busy_households_meet_at_once() -> None:
    queue = Queue(REMATCH)
    for number in (1, 2):
        queue.change_share(home(number), 0.0, seats=64)
    queue.add(seeker(queue, "a", networks=home(1)), 0.0)
    assert queue.match_or_wait(seeker(queue, "b", networks=home(2)), 0.0) is not None


@pytest.mark.parametrize(("seats", "seconds"), [(4, 0.0), (5, 5.0), (12, 5.0), (13, 15.0)])
@pytest.mark.parametrize("busy_first", [True, False])
def test_others_look_a_while_before_they_meet_a_busy_household(
    seats: int, seconds: float, busy_first: bool
) -> None:
    queue = Queue(REMATCH)
    queue.change_share(home(1), 0.0, seats=seats)
    busy, other = seeker(queue, "busy", networks=home(1)), seeker(queue, "other", networks=home(2))
    pair = (busy, other) if busy_first else (other, busy)
    assert queue.match_or_wait(pair[0], 0.0) is None
    if not seconds:
        assert queue.match_or_wait(pair[1], 0.0) is pair[0]
        return
    assert queue.match_or_wait(pair[1], 0.0) is None
    assert queue.retry(seconds - 0.1) == []
    assert queue.retry(seconds) == [(busy, other)]


def test_a_busy_newcomer_meets_at_once_who_has_looked_long_enough() -> None:
    queue = Queue(REMATCH)
    queue.add(seeker(queue, "other", networks=home(2)), 0.0)
    queue.retry(15.0)
    queue.change_share(home(1), 15.0, seats=64)
    busy = seeker(queue, "busy", networks=home(1), since=15.0)
    assert queue.match_or_wait(busy, 15.0) is not None


def test_who_waits_changes_the_level_with_the_household() -> None:
    queue = Queue(REMATCH)
    queue.change_share(home(1), 0.0, seats=1)
    one = seeker(queue, "one", networks=home(1))
    queue.match_or_wait(one, 0.0)
    queue.change_share(home(1), 0.0, left=20)
    assert queue.match_or_wait(seeker(queue, "calm", networks=home(2)), 0.0) is None
    queue.remove("calm", 0.0)
    queue.retry(3600.0)
    calm = seeker(queue, "calm", networks=home(2), since=3600.0)
    assert queue.match_or_wait(calm, 3600.0) is one


@pytest.mark.parametrize("comes_first", [True, False])
def test_somebody_else_of_the_household_just_met_is_the_second_choice(comes_first: bool) -> None:
    queue = Queue(REMATCH)
    queue.remember_pair(person("me", home(2)[0][0]), person("gone", home(1)[0][0]), 0.0)
    me = seeker(queue, "me", networks=home(2))
    again = seeker(queue, "again", networks=home(1))
    for one in (me, again) if comes_first else (again, me):
        assert queue.match_or_wait(one, 0.0) is None
    assert queue.retry(4.9) == []
    assert queue.retry(5.0) == [(me, again)]


def test_another_household_comes_before_the_one_just_met() -> None:
    queue = Queue(REMATCH)
    queue.remember_pair(person("me", home(2)[0][0]), person("gone", home(1)[0][0]), 0.0)
    for name, number in (("again", 1), ("new", 3)):
        queue.add(seeker(queue, name, "de", "fr", networks=home(number)), 0.0)
    partner = queue.match_or_wait(seeker(queue, "me", "fr", networks=home(2)), 0.0)
    assert partner is not None
    assert partner.visitor == "new"


def test_the_pair_that_just_parted_meets_when_the_time_is_over() -> None:
    queue = Queue(REMATCH)
    queue.remember_pair(person("b"), person("a"), 1000.0)
    for name in "ab":
        assert queue.match_or_wait(seeker(queue, name, since=1000.0), 1000.0) is None
    assert queue.retry(1000.0 + REMATCH - 1) == []
    [(one, other)] = queue.retry(1000.0 + REMATCH)
    assert {one.visitor, other.visitor} == {"a", "b"}
    assert len(queue) == 0
    assert not queue.recent_pairs.until


@pytest.mark.parametrize(
    ("terms", "answers", "seconds"),
    [
        (Terms.FRIENDLY, (None, None), REUNION_SECONDS),
        (Terms.FRIENDLY, (True, None), REUNION_SECONDS),
        (Terms.FRIENDLY, (True, True), 0.0),
        (Terms.FRIENDLY, (False, True), REMATCH),
        (Terms.PASSED, (None, None), REMATCH),
        (Terms.PASSED, (True, None), REMATCH),
        (Terms.PASSED, (True, True), 0.0),
        (Terms.FINAL, (True, True), REMATCH),
    ],
)
def test_how_two_parted_says_what_they_need_to_meet_again(
    terms: Terms, answers: tuple[bool | None, bool | None], seconds: float
) -> None:
    queue = Queue(REMATCH)
    queue.remember_pair(person("a"), person("b"), 0.0, terms)
    for name, may in zip("ab", answers, strict=True):
        one = seeker(queue, name)
        one.may_reunite = may
        met = queue.match_or_wait(one, 0.0)
    if not seconds:
        assert met is not None
        return
    assert queue.retry(seconds - 0.1) == []
    assert len(queue.retry(seconds)) == 1
    assert not queue.recent_pairs.terms or seconds < REMATCH


def test_two_who_wait_and_both_agree_meet_at_the_next_look() -> None:
    queue = Queue(REMATCH)
    queue.remember_pair(person("a"), person("b"), 0.0)
    for name in "ab":
        queue.match_or_wait(seeker(queue, name), 0.0)
    queue.reunite("a", True, 1.0)
    assert queue.retry(20.0) == []
    queue.reunite("b", True, 21.0)
    assert len(queue.retry(21.0)) == 1


def test_without_an_interval_they_may_meet_at_once() -> None:
    queue = Queue(0)
    queue.remember_pair(person("a"), person("b"), 1.0)
    queue.match_or_wait(seeker(queue, "a"), 1.0)
    assert queue.match_or_wait(seeker(queue, "b"), 1.0) is not None


@pytest.mark.parametrize("comes_first", [True, False])
def test_a_block_holds_for_the_household_too(comes_first: bool) -> None:
    queue = Queue(0)
    queue.block(person("me", home(1)[0][0]), person("gone", home(2)[0][0]))
    me = seeker(queue, "me", networks=home(1))
    new = seeker(queue, "new", networks=home(2))
    for one in (me, new) if comes_first else (new, me):
        assert queue.match_or_wait(one, 0.0) is None
    assert queue.retry(100.0) == []
    queue.remove("new", 0.0)
    assert queue.match_or_wait(seeker(queue, "neighbour", networks=home(3)), 0.0) is me


def test_a_block_in_one_household_is_for_the_browser_alone() -> None:
    queue = Queue(0)
    queue.block(person("me", home(1)[0][0]), person("colleague", home(1)[0][0]))
    assert queue.match_or_wait(seeker(queue, "me", networks=home(1)), 0.0) is None
    assert queue.match_or_wait(seeker(queue, "colleague", networks=home(1)), 0.0) is None
    assert queue.match_or_wait(seeker(queue, "third", networks=home(1)), 0.0) is not None


def test_a_thousand_come_and_go_and_nothing_stays() -> None:
    queue = Queue(REMATCH)
    for number in range(1000):
        queue.add(seeker(queue, f"v{number}", "de", "fr it", networks=home(number % 200)), 0.0)
        queue.remove(f"v{number}", 0.0)
    queue.retry(60.0)
    assert (queue.seekers, queue.by_token, queue.index, queue.due) == ({}, {}, {}, [])
    assert not queue.households.shares


def test_who_waits_looks_again_only_where_time_may_help() -> None:
    queue = Queue(REMATCH)
    for number in range(50):
        queue.match_or_wait(seeker(queue, f"v{number}", "de", "fr", networks=home(number)), 0.0)
    assert queue.due == []
    queue.change_share(home(200), 0.0, seats=64)
    queue.match_or_wait(seeker(queue, "busy", "fr", networks=home(200)), 1.0)
    assert [(at, one.visitor) for at, _, one in queue.due] == [(15.0, "busy")]


def looked_at(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> list[Seeker]:
    """The work is counted, not timed: who of those who wait is looked at."""
    seen: list[Seeker] = []
    real = queue.obstacle

    def counted(one: Seeker, other: Seeker) -> Obstacle | None:
        seen.append(other)
        return real(one, other)

    monkeypatch.setattr(queue, "obstacle", counted)
    return seen


def test_ten_thousand_waiting_cost_a_newcomer_little(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(REMATCH)
    for number in range(10_000):
        queue.add(seeker(queue, f"v{number}", "de", "fr"), 0.0)
    seen = looked_at(queue, monkeypatch)
    assert queue.match_or_wait(seeker(queue, "it", "it", "de"), 0.0) is None
    assert not seen
    partner = queue.match_or_wait(seeker(queue, "fr", "fr", "de"), 0.0)
    assert [partner] == seen


def test_the_pages_of_a_busy_household_do_not_make_others_search(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(REMATCH)
    queue.change_share(home(1), 0.0, seats=1000)
    for number in range(1000):
        queue.add(seeker(queue, f"v{number}", "de", "fr", networks=home(1)), 0.0)
    queue.block(person("me"), person("v0", home(1)[0][0]))
    queue.retry(15.0)
    seen = looked_at(queue, monkeypatch)
    assert queue.match_or_wait(seeker(queue, "me", "fr"), 20.0) is None
    assert len(seen) == MAX_LOOKED_AT <= 64


COUNTRIES = st.sampled_from([None, "de", "fr", "it"])
WISHES = st.sets(st.sampled_from(["de", "fr", "it"]), max_size=2)
PEOPLE = st.integers(0, 7)
ANSWERS = st.sampled_from([None, True, False])
HOMES = st.integers(0, 3)


class Machine(RuleBasedStateMachine):
    """The queue beside a list that is searched from end to end. Person N lives in household N % 3."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(10.0)
        self.waiting: list[Seeker] = []  # the page of each browser that began last is the one that stands
        self.recent: dict[frozenset[str], tuple[float, Terms]] = {}
        self.again: dict[tuple[str, bytes], float] = {}
        self.blocked: set[tuple[str, str | bytes]] = set()
        self.now = 0.0
        self.count = 0

    def standing(self) -> list[Seeker]:
        return list({one.token: one for one in self.waiting}.values())

    def may_meet(self, one: Seeker, other: Seeker) -> bool:
        """Ever."""
        fits = (not one.wanted_countries or other.country in one.wanted_countries) and (
            not other.wanted_countries or one.country in other.wanted_countries
        )
        names = [(mine.token, theirs.token) for mine, theirs in ((one, other), (other, one))]
        homes = [(mine.token, theirs.household) for mine, theirs in ((one, other), (other, one))]
        pair = frozenset((one.token, other.token))
        kept = self.is_kept_apart(one, other)
        return fits and len(pair) == 2 and not kept and not self.blocked & {*names, *homes}

    def is_kept_apart(self, one: Seeker, other: Seeker) -> bool:
        _, terms = self.recent.get(frozenset((one.token, other.token)), (0.0, None))
        wishes = {one.may_reunite, other.may_reunite}
        if terms is None or terms is Terms.FINAL:
            return terms is not None
        return wishes != {True} and (terms is Terms.PASSED or False in wishes)

    def may_meet_now(self, one: Seeker, other: Seeker) -> bool:
        level = self.queue.households.level
        agreed = one.may_reunite is other.may_reunite is True
        for mine, theirs in ((one, other), (other, one)):
            seconds = LOOK_SECONDS[max(0, level(theirs.networks) - level(mine.networks))]
            just_met = frozenset((one.token, other.token)) in self.recent
            if just_met and not agreed:
                seconds = max(seconds, REUNION_SECONDS)
            assert theirs.household is not None
            if not just_met and (mine.token, theirs.household) in self.again:
                seconds = max(seconds, LOOK_SECONDS[1])
            if mine.since + seconds > self.now:
                return False
        return self.may_meet(one, other)

    @rule(person=PEOPLE, country=COUNTRIES, want=WISHES, may=ANSWERS)
    def join(self, person: int, country: str | None, want: set[str], may: bool | None) -> None:
        self.count += 1
        ticket, networks = self.queue.new_ticket(), home(person % 3)
        wanted = frozenset(want)
        one = Seeker(f"v{self.count}", f"t{person}", country, wanted, ticket, networks, self.now, may)
        fitting = [other for other in self.standing() if self.may_meet_now(one, other)]
        level = self.queue.households.level
        expected = min(fitting, key=lambda other: (level(other.networks), other.ticket), default=None)
        assert self.queue.match_or_wait(one, self.now) is expected
        if expected is not None:
            self.waiting.remove(expected)
        else:
            self.waiting.append(one)

    @rule(index=st.integers(0, 30))
    def leave(self, index: int) -> None:
        if self.waiting:
            gone = self.waiting.pop(index % len(self.waiting))
            assert self.queue.remove(gone.visitor, self.now) is gone
        assert self.queue.remove("nobody", self.now) is None

    @rule(index=st.integers(0, 30), agree=st.booleans())
    def reunite(self, index: int, agree: bool) -> None:
        if self.waiting:
            self.queue.reunite(self.waiting[index % len(self.waiting)].visitor, agree, self.now)
        self.queue.reunite("nobody", agree, self.now)

    @rule(one=PEOPLE, other=PEOPLE, terms=st.sampled_from(Terms))
    def part(self, one: int, other: int, terms: Terms) -> None:
        if one != other:
            homes = {name: home(name % 3)[0][0] for name in (one, other)}
            people = [Person(f"t{name}", homes[name]) for name in (one, other)]
            self.queue.remember_pair(people[0], people[1], self.now, terms)
            self.recent[frozenset((f"t{one}", f"t{other}"))] = self.now + 10.0, terms
            if homes[one] != homes[other]:
                self.again[f"t{one}", homes[other]] = self.again[f"t{other}", homes[one]] = self.now + 10.0

    @rule(one=PEOPLE, other=PEOPLE)
    def block(self, one: int, other: int) -> None:
        if one != other:
            mine, theirs = (Person(f"t{name}", home(name % 3)[0][0]) for name in (one, other))
            self.queue.block(mine, theirs)
            self.blocked.add((mine.token, theirs.token))
            if mine.household != theirs.household:
                assert theirs.household is not None
                self.blocked.add((mine.token, theirs.household))

    @rule(number=HOMES, seats=st.sampled_from([1, 5, 13]))
    def grow(self, number: int, seats: int) -> None:
        self.queue.change_share(home(number), self.now, seats=seats)

    @rule(number=HOMES, left=st.sampled_from([1, 5, 13]))
    def go_on(self, number: int, left: int) -> None:
        self.queue.change_share(home(number), self.now, left=left)

    @rule(seconds=st.floats(0, 12))
    def settle(self, seconds: float) -> None:
        self.now += seconds
        self.recent = {pair: end for pair, end in self.recent.items() if end[0] > self.now}
        self.again = {pair: end for pair, end in self.again.items() if end > self.now}
        for one, other in self.queue.retry(self.now):
            assert self.may_meet_now(one, other)
            assert {one, other} <= set(self.waiting)
            self.waiting.remove(one)
            self.waiting.remove(other)

    @rule()
    def nobody_waits_for_ever_who_could_talk(self) -> None:
        self.settle(LOOK_SECONDS[-1])
        for one in self.standing():
            assert not any(self.may_meet(one, other) for other in self.standing() if other is not one)

    @rule()
    def everybody_hears_the_true_reason(self) -> None:
        standing = self.standing()
        for one in self.waiting:
            reason, until, _ = why(self.queue, one)
            others = [other for other in standing if other.token != one.token]
            assert (reason is Reason.NOBODY) <= (not others)
            if reason is Reason.TAB:
                assert one not in standing or not others
            elif reason in (Reason.REUNION, Reason.BUSY):
                assert until is not None
                assert any(self.may_meet(one, other) for other in others)
            elif reason is Reason.WISH:
                wider = replace(one, wanted_countries=frozenset())
                assert any(self.may_meet(wider, other) for other in others)
            else:
                assert not any(self.may_meet(one, other) for other in others)
                kept = any(self.is_kept_apart(one, other) for other in others)
                assert (reason is Reason.PARTED) <= kept

    @invariant()
    def nobody_is_lost(self) -> None:
        assert set(self.queue.seekers.values()) == set(self.waiting)

    @invariant()
    def the_index_holds_who_stands(self) -> None:
        indexed = {one for row in self.queue.index.values() for one in row}
        assert indexed == set(self.standing())
        assert all(self.queue.households.level(one.networks) == one.level for one in indexed)


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
