"""Routers and machines for the tests that send packets through them, and networks of a test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.turn.engines import land


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, land.Place]]:
    with land.country() as places:
        yield places


@pytest.fixture
def place() -> Iterator[land.Place]:
    """This thread is there: a program in the kernel is attached to all interfaces."""
    if os.geteuid() != 0:
        pytest.skip("a program in the kernel, and a network of its own, need root")
    place = land.Place()
    with place.inside():
        yield place
    os.close(place.descriptor)
