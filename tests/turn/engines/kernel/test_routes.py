"""How packets leave, as the kernel of a small network of the test's own says."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.turn.engines import land
from turn.engines.kernel.layout import Way
from turn.engines.kernel.routes import RoutingTable

# Two Ethernet interfaces, one of them with room for small packets only, and one without Ethernet headers.
NETWORK = """
link add wide type veth peer name far
link add small type veth peer name smaller
tuntap add dev bare mode tun
link set far up
link set smaller up
link set small mtu 1200
addr add 10.1.0.1/24 dev wide
addr add fd01::1/64 dev wide nodad
addr add 10.2.0.1/24 dev small
addr add 10.3.0.1/24 dev bare
link set wide up
link set small up
link set bare up
route add 10.4.0.0/16 via 10.1.0.254
route add fd04::/32 via fd01::fe
route add 10.5.0.0/16 via inet6 fd01::fe dev wide
route add 10.6.0.0/16 via 10.1.0.254 mtu lock 1000
route add unreachable 10.7.0.0/16
"""


@pytest.fixture
def routes(place: land.Place) -> Iterator[RoutingTable]:
    for line in NETWORK.strip().splitlines():
        land.ip(line)
    routes = RoutingTable()
    yield routes
    routes.close()


def ip(text: str) -> bytes:
    return ip_address(text).packed


WAYS: list[tuple[str, str, str, str | None]] = [  # from, to, by which interface, to which neighbour
    ("10.1.0.1", "10.1.0.7", "wide", "10.1.0.7"),
    ("10.1.0.1", "10.4.2.3", "wide", "10.1.0.254"),
    ("10.1.0.1", "10.5.2.3", "wide", "fd01::fe"),
    ("fd01::1", "fd01::7", "wide", "fd01::7"),
    ("fd01::1", "fd04::7", "wide", "fd01::fe"),
    ("127.0.0.1", "127.0.0.1", "lo", None),
    ("10.1.0.1", "10.1.0.1", "lo", None),
    ("::1", "::1", "lo", None),
]


@pytest.mark.parametrize(("source", "destination", "name", "hop"), WAYS)
def test_ways(routes: RoutingTable, source: str, destination: str, name: str, hop: str | None) -> None:
    wanted = Way(socket.if_nametoindex(name), ip(hop) if hop else None)
    assert routes.way(ip(source), ip(destination)) == wanted


NONE = {
    "an interface with room for small packets only": ("10.2.0.1", "10.2.0.7"),
    "an interface without Ethernet headers": ("10.3.0.1", "10.3.0.7"),
    "a route for small packets only": ("10.1.0.1", "10.6.0.7"),
    "a network that is unreachable": ("10.1.0.1", "10.7.0.7"),
    "no route": ("10.1.0.1", "192.0.2.7"),
    "no address of ours": ("10.9.9.9", "10.1.0.7"),
}


@pytest.mark.parametrize("name", NONE)
def test_no_way(routes: RoutingTable, name: str) -> None:
    source, destination = NONE[name]
    assert routes.way(ip(source), ip(destination)) is None


def test_what_changes_is_heard_once(routes: RoutingTable) -> None:
    def told() -> bool:
        return bool(select.select([routes.changes], [], [], 0)[0])

    assert not told()
    land.ip("link set wide down")
    assert told()
    routes.forget_changes()
    assert not told()
    index = socket.if_nametoindex("wide")
    assert index in routes.interfaces
    land.ip("link del wide")
    assert told()
    routes.forget_changes()
    assert index not in routes.interfaces
