"""Ports are drawn evenly, and found while there is one."""

from __future__ import annotations

import secrets
from collections import Counter
from itertools import pairwise

from turn.core.ports import pick


def test_the_last_free_port_is_found() -> None:
    assert all(pick(1, 1000, lambda port: port == 777, secrets.randbelow) == 777 for _ in range(50))
    assert pick(1, 1000, lambda port: False, secrets.randbelow) is None


def test_both_ends_can_be_drawn() -> None:
    assert pick(5, 9, lambda port: True, lambda below: 0) == 5
    assert pick(5, 9, lambda port: True, lambda below: below - 1) == 9


def test_ports_are_drawn_evenly() -> None:
    """χ² of 10,000 draws over 100 ports: beyond 161 less than once in ten thousand runs (99 degrees)."""
    drawn = Counter(pick(0, 99, lambda port: True, secrets.randbelow) for _ in range(10_000))
    assert sum((drawn[port] - 100) ** 2 / 100 for port in range(100)) < 180


def test_no_port_tells_the_next() -> None:
    """Of 10,000 draws five in a row, one after the other: less than once in ten billion runs."""
    drawn = [pick(49152, 65535, lambda port: True, secrets.randbelow) or 0 for _ in range(10_000)]
    steps = [after - before for before, after in pairwise(drawn)]
    for step in (1, -1, 2):
        assert all(set(steps[at : at + 4]) != {step} for at in range(len(steps) - 3))
