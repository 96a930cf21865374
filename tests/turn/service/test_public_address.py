"""How a machine finds its public address: by its interfaces, by servers that may be asked, or not at all."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from ipaddress import ip_address

import pytest

from host.settings import HostPort
from tests.house import ROOT
from tests.turn.service.stun_server import PUBLIC, Reply, server, xored
from turn.config.section import Turn
from turn.config.values import External
from turn.flows import Address
from turn.service import public_address
from turn.service.public_address import ASK_SECONDS, RETRY_SECONDS, NoServer, PublicAddresses
from turn.wire.attributes import MAPPED_ADDRESS, XOR_MAPPED_ADDRESS
from turn.wire.stun import BINDING_REQUEST, ERROR, SUCCESS, build


def plain(transaction: bytes) -> list[bytes]:
    return [build(BINDING_REQUEST | SUCCESS, transaction, [(MAPPED_ADDRESS, PUBLIC)])]


def after_others(transaction: bytes) -> list[bytes]:
    elsewhere = [(XOR_MAPPED_ADDRESS, Address.of("198.51.100.1", 1))]
    return [
        b"no message",
        build(BINDING_REQUEST | SUCCESS, bytes(12), elsewhere),
        build(BINDING_REQUEST | ERROR, transaction, elsewhere),
        *xored(transaction),
    ]


class Late:
    """The first request is lost on the way."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, transaction: bytes) -> list[bytes]:
        self.asked += 1
        return xored(transaction) if self.asked > 1 else []


@pytest.mark.parametrize("reply", [xored, plain, after_others, Late()])
def test_the_answer_to_our_request_counts(reply: Reply) -> None:
    with server(reply) as place:
        assert public_address.ask_server(place, 4) == PUBLIC.ip


def test_it_is_asked_in_one_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_address, "WAITS", (0.05,))
    with server(xored, "::1") as six, server(lambda transaction: []) as silent:
        assert public_address.ask_server(six, 16) == PUBLIC.ip
        assert public_address.ask_server(six, 4) is None
        assert public_address.ask_servers([silent, six], 16) == PUBLIC.ip
        assert public_address.ask_servers([silent], 4) is None
    assert public_address.ask_server(silent, 4) is None


def turn(*servers: HostPort, **keys: object) -> Turn:
    named = [f"{place.host}:{place.port}" for place in servers]
    return Turn.model_validate({"external_ip": "auto", "stun_servers": named, **keys})


Leaving = dict[str, str | None]


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Leaving:
    """The addresses that packets to far away leave from: private ones, until a test changes them."""
    leaves: Leaving = {"192.0.2.1": "10.0.0.5", "2001:db8::1": "fd00::5"}

    def source(host: str) -> bytes | None:
        found = leaves[host]
        return ip_address(found).packed if found else None

    monkeypatch.setattr(public_address, "source_towards", source)
    monkeypatch.setattr(public_address, "WAITS", (0.05,))
    return leaves


def resolve(configured: Turn, addresses: PublicAddresses | None = None) -> tuple[list[External], set[int]]:
    found, unknown = (addresses or PublicAddresses()).resolve(configured)
    return list(found.external_ip), set(unknown)


FOUND = External(ip_address("203.0.113.5"), ip_address("10.0.0.5"))


@pytest.mark.usefixtures("leaving")
def test_a_private_address_is_what_the_server_sees() -> None:
    with server(xored) as place:
        assert resolve(turn(place, listen="udp://0.0.0.0:3478")) == ([FOUND], set())
        assert resolve(turn(place)) == ([FOUND], {16})  # of IPv6 the server says nothing
        written = turn(place, external_ip=["2001:db8::5/fd00::5", "auto"], listen="udp://0.0.0.0:3478")
        assert resolve(written) == ([written.external_ip[0], FOUND], set())


@pytest.mark.usefixtures("leaving")
def test_without_anybody_to_ask_one_is_told_what_to_write() -> None:
    with pytest.raises(NoServer, match=r"turn\.stun_servers"):
        PublicAddresses().resolve(turn())


NOBODY_ASKED = [
    {"external_ip": []},
    {"external_ip": "203.0.113.5"},
    {"listen": "udp://8.8.8.8:3478"},
    {"listen": "udp://127.0.0.1:3478"},
    {"listen": "udp://[::]:3478", "relay_addresses": "2600::5"},
]


@pytest.mark.parametrize("keys", NOBODY_ASKED)
def test_nobody_is_asked_who_need_not_be(keys: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_address, "ask_server", None)
    configured = turn(HostPort("192.0.2.99", 3478), **keys)
    written = [external for external in configured.external_ip if external.public]
    addresses = PublicAddresses()
    assert resolve(configured, addresses) == (written, set())
    assert addresses.due == math.inf


def test_no_way_to_a_family_is_no_address(leaving: Leaving) -> None:
    assert resolve(turn(external_ip=[])) == ([], set())
    leaving |= dict.fromkeys(leaving)
    assert resolve(turn()) == ([], {4, 16})


def test_an_address_that_comes_later_is_found_then(leaving: Leaving) -> None:
    """Before the network is up; when it is up and nobody answers yet; and when somebody does."""
    now = 1000.0
    addresses, answers = PublicAddresses(lambda: now), list[bool]([])
    with server(lambda transaction: xored(transaction) if answers else []) as place:
        configured = turn(place, listen="udp://0.0.0.0:3478")
        leaving["192.0.2.1"] = None
        assert resolve(configured, addresses) == ([], {4})
        assert not addresses.is_due()  # nothing can be asked before this machine has changed
        leaving["192.0.2.1"] = "10.0.0.5"
        assert resolve(configured, addresses) == ([], {4})
        now += RETRY_SECONDS
        assert addresses.is_due()
        answers.append(True)
        assert resolve(configured, addresses) == ([FOUND], set())
        now += ASK_SECONDS - 1
        assert not addresses.is_due()
        now += 1
        assert addresses.is_due()
        answers.clear()
        assert resolve(configured, addresses) == ([FOUND], set())  # one answer that is lost cuts nobody off
        now += RETRY_SECONDS
        assert addresses.is_due()
        leaving["192.0.2.1"] = "10.0.0.6"
        assert resolve(configured, addresses) == ([], {4})  # another network
        leaving["192.0.2.1"] = "9.9.9.9"
        assert resolve(configured, addresses) == ([], set())  # no NAT any more
        assert addresses.due == math.inf


@pytest.mark.usefixtures("leaving")
def test_what_takes_too_long_is_as_it_was() -> None:
    with server(xored) as place:
        configured, addresses = turn(place, external_ip=["203.0.113.9/10.0.0.9", "auto"]), PublicAddresses()
        found, unknown = addresses.as_known(configured)
        assert list(found.external_ip) == [configured.external_ip[0]]
        assert unknown == {4, 16}
        addresses.resolve(configured)
        found, unknown = addresses.as_known(configured)
        assert list(found.external_ip) == [configured.external_ip[0], FOUND]
        assert unknown == {16}


# In a namespace of its own: a network behind a router, and Docker's, each with both families.
ROUTES = """
from subprocess import run
from turn.service.public_address import default_sources
from ipaddress import ip_address
def ip(*lines):
    for line in lines:
        run(["ip", *line.split()], check=True)
print(*default_sources())
for link, four, six in (
    ("docker0", "172.17.0.1/16", "fd00:17::1/64"),
    ("eth0", "192.168.1.5/24", "fd00:1::5/64"),
):
    ip(f"link add {link} type veth peer name {link}p", f"link set {link} up", f"link set {link}p up",
       f"addr add {four} dev {link}", f"addr add {six} dev {link} nodad")
print(*default_sources())
ip("route add default via 192.168.1.1", "route add default via fd00:1::1")
print(*sorted(str(ip_address(source)) for source in default_sources()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_the_default_route_says_which_address_is_the_machines() -> None:
    command = ["unshare", "--net", sys.executable, "-c", ROUTES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "", "192.168.1.5 fd00:1::5"]
