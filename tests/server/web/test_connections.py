"""How many connections the web server has: one address, a /48, and ten addresses leave room for others."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from host.settings import IPAddress
from server.web.connections import FILES_EACH, RESERVED_FILES, SHARES, WebConnections
from turn.limits.addresses import HANDSHAKE_BURST

ONE, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")
HOUSEHOLDS = [ip_address(f"2001:db8:bad:{number:x}::1") for number in range(1000)]
TEN = [ip_address(f"198.51.100.{number}") for number in range(10)]
HONEST = [ip_address(text) for text in ("203.0.113.5", "2001:db8:900d::1")]


def held(connections: WebConnections, addresses: list[IPAddress], times: int = 1) -> int:
    return sum(connections.acquire(address) is not None for address in addresses for _ in range(times))


def test_an_address_a_household_and_a_48() -> None:
    refused: list[str] = []
    connections = WebConnections(8, None, count=refused.append)
    assert held(connections, [ONE], 100) == 8
    assert held(connections, HOUSEHOLDS[:1], 100) == 8
    assert held(connections, HOUSEHOLDS) == 8
    assert held(connections, HONEST) == 2
    assert set(refused) == {"too many of an address"}
    assert connections.total == 26


@pytest.mark.parametrize("files", [RESERVED_FILES + FILES_EACH * SHARES, 300, 1024, 65536])
@pytest.mark.parametrize("per_address", [1, 64, 256, 100_000])
def test_a_48_and_ten_addresses_leave_files_for_others(files: int, per_address: int) -> None:
    connections = WebConnections(per_address, files)
    assert held(connections, [*HOUSEHOLDS, *TEN], 40) > 0
    for address in TEN:
        held(connections, [address], files)
    assert FILES_EACH * connections.total + RESERVED_FILES < files
    assert held(connections, HONEST) == 2


def test_all_together_stay_below_the_files_of_the_process() -> None:
    refused: list[str] = []
    connections = WebConnections(0, 300, count=refused.append)
    assert held(connections, [ONE, OTHER], 300) == (300 - RESERVED_FILES) // FILES_EACH
    assert set(refused) == {"too many in all"}


def test_what_is_released_comes_back_once() -> None:
    connections = WebConnections(2)
    slots = [connections.acquire(ONE), connections.acquire(ONE)]
    assert connections.acquire(ONE) is None
    for _ in range(3):
        assert slots[0] is not None
        slots[0].release()
    assert connections.total == 1
    assert [connections.acquire(ONE) is not None for _ in range(2)] == [True, False]


def test_a_proxy_and_a_trusted_network_are_not_counted_by_address() -> None:
    connections = WebConnections(2, 300, lambda address: address == ONE)
    assert held(connections, [ONE], 50) == 50
    assert all(connections.may_handshake(ONE) for _ in range(2 * HANDSHAKE_BURST))
    assert held(connections, [OTHER], 50) == 2
    assert held(connections, [ONE], 300) == (300 - RESERVED_FILES) // FILES_EACH - 52


def test_handshakes_of_an_address_have_a_rate() -> None:
    refused: list[str] = []
    connections = WebConnections(count=refused.append)
    begun = sum(connections.may_handshake(ONE) for _ in range(2 * HANDSHAKE_BURST))
    assert HANDSHAKE_BURST <= begun < 1.5 * HANDSHAKE_BURST
    assert refused == ["too many handshakes"] * (2 * HANDSHAKE_BURST - begun)
    assert connections.may_handshake(OTHER)


@pytest.mark.parametrize(
    ("family", "source", "room"), [(socket.AF_UNIX, "", 9), (socket.AF_INET, ("192.0.2.1", 5), 2)]
)
def test_the_operators_socket_has_no_limit(family: int, source: object, room: int) -> None:
    connections, ends = WebConnections(2), list[Callable[[], None] | None]()
    with socket.socket(family) as sock:
        ends += [connections.admit(sock, source) for _ in range(9)]  # type: ignore[arg-type]
    assert sum(end is not None for end in ends) == connections.total == room
    for end in ends:
        if end is not None:
            end()
    assert connections.total == 0
