"""Several sockets at one address: no other program takes it, and each client always reaches the same one."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import suppress

import pytest

from tests.turn.engines.world import End, free
from turn.engines import CannotListen
from turn.engines.loop import sockets
from turn.engines.portable.reuseport import ReuseportGroups
from turn.flows import Address, Transport

MEMBERS = 3
CLIENTS = 60


def members(groups: ReuseportGroups, address: Address) -> list[socket.socket]:
    return [
        socket.socket(fileno=socket.dup(groups.descriptors_of(member)[address])) for member in range(MEMBERS)
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_client_comes_to_one_of_them_and_stays(host: str) -> None:
    address = free(host, "udp")
    groups = ReuseportGroups([address], MEMBERS)
    ends = members(groups, address)
    clients = [End("::1" if ":" in host else "127.0.0.1") for _ in range(CLIENTS)]
    there = Address.of(clients[0].address.host, address.port)
    first, again = (met(ends, clients, there) for _ in range(2))
    assert first == again
    assert len(Counter(first.values())) == MEMBERS
    for sock in (*ends, *(client.sock for client in clients)):
        sock.close()
    groups.close()


def met(ends: list[socket.socket], clients: list[End], there: Address) -> dict[int, int]:
    """Which member met each client, by the client's port."""
    for client in clients:
        client.send(b"hello", there)
    found: dict[int, int] = {}
    for member, end in enumerate(ends):
        while len(found) < CLIENTS:
            try:
                found[end.recvfrom(100)[1][1]] = member
            except BlockingIOError:
                break
    assert len(found) == CLIENTS
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_are_shared_out(host: str) -> None:
    address = free(host, "tcp")
    groups = ReuseportGroups([address], MEMBERS)
    ends = members(groups, address)
    clients = [socket.create_connection((host, address.port)) for _ in range(CLIENTS)]
    assert all(accepted(end) for end in ends)
    for sock in (*ends, *clients):
        sock.close()
    groups.close()


def accepted(end: socket.socket) -> int:
    met = 0
    with suppress(BlockingIOError):
        while True:
            end.accept()[0].close()
            met += 1
    return met


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_address_that_somebody_has(transport: Transport) -> None:
    address, other = free("127.0.0.1", transport), free("127.0.0.1", "udp")
    groups = ReuseportGroups([address], MEMBERS)
    with pytest.raises(CannotListen, match=r"cannot listen at .*in use"):
        ReuseportGroups([other, address], MEMBERS)
    sockets.open_listener(other).close()  # nothing is left of the one that failed
    groups.close()
    sockets.open_listener(address).close()
