"""Which clients may relay, to which peers, and how much."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.turn.peer_cases import CARRIERS, PEERS
from turn.credentials import mint
from turn.policies import (
    LOOPBACK,
    NEVER,
    SPECIAL,
    Accounts,
    AddressSet,
    Limits,
    Login,
    Network,
    PeerTable,
    networks,
)

NOW = 1_800_000_000.0


def packed(text: str) -> bytes:
    return ip_address(text).packed


def test_the_vectors_are_as_many_as_they_say() -> None:
    assert (len(PEERS["denied"]), len(PEERS["allowed"])) == (51, 19)
    assert len({*PEERS["denied"], *PEERS["allowed"]}) == 70


@pytest.mark.parametrize("ip", PEERS["denied"])
def test_denied(ip: str) -> None:
    assert not PeerTable().allows(packed(ip))


@pytest.mark.parametrize("ip", PEERS["allowed"])
def test_allowed(ip: str) -> None:
    assert PeerTable().allows(packed(ip))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("network", [n for n in SPECIAL if len(n.first) == 4], ids=lambda n: n.first.hex())
def test_no_form_of_ipv6_carries_a_denied_address(carrier: str, network: Network) -> None:
    before, behind = map(bytes.fromhex, CARRIERS[carrier])
    for inner in (network.first, network.last):
        assert not PeerTable().allows(before + inner + behind)


@pytest.mark.parametrize(
    "network", [*NEVER, *SPECIAL, *LOOPBACK], ids=lambda n: f"{n.first.hex()}-{n.last.hex()}"
)
def test_every_range_is_denied_from_end_to_end(network: Network) -> None:
    table = PeerTable()
    assert not table.allows(network.first)
    assert not table.allows(network.last)


@pytest.mark.parametrize("network", [*NEVER, *LOOPBACK], ids=lambda n: f"{n.first.hex()}-{n.last.hex()}")
def test_no_operator_can_allow_these(network: Network) -> None:
    table = PeerTable(allow=networks("0.0.0.0/0 ::/0"))
    assert not table.allows(network.first)
    assert not table.allows(network.last)


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0",
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        "2001::1",
        "2002:a00:1::",
        "ff02::1",
        "fd00:ec2::254",
    ],
)
def test_nor_these_one_by_one(ip: str) -> None:
    assert not PeerTable(allow=networks("0.0.0.0/0 ::/0")).allows(packed(ip))


def test_an_operator_allows_and_denies() -> None:
    table = PeerTable(allow=networks("10.1.0.0/16 fd00:1::/32"), deny=networks("10.1.2.0/24 8.8.8.0/24"))
    verdicts = {
        ip: table.allows(packed(ip)) for ip in ("10.1.0.1", "10.2.0.1", "10.1.2.3", "8.8.8.8", "8.8.4.4")
    }
    assert verdicts == {
        "10.1.0.1": True,
        "10.2.0.1": False,
        "10.1.2.3": False,
        "8.8.8.8": False,
        "8.8.4.4": True,
    }
    assert table.allows(packed("fd00:1::5"))
    assert not table.allows(packed("fd00:2::5"))


def test_loopback_only_where_it_was_asked_for() -> None:
    table = PeerTable(loopback=True)
    assert table.allows(packed("127.0.0.1"))
    assert table.allows(packed("::1"))
    assert not table.allows(packed("::ffff:127.0.0.1"))
    assert not table.allows(packed("0.0.0.0"))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=8), st.data())
def test_ranges_are_what_integers_say(blocks: list[tuple[int, int]], data: st.DataObject) -> None:
    spans = [(start >> bits << bits, (start >> bits << bits) + (1 << bits) - 1) for start, bits in blocks]
    ranges = AddressSet(Network(low.to_bytes(4, "big"), high.to_bytes(4, "big")) for low, high in spans)
    edges = [edge for low, high in spans for edge in (low - 1, low, high, high + 1) if 0 <= edge < 2**32]
    for number in [*edges, *data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=50))]:
        expected = any(low <= number <= high for low, high in spans)
        assert (number.to_bytes(4, "big") in ranges) is expected


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "10.0.0.*", "nowhere", "::/129"])
def test_a_malformed_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not appear|host bits"):
        Network.of(text)


def test_nobody_may_relay_by_default() -> None:
    assert Accounts().login("1900000000:anybody", NOW) is None
    assert Accounts().login("", NOW) is None


def test_static_and_time_limited_users() -> None:
    accounts = Accounts({"alice": "her word"}, (b"secret one", b"secret two"))
    assert accounts.login("alice", NOW) == Login("alice", ("her word",))
    assert accounts.login("bob", NOW) is None
    username, password = mint(b"secret two", "r.visitor", int(NOW) + 5)
    login = accounts.login(username, NOW)
    assert login is not None
    assert login.user == "r.visitor"
    assert password in login.passwords
    assert accounts.login(username, NOW + 5) is None


def test_limits_and_trust() -> None:
    limits = Limits(trusted=networks("10.1.0.0/16 2001:db8::/32"))
    assert limits.is_trusted(packed("10.1.2.3"))
    assert limits.is_trusted(packed("2001:db8::1"))
    assert not limits.is_trusted(packed("10.2.0.1"))
    assert not Limits().is_trusted(packed("127.0.0.1"))
