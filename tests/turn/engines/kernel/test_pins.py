"""A process without any right uses the program that root has loaded: one place for each process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from tests.turn.engines import land
from tests.turn.engines.kernel.riding import rides
from tests.turn.engines.world import End, World, framed, free, stun
from turn.engines import CannotListen
from turn.engines.kernel import loader
from turn.engines.kernel.engine import SETTLE, Kernel
from turn.engines.kernel.layout import CONFIG
from turn.engines.kernel.maps import CannotRide, Maps
from turn.engines.kernel.pins import Pinned, folder_of, places
from turn.flows import Rule
from turn.policies import StrangerLimits
from turn.wire.stun import binding_success

ROOT = Path(__file__).parents[4]
ROOM = 64
CHANNEL = 0x4001
STRANGER = 65534  # user and group
KEY = bytes(64)


@pytest.fixture
def loaded(pins: Path) -> Path:
    loader.load(pins, 2, ROOM, loopback=True)
    return pins


def make(pins: Path) -> Callable[..., Kernel]:
    return partial(Kernel, pins=pins)


def entered(pins: Path) -> int:
    maps = Pinned(pins)
    found = len(maps.inherited)
    maps.close()
    return found


async def test_calls_ride(loaded: Path) -> None:
    async with World(make(loaded)) as world:
        await rides(world)


@pytest.mark.parametrize("version", [4, 6])
async def test_strangers_are_answered(pins: Path, version: int) -> None:
    with land.country() as places:
        loader.load(pins, 1, ROOM)
        async with World(make(pins), version, listen=land.HERE[version]) as world:
            with places["peer"].inside():
                stranger = world.end(land.THERE[version])
            world.engine.answer_bindings(StrangerLimits(50, 200, 1000))
            stranger.send(stun(1, b""), world.listener)
            answer = binding_success(b"transaction!", stranger.address)
            assert await stranger.receive_from() == (answer, world.listener)
            assert world.engine.answered() == {"replies.binding": 1}
            assert world.punted.empty()


async def test_calls_ride_on_while_no_process_is_there_and_the_next_one_takes_its_own(loaded: Path) -> None:
    client, other, peer = End(), End(), End()
    async with World(make(loaded)) as world:
        flow, lost = (world.link(one, peer.address, CHANNEL) for one in (client, other))
    for one in (flow, lost):
        (client if one is flow else other).send(framed(one, b"alone"), one.listener)
        assert await peer.receive_from() == (b"alone", one.relay)
    engine = Kernel([flow.listener], pins=loaded)
    client.send(framed(flow, b"not yet"), flow.listener)
    assert await peer.receive_from() == (b"not yet", flow.relay)
    assert engine.open(flow.relay)
    engine.link(flow, Rule())
    for one in (flow, lost):
        (client if one is flow else other).send(framed(one, b"again"), one.listener)
        assert await peer.receive_from() == (b"again", one.relay)
    assert engine.rode() == 1
    engine.tick(monotonic() + SETTLE)
    assert entered(loaded) == 0, "it is at the other place"
    other.send(framed(lost, b"too late"), lost.listener)
    client.send(framed(flow, b"for ever"), flow.listener)
    assert await peer.receive_from() == (b"for ever", flow.relay)
    engine.close_all()
    assert entered(loaded) == 2
    for end in (client, other, peer):
        end.close()


def test_strangers_are_answered_while_no_process_is_there_and_no_slot_is_theirs(loaded: Path) -> None:
    taken = free("127.0.0.1", "udp")
    first = Kernel([taken], pins=loaded)
    first.answer_bindings(StrangerLimits(50, 200, 1000))
    first.strangers = None  # it is killed
    first.close_all()
    second = Kernel([taken], pins=loaded)
    assert list(second.program.inherited.values()) == [0]
    second.answer_bindings(StrangerLimits(50, 200, 1000))
    second.tick(monotonic() + SETTLE)
    assert len(second.program.entered()) == 1
    assert 0 not in [number for number, _ in second.riders.slots.free]
    second.strangers = None
    second.close_all()
    third = Kernel([taken], pins=loaded)
    third.tick(monotonic() + SETTLE)
    assert not third.program.entered()
    third.close_all()


def test_after_its_lease_nothing_is_inherited(loaded: Path) -> None:
    maps = Pinned(loaded)
    maps.enter(KEY, 1)
    maps.close()
    assert entered(loaded) == 1
    maps = Pinned(loaded)
    CONFIG.pack_into(maps.config, 0, 1, 0, 0)
    Maps.close(maps)
    maps.let_go()
    assert entered(loaded) == 0


def test_what_cannot_listen_leaves_its_place(loaded: Path) -> None:
    taken = End()
    for _ in range(3):
        with pytest.raises(CannotListen):
            Kernel([taken.address], pins=loaded)
    Kernel([], pins=loaded).close_all()
    taken.close()


async def test_two_processes_have_a_place_each_and_a_third_has_none(loaded: Path) -> None:
    async with World(make(loaded)) as one, World(make(loaded)) as two:
        await rides(one)
        await rides(two)
        with pytest.raises(CannotRide, match="other processes have all places there"):
            Pinned(loaded)
    Pinned(loaded).close()


STRANGERS = """
import os, sys
from pathlib import Path
from turn.engines.kernel.maps import CannotRide
from turn.engines.kernel.pins import Pinned
try:
    maps = Pinned(Path(sys.argv[1]))
    assert maps.enter(bytes(64), 1)
    maps.drop(bytes(64))
    maps.slots[0] = maps.buckets[0] = maps.config[0] = 1
    print("done")
    os.kill(os.getpid(), 9)
except CannotRide as reason:
    print(reason.reason)
"""


def stranger(pins: Path, group: int) -> str:
    """A process without any right but its group."""
    setpriv = ["setpriv", f"--reuid={STRANGER}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    command = [*setpriv, "--bounding-set=-all", sys.executable, "-c", STRANGERS, str(pins)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def test_the_group_of_who_loaded_it_may_use_it_and_nobody_else(pins: Path, tmp_path: Path) -> None:
    for folder in (*tmp_path.parents, tmp_path, tmp_path / "bpf"):
        folder.chmod(folder.stat().st_mode | 0o011)
    before = os.getegid()
    os.setegid(STRANGER)
    loader.load(pins, 1, ROOM, loopback=True)
    os.setegid(before)
    assert stranger(pins, STRANGER) == "done"
    assert stranger(pins, STRANGER) == "done"  # its place is free when a process is killed
    assert stranger(pins, STRANGER - 1) == f"{pins / '0'}: Permission denied"


def test_maps_of_another_version_are_not_used(loaded: Path) -> None:
    (loaded / "0" / "buckets").unlink()
    (loaded / "0" / "slots").rename(loaded / "0" / "buckets")
    os.link(loaded / "1" / "slots", loaded / "0" / "slots")
    with pytest.raises(CannotRide, match="those of another version"):
        Pinned(loaded)
    (loaded / "0" / "flows").unlink()
    with pytest.raises(CannotRide, match=r"0/flows: No such file"):
        Pinned(loaded)


def test_where_nothing_is_it_says_so(pins: Path) -> None:
    with pytest.raises(CannotRide, match="it is not there"):
        Pinned(pins)


def test_a_folder_has_no_dots(tmp_path: Path) -> None:
    assert folder_of(tmp_path / "1.2-ab.3") == tmp_path / "1_2-ab_3"
    assert not list(places(tmp_path))
