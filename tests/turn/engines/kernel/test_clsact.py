"""What filters stand in goes with the last of them, and stays if it is somebody else's."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest

from tests.turn.engines import land
from tests.turn.engines.kernel.shown import filters, refuse, tc
from turn.engines.kernel import attachment, clsact, loader
from turn.engines.kernel.attachment import FILTER, HOOK, INGRESS
from turn.engines.kernel.clsact import EGRESS
from turn.engines.kernel.maps import library
from turn.engines.kernel.program import Program

ROOM = 64
LOOPBACK, THEIRS = 1, 7  # an interface, and a filter's number


@pytest.fixture
def old(pins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel before Linux 6.6."""
    monkeypatch.setattr(attachment, "KernelLink", partial(refuse, errno.EINVAL))
    return pins


def is_there() -> bool:
    return "clsact" in tc("qdisc", "show", "dev", "lo")


def test_the_last_of_two_releases_takes_it_away(old: Path) -> None:
    other = old.with_name("other")
    loader.load(old, 1, ROOM)
    loader.load(other, 1, ROOM)
    loader.unload(old)
    assert is_there()
    loader.unload(other)
    assert not is_there()
    assert not old.parent.exists()


@pytest.mark.parametrize("side", [INGRESS, EGRESS])
def test_a_filter_of_somebody_else_keeps_it(old: Path, side: int) -> None:
    loader.load(old, 1, ROOM)
    theirs = Program(2)
    hook = HOOK.pack(HOOK.size, LOOPBACK, side, 0)
    assert not theirs.lib.bpf_tc_attach(
        hook, FILTER.pack(FILTER.size, theirs.descriptor, 0, 0, THEIRS, THEIRS)
    )
    loader.unload(old)
    assert is_there()
    assert not theirs.lib.bpf_tc_detach(hook, FILTER.pack(FILTER.size, 0, 0, 0, THEIRS, THEIRS))
    theirs.close()
    clsact.tidy(library(), old.parent)
    assert not is_there()


def test_what_others_have_made_stays(old: Path) -> None:
    tc("qdisc", "add", "dev", "lo", "clsact")
    loader.load(old, 1, ROOM)
    loader.unload(old)
    assert not filters()
    assert is_there()


def test_an_interface_that_has_gone_has_none(old: Path) -> None:
    land.ip("link add near type veth peer name far")
    loader.load(old, 1, ROOM)
    land.ip("link del near")
    loader.unload(old)
    assert not old.parent.exists()
