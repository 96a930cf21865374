"""Every test that asks for a maker runs once for each engine."""

from __future__ import annotations

import pytest

from tests.turn.engines.world import Maker
from turn.service.engines import ENGINES


@pytest.fixture(params=sorted(ENGINES))
def make(request: pytest.FixtureRequest) -> Maker:
    return ENGINES[request.param]
