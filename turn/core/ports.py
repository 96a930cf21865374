"""The port of a relayed address: a random one of those that are free, each as likely as the others."""

from __future__ import annotations

from collections.abc import Callable

GUESSES = 16  # before we look at all ports: enough unless almost all are taken


def pick(low: int, high: int, fits: Callable[[int], bool], choose: Callable[[int], int]) -> int | None:
    """A port from `low` to `high` that fits, or None. `choose(n)` returns a random number below n."""
    for _ in range(GUESSES):
        port = low + choose(high - low + 1)
        if fits(port):
            return port
    fitting = [port for port in range(low, high + 1) if fits(port)]
    return fitting[choose(len(fitting))] if fitting else None
