"""Deadlines against a plain dictionary, and the size of the heap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turn.deadlines import SLACK, Deadlines

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 9), st.integers(0, 50)),
        st.tuples(st.just("drop"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(MOVES)
def test_it_does_what_a_dictionary_would(moves: list[tuple[str, int, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    plain: dict[int, float] = {}
    now = 0.0
    for move, thing, number in moves:
        if move == "set":
            deadlines.set(thing, now + number)
            plain[thing] = now + number
        elif move == "drop":
            deadlines.drop(thing)
            plain.pop(thing, None)
        else:
            now += number
            expected = {thing for thing, end in plain.items() if end <= now}
            assert set(deadlines.due(now)) == expected
            plain = {thing: end for thing, end in plain.items() if thing not in expected}
        assert len(deadlines) == len(plain)
        wake = deadlines.next()
        assert (wake is None) == (not plain)
        assert wake is None or wake <= min(plain.values())


def test_renewing_and_dropping_do_not_grow_the_heap() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for turn in range(20_000):
        deadlines.set(0, 600.0 + turn)
        deadlines.set(1, 600.0 - turn / 100)
        deadlines.set(turn, 600.0)
        if turn > 1:
            deadlines.drop(turn)
    assert len(deadlines) == 2
    assert len(deadlines._heap) <= 2 * 2 + SLACK


def test_the_earliest_comes_first() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for thing, end in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
        deadlines.set(thing, end)
    assert list(deadlines.due(2.5)) == ["early", "middle"]
    assert deadlines.next() == 3.0
