"""The map of own addresses: what the machine has, no more and no less."""

from __future__ import annotations

import pytest

from tests.turn.engines import land
from turn.engines.kernel.own import LOOPBACK, USUAL, keys, own_addresses, write
from turn.engines.kernel.program import Program
from turn.flows import Address

HERE, THERE = Address.of("10.66.9.1", 0).ip, Address.of("fd66:9::1", 0).ip
LOOPBACKS = {Address.of("127.0.0.1", 0).ip: LOOPBACK, Address.of("::1", 0).ip: LOOPBACK}


def test_each_address_is_found_with_its_kind(place: land.Place) -> None:
    assert own_addresses(loopback=True) == LOOPBACKS
    land.ip("addr add 10.66.9.1/24 dev lo")
    land.ip("addr add fd66:9::1/64 dev lo nodad")
    assert own_addresses(loopback=False) == {HERE: USUAL, THERE: USUAL}
    assert own_addresses(loopback=True) == {**LOOPBACKS, HERE: USUAL, THERE: USUAL}


def test_what_has_gone_is_taken_out(place: land.Place) -> None:
    program = Program(2)
    program.learn_addresses()
    assert len(keys(program.lib, program.own)) == 2
    write(program.lib, program.own, {HERE: USUAL, THERE: USUAL})
    before = sorted(keys(program.lib, program.own))
    write(program.lib, program.own, {THERE: USUAL})
    [left] = keys(program.lib, program.own)
    assert left == before[-1] == THERE + (6).to_bytes(4, "little")
    program.close()


def test_more_than_there_is_room_for_are_told(place: land.Place) -> None:
    program = Program(2)
    with pytest.raises(OSError, match="own addresses: Argument list too long"):
        write(program.lib, program.own, {number.to_bytes(16, "big"): USUAL for number in range(1025)})
    program.close()
