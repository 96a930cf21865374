"""The program at an interface, as new kernels take it and as older ones do: calls ride, and it goes again."""

from __future__ import annotations

import errno
import subprocess
from functools import partial

import pytest

from tests.turn.engines import land
from tests.turn.engines.world import World, framed
from turn.engines.kernel import attachment
from turn.engines.kernel.attachment import CannotAttach
from turn.engines.kernel.engine import Kernel
from turn.engines.kernel.program import Program
from turn.flows import Traffic

CHANNEL = 0x4001


def filters() -> str:
    command = ["tc", "filter", "show", "dev", "lo", "ingress"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def refuse(number: int, *_: object) -> None:
    raise OSError(number, "")


@pytest.fixture
def old(place: land.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel before Linux 6.6."""
    monkeypatch.setattr(attachment, "KernelLink", partial(refuse, errno.EINVAL))


async def rides(beside: int = 0) -> None:
    """Also where others like this one are attached, with no flow of ours."""
    others = [Program(2) for _ in range(beside)]
    for program in others:
        program.attach(1)
    async with World(partial(Kernel, slots=64)) as world:
        client, peer = world.end(), world.end()
        flow = world.link(client, peer.address, CHANNEL)
        client.send(framed(flow, b"hello"), world.listener)
        assert await peer.receive() == b"hello"
        peer.send(b"hello", flow.relay)
        assert await client.receive() == framed(flow, b"hello")
        assert world.engine.table[flow] == Traffic()  # type: ignore[attr-defined]
        assert world.engine.traffic()[flow] == Traffic(1, 5, 1, 5, 0)
    for program in others:
        program.close()


async def test_before_tcx_it_is_a_filter(old: None) -> None:
    await rides()
    assert not filters()


async def test_filters_of_several_stand_side_by_side(old: None) -> None:
    await rides(beside=2)
    assert not filters()


async def test_links_of_several_stand_side_by_side(place: land.Place) -> None:
    await rides(beside=2)


def test_a_filter_of_the_same_handle_is_replaced(place: land.Place) -> None:
    program = Program(2)
    before, after = (attachment.Filter(program.lib, program.descriptor, 1, 7) for _ in range(2))
    assert filters().count("handle 0x7") == 1
    after.close()
    assert not filters()
    before.close()
    program.close()


def test_what_refuses_both_is_told(old: None) -> None:
    program = Program(2)
    with pytest.raises(CannotAttach, match="No such device"):
        attachment.attach(program.lib, program.descriptor, 4711, 7)
    program.close()


def test_without_rights_no_filter_is_tried(place: land.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "KernelLink", partial(refuse, errno.EPERM))
    program = Program(2)
    with pytest.raises(CannotAttach, match="not permitted"):
        attachment.attach(program.lib, program.descriptor, 1, 7)
    assert not filters()
    program.close()
