"""Which port a relayed address gets: uniformly at random among the free ones."""

from __future__ import annotations

from collections.abc import Callable

GUESSES = 16  # before the range is walked: enough unless it is almost full


def pick(low: int, high: int, fits: Callable[[int], bool], choose: Callable[[int], int]) -> int | None:
    """A port from `low` to `high` that fits, if any does. `choose(n)` is a random number below n."""
    for _ in range(GUESSES):
        port = low + choose(high - low + 1)
        if fits(port):
            return port
    fitting = [port for port in range(low, high + 1) if fits(port)]
    return fitting[choose(len(fitting))] if fitting else None
