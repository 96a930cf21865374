"""What root loads stays whichever process ends, and when it is unloaded nothing is left."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
from functools import partial
from pathlib import Path

import pytest

from tests.turn.engines import land
from tests.turn.engines.kernel.riding import rides
from tests.turn.engines.kernel.shown import filters, refuse, tc
from tests.turn.engines.world import World
from turn.engines.kernel import attachment, loader
from turn.engines.kernel.attachment import Attachment, CannotAttach
from turn.engines.kernel.engine import Kernel
from turn.engines.kernel.maps import NAMES, CannotRide, library
from turn.engines.kernel.own import keys

ROOM = 64
LOOPBACK = 1  # the number of this interface


def kept(pins: Path) -> dict[str, str]:
    return {str(path.relative_to(pins)): stat.filemode(path.stat().st_mode) for path in pins.rglob("*")}


def test_maps_are_for_the_group_and_the_rest_is_for_root(pins: Path) -> None:
    before = os.umask(0o077)
    loader.load(pins, 2, ROOM, loopback=True)
    os.umask(before)
    ours = dict.fromkeys(("program", "own", "link-1"), "-rw-------")
    inside = {**dict.fromkeys(NAMES, "-rw-rw----"), **ours}
    wanted = {f"{number}/{name}": mode for number in (0, 1) for name, mode in inside.items()}
    assert stat.filemode(pins.stat().st_mode) == "drwxr-x---"
    assert kept(pins) == {"0": "drwxr-x---", "1": "drwxr-x---", **wanted}
    loader.unload(pins)
    assert not pins.exists()


async def test_to_load_again_changes_nothing_but_what_is_new(pins: Path) -> None:
    loader.load(pins, 1, ROOM, loopback=True)
    async with World(partial(Kernel, pins=pins)) as world:
        await rides(world)
        before = {path: path.stat().st_ino for path in pins.rglob("*")}
        land.ip("link add near type veth peer name far")
        loader.load(pins, 1, ROOM, loopback=True)
        more = {f"link-{number}" for number, name in socket.if_nameindex() if name in ("near", "far")}
        assert {path.name for path in pins.rglob("*")} - {path.name for path in before} == more
        assert before.items() <= {path: path.stat().st_ino for path in pins.rglob("*")}.items()
        land.ip("link del near")
        loader.load(pins, 1, ROOM, loopback=True)
        assert {path: path.stat().st_ino for path in pins.rglob("*")} == before
        await rides(world)


def known(pins: Path) -> int:
    """How many addresses of this machine the program knows."""
    lib = library()
    descriptor = lib.bpf_obj_get(str(pins / "0" / "own").encode())
    found = keys(lib, descriptor)
    os.close(descriptor)
    return len(found)


def test_addresses_that_are_new_are_learned(pins: Path) -> None:
    loader.load(pins, 1, ROOM)
    assert known(pins) == 0
    land.ip("addr add 10.66.9.1/24 dev lo")
    loader.load(pins, 1, ROOM)
    assert known(pins) == 1
    loader.load(pins, 1, ROOM, loopback=True)
    assert known(pins) == 3


async def test_without_links_it_is_a_filter(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel before Linux 6.6."""
    monkeypatch.setattr(attachment, "KernelLink", partial(refuse, errno.EINVAL))
    for _ in range(2):
        loader.load(pins, 2, ROOM, loopback=True)
    assert filters().count("direct-action") == 2
    async with World(partial(Kernel, pins=pins)) as world:
        await rides(world)
    loader.unload(pins)
    assert not filters()
    assert not pins.exists()
    assert "clsact" not in tc("qdisc", "show")


async def test_two_releases_stand_side_by_side(pins: Path) -> None:
    other = pins.with_name("other")
    loader.load(pins, 1, ROOM, loopback=True)
    async with World(partial(Kernel, pins=pins)) as old:
        await rides(old)
        loader.load(other, 1, ROOM, loopback=True)
        async with World(partial(Kernel, pins=other)) as new:
            await rides(new)
            await rides(old)
    loader.unload(pins)
    async with World(partial(Kernel, pins=other)) as new:
        await rides(new)
    loader.unload(other)


async def test_what_is_unloaded_under_a_running_process_is_carried_by_it(pins: Path) -> None:
    loader.load(pins, 1, ROOM, loopback=True)
    async with World(partial(Kernel, pins=pins)) as world:
        loader.unload(pins)
        with pytest.raises(AssertionError):
            await rides(world)  # it arrives, and has met a socket


def test_one_interface_may_refuse(
    pins: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def picky(lib: ctypes.CDLL, program: int, interface: int, handle: int) -> Attachment:
        if interface != LOOPBACK:
            raise CannotAttach(errno.EOPNOTSUPP)
        return attach(lib, program, interface, handle)

    land.ip("link add near type veth peer name far")
    attach = attachment.attach
    monkeypatch.setattr(attachment, "attach", picky)
    loader.load(pins, 1, ROOM, loopback=True)
    assert len(caplog.messages) == 2
    assert "not supported" in caplog.messages[0]


def test_where_none_takes_it_nothing_is_left(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "KernelLink", partial(refuse, errno.EPERM))
    with pytest.raises(CannotRide, match="no interface takes the program"):
        loader.load(pins, 1, ROOM, loopback=True)
    assert not pins.exists()


def test_where_no_such_file_system_is_it_says_so(place: land.Place, tmp_path: Path) -> None:
    with pytest.raises(CannotRide, match=r"release/0/flows: "):
        loader.load(tmp_path / "all" / "release", 1, ROOM, loopback=True)
    assert not list(tmp_path.iterdir())
