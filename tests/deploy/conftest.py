"""A relay that the commands and the doctor find running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.turn.process.relay_process import Elsewhere, elsewhere


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Elsewhere]:
    (tmp_path / "notify").touch()
    async with elsewhere(tmp_path) as relay:
        yield relay
