"""The file takes the engines that there are, and the fastest is what this machine allows."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tests.turn.engines.world import World
from turn.config.section import Turn
from turn.engines.kernel import loader
from turn.engines.kernel.engine import Kernel
from turn.engines.kernel.maps import CannotRide
from turn.engines.kernel.pins import Pinned
from turn.engines.kernel.program import Program
from turn.service.engines import ENGINES, PINS


def test_every_name_in_the_file_is_an_engine() -> None:
    assert set(get_args(Turn.model_fields["engine"].annotation)) == set(ENGINES)


async def test_where_calls_cannot_ride_the_process_carries_them_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_program: Program, _slots: int) -> None:
        raise CannotRide("this is another system")

    monkeypatch.setattr(Program, "__init__", refuse)
    async with World(ENGINES["auto"]) as world:
        assert world.engine.name == "portable"
        assert world.engine.reason == "this is another system"
    assert caplog.messages == [
        "turn.engine: calls cannot ride in the kernel: this is another system; this process carries them"
    ]
    with pytest.raises(CannotRide):
        ENGINES["kernel"]([world.listener])


async def test_where_they_can_they_do(place: object) -> None:
    async with World(ENGINES["auto"]) as world:
        assert (world.engine.name, world.engine.reason) == ("kernel", "")


async def test_what_root_has_loaded_is_used_and_nothing_else(
    pins: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PINS, str(pins))
    with pytest.raises(CannotRide, match="it is not there"):
        ENGINES["kernel"]([])
    loader.load(pins, 1, 64)
    for name in ("kernel", "auto"):
        async with World(ENGINES[name]) as world:
            assert isinstance(world.engine, Kernel)
            assert isinstance(world.engine.program, Pinned)
    assert not caplog.messages
