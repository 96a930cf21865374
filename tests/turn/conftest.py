"""Routers and machines for the tests that send packets through them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.turn.engines import land


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, land.Place]]:
    with land.country() as places:
        yield places
