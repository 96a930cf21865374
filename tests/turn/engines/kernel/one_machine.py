"""A machine with one interface, as the program is told of it, and who talks with it."""

from __future__ import annotations

from typing import NamedTuple

from turn.engines.kernel.layout import Way
from turn.engines.kernel.own import USUAL, write
from turn.engines.kernel.program import Program
from turn.flows import Address

PLACES = {
    4: ("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.2.2"),
    6: ("2001:db8::1", "2001:db8:1::1", "2001:db8:2::1", "2001:db8::2"),
}


class OneWay:
    """RoutingTable of a machine that has one interface."""

    def way(self, _source: bytes, _destination: bytes) -> Way | None:
        return Way(1, None)


class Ends(NamedTuple):
    """A client that speaks to a peer outside, and to another client of the same relay."""

    client: Address
    listener: Address
    relay: Address
    peer: Address
    other: Address
    other_relay: Address


def ends(version: int) -> Ends:
    client, here, peer, other = PLACES[version]
    return Ends(
        Address.of(client, 40001),
        Address.of(here, 3478),
        Address.of(here, 50001),
        Address.of(peer, 6001),
        Address.of(other, 40002),
        Address.of(here, 50002),
    )


def know(program: Program, *addresses: Address, kind: int = USUAL) -> None:
    """These are addresses of this machine, and no others."""
    write(program.lib, program.own, {address.ip: kind for address in addresses})
