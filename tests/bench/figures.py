"""What becomes of many measurements: quantiles, medians, slopes. Numbers in, numbers out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

HOUR = 3600.0


class Point(NamedTuple):
    """One measurement of something that may grow."""

    seconds: float
    value: float


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The smallest value that at least this share of all counted ones does not exceed; 0 for none."""
    need = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= need:
            return value
    return 0


def slope(points: Sequence[Point]) -> float:
    """Growth per hour: the line of least squares. 0 where there are too few points for a line."""
    if len({point.seconds for point in points}) < 2:
        return 0.0
    middle = Point(*(sum(column) / len(points) for column in zip(*points, strict=True)))
    spread = sum((point.seconds - middle.seconds) ** 2 for point in points)
    lean = sum((point.seconds - middle.seconds) * (point.value - middle.value) for point in points)
    return HOUR * lean / spread


def after(points: Iterable[Point], seconds: float) -> list[Point]:
    """Those that were taken when the warm-up was over."""
    return [point for point in points if point.seconds >= seconds]


def ratio(ours: float, theirs: float) -> float:
    """Not a number where there is nothing to compare with."""
    return ours / theirs if theirs else float("nan")


def capacity(carries: Callable[[float], bool], low: float, high: float, steps: int) -> float:
    """The highest rate that is carried, by bisection in ratios; 0 where not even `low` is."""
    if not carries(low):
        return 0.0
    for _ in range(steps):
        middle = (low * high) ** 0.5
        if carries(middle):
            low = middle
        else:
            high = middle
    return low


def linux_version() -> str:
    """The kernel's first two numbers; the rest of its name says more of one machine than of its speed."""
    return ".".join(platform.release().split(".")[:2])
