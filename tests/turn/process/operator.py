"""What an operator has in hand of a relay in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.turn.service.running import ALICE, SECRET, Running, turn
from turn.config.section import Turn
from turn.process import admin, upgrade
from turn.process.control import Control
from turn.service.from_config import RelayConfig
from turn.workers.single import SingleProcess


def controlled(
    world: Running, read: Callable[[], RelayConfig] | None = None, started_with: Turn | None = None
) -> Control:
    config = RelayConfig(started_with or turn(users=dict([ALICE])), [SECRET])
    return Control(SingleProcess(world.service, [world.listener]), read or (lambda: config), config)


def raises(problem: str) -> RelayConfig:
    raise ValueError(problem)


@asynccontextmanager
async def door(control: Control, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with admin.operator_serving(control, folder):
        transport = httpx.AsyncHTTPTransport(uds=str(folder / upgrade.SOCKET))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as operator:
            yield operator
