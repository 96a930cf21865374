"""Allocations as bytes: what is written is read again, what does not fit is the least important."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.service.kept import ALLOCATIONS, allocation
from turn.core.allocations import Channel
from turn.core.relay import KeptAllocation
from turn.flows import Address
from turn.service.allocation_record import BadRecord, pack, unpack

ROOM = 4000


@given(kept=ALLOCATIONS)
def test_what_is_written_is_read_again(kept: KeptAllocation) -> None:
    assert unpack(pack(kept, 1 << 16)) == kept


@given(kept=ALLOCATIONS, most=st.integers(0, ROOM))
def test_it_never_takes_more_room_than_there_is(kept: KeptAllocation, most: int) -> None:
    try:
        packed = pack(kept, most)
    except BadRecord:
        return
    assert len(packed) <= most
    assert unpack(packed)[:12] == kept[:12]


@given(kept=ALLOCATIONS, end=st.integers(0, ROOM))
def test_a_part_of_one_is_refused(kept: KeptAllocation, end: int) -> None:
    packed = pack(kept, 1 << 16)
    if end < len(packed):
        with pytest.raises(BadRecord):
            unpack(packed[:end])


@given(data=st.binary(max_size=400))
def test_of_other_bytes_nothing_is_raised_but_that_they_are_none(data: bytes) -> None:
    try:
        unpack(data)
    except BadRecord:
        return


def test_all_that_the_limits_allow_has_room_except_for_the_last_permissions() -> None:
    peers = [Address(bytes(15) + bytes((number,)), 5000) for number in range(64)]
    full = allocation(
        username="u" * 508,
        channels=tuple((0x4000 + number, Channel(peer, 600.0)) for number, peer in enumerate(peers)),
        permissions=tuple((peer.ip, float(number)) for number, peer in enumerate(peers)),
        sent_to=tuple(peers),
    )
    read = unpack(pack(full, 4082))
    assert read.channels == full.channels
    assert len(read.permissions) > 40
    assert read.permissions == full.permissions[::-1][: len(read.permissions)]


def test_a_name_that_is_too_long_for_a_record_is_refused() -> None:
    for size in (ROOM, 1 << 16):
        with pytest.raises(BadRecord):
            pack(allocation(username="u" * size), ROOM)
