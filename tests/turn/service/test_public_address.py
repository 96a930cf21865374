"""How a machine finds its public address: by its interfaces, by servers that may be asked, or not at all."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from host.settings import HostPort
from tests.turn.service.stun_server import PUBLIC, Reply, server, xored
from turn.config.section import Turn
from turn.config.values import External
from turn.flows import Address
from turn.service import public_address
from turn.service.public_address import NoAnswer
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


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose packets leave from private addresses."""
    leaves = {"192.0.2.1": "10.0.0.5", "2001:db8::1": "fd00::5"}
    monkeypatch.setattr(public_address, "source_towards", lambda host: ip_address(leaves[host]).packed)


@pytest.mark.usefixtures("private")
def test_a_private_address_is_what_the_server_sees() -> None:
    with server(xored) as place:
        four = External(ip_address("203.0.113.5"), ip_address("10.0.0.5"))
        assert public_address.with_public_addresses(turn(place, listen="udp://0.0.0.0:3478")).external_ip == (
            four,
        )
        assert public_address.with_public_addresses(turn(place)).external_ip == (
            four,
        )  # of IPv6 the server says nothing
        written = turn(place, external_ip=["2001:db8::5/fd00::5", "auto"], listen="udp://0.0.0.0:3478")
        assert public_address.with_public_addresses(written).external_ip == (written.external_ip[0], four)


@pytest.mark.usefixtures("private")
def test_without_anybody_to_ask_one_is_told_what_to_write() -> None:
    with pytest.raises(NoAnswer, match=r"turn\.stun_servers"):
        public_address.with_public_addresses(turn())


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
    assert list(public_address.with_public_addresses(configured).external_ip) == written


def test_no_way_to_a_family_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert public_address.source_towards("127.0.0.1") == b"\x7f\0\0\1"
    monkeypatch.setattr(public_address, "source_towards", lambda host: None)
    assert public_address.with_public_addresses(turn()).external_ip == ()
