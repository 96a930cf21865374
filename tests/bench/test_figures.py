"""The arithmetic of the benches: a figure that is wrong would be believed."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import HOUR, Point, after, capacity, linux_version, quantile, ratio, slope

QUANTILES = {  # measured values, the share, what it comes to
    "nothing": ((), 0.5, 0),
    "one": ((7,), 0.99, 7),
    "the lower of two": ((1, 9), 0.5, 1),
    "the upper of two": ((1, 9), 0.51, 9),
    "99 of 100": ((*[1] * 99, 50), 0.99, 1),
    "98 of 100": ((*[1] * 98, 50, 50), 0.99, 50),
    "all": ((3, 1, 2), 1.0, 3),
}

SLOPES = {  # points of seconds and value, growth per hour
    "nothing": ((), 0.0),
    "one look": (((5, 3),), 0.0),
    "two looks at once": (((5, 3), (5, 4)), 0.0),
    "level": (((0, 3), (10, 3), (20, 3)), 0.0),
    "one a minute": (((0, 1), (60, 2), (120, 3)), 60.0),
    "down": (((0, 3), (HOUR, 1)), -2.0),
    "a peak in the middle": (((0, 1), (60, 5), (120, 1)), 0.0),
    "late": (((9000, 1), (9060, 1.5)), 30.0),
}


@pytest.mark.parametrize("name", QUANTILES)
def test_a_quantile_is_a_measured_value(name: str) -> None:
    values, share, expected = QUANTILES[name]
    assert quantile(Counter(values), share) == expected


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(1, 100))
def test_a_quantile_is_what_sorting_says(values: list[int], percent: int) -> None:
    rank = -(-percent * len(values) // 100)
    assert quantile(Counter(values), percent / 100) in sorted(values)[max(rank - 2, 0) : rank + 1]


@pytest.mark.parametrize("name", SLOPES)
def test_a_slope_is_growth_per_hour(name: str) -> None:
    points, expected = SLOPES[name]
    assert slope([Point(*point) for point in points]) == pytest.approx(expected)


def test_the_warm_up_is_left_out() -> None:
    points = [Point(0, 90), Point(600, 1), Point(700, 2)]
    assert after(points, 600) == points[1:]


def test_a_ratio_with_nothing_is_not_a_number() -> None:
    assert ratio(3, 2) == 1.5
    assert math.isnan(ratio(3, 0))


@given(st.floats(1_000, 200_000), st.integers(1, 8))
def test_capacity_is_found_as_closely_as_is_asked(true: float, steps: int) -> None:
    found = capacity(lambda rate: rate <= true, 500, 250_000, steps)
    assert found <= true
    assert true / found <= (250_000 / 500) ** (0.5**steps) * 1.0001


def test_capacity_is_none_where_the_least_is_too_much() -> None:
    assert capacity(lambda _rate: False, 500, 1_000, 3) == 0.0


def test_a_kernel_is_named_by_two_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.release", lambda: "6.12.43-somewhere-amd64")
    assert linux_version() == "6.12"
