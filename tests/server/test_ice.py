"""The servers that a browser is told about, and a credential that the relay's own check accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import pytest

from server.ice import IceServers, IceSettings, ice_servers
from turn.credentials import is_live, password_for, user_of

SECRET = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("turn.example.org", "turn.example.org"), ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]")],
)
def test_addresses(host: str, shown: str) -> None:
    reply = ice_servers(IceSettings(host, (3478, 443), SECRET, 600), "visitor", (host,), 1000.9)
    stun, relay = reply["iceServers"]
    assert stun == {"urls": [f"stun:{shown}:3478", f"stun:{shown}:443"]}
    assert relay["urls"] == [f"turn:{shown}:3478?transport=udp", f"turn:{shown}:443?transport=udp"]
    assert reply["expires_in"] == 600


def test_the_quickest_way_comes_first() -> None:
    settings = IceSettings("h", (3478,), SECRET, 600, tcp_ports=(3478, 80), tls_ports=(5349,))
    assert ice_servers(settings, "u", ("h",), 0)["iceServers"][1]["urls"] == [
        "turn:h:3478?transport=udp",
        "turn:h:3478?transport=tcp",
        "turn:h:80?transport=tcp",
        "turns:h:5349?transport=tcp",
    ]


def test_without_udp_there_is_no_stun() -> None:
    reply = ice_servers(IceSettings("h", (), SECRET, 600, tls_ports=(443,)), "u", ("h",), 0)
    assert [server["urls"] for server in reply["iceServers"]] == [["turns:h:443?transport=tcp"]]


def test_the_relay_knows_the_credential() -> None:
    relay = ice_servers(IceSettings("h", (3478,), SECRET, 600), "visitor", ("h",), 1000.9)["iceServers"][1]
    assert relay["credential"] == password_for(relay["username"], SECRET)
    assert user_of(relay["username"]) == "visitor"
    assert [is_live(relay["username"], wall) for wall in (1599, 1600)] == [True, False]


def test_the_quickest_ways_of_both_relays_come_first() -> None:
    settings = IceSettings("h", (3478,), SECRET, 600, tls_ports=(443,))
    stun, relay = ice_servers(settings, "u", ("h", "2001:db8::7"), 0)["iceServers"]
    hosts = ("h", "[2001:db8::7]")
    assert stun["urls"] == [f"stun:{host}:3478" for host in hosts]
    assert relay["urls"] == [
        *(f"turn:{host}:3478?transport=udp" for host in hosts),
        *(f"turns:{host}:443?transport=tcp" for host in hosts),
    ]


USERS = tuple(f"user {number}" for number in range(300))


def among(*hosts: str, dead: Container[str] = (), **near: str) -> IceServers:
    """Relays, those that do not answer, and the countries that some are near to."""
    first, *more = hosts
    countries = {host: frozenset(codes.split()) for host, codes in near.items()}
    settings = IceSettings(first, (3478,), SECRET, 600, more_hosts=tuple(more), near=countries)
    return IceServers(settings, lambda host: host not in dead)


def shares(servers: IceServers, country: str | None = None) -> Counter[tuple[str, ...]]:
    """How many users get these relays, in this order."""
    return Counter(servers.relays(user, country) for user in USERS)


def test_users_are_spread_over_the_relays_and_keep_theirs() -> None:
    relays = ("a", "b", "c")
    servers = among(*relays)
    assert set(shares(servers)) == {tuple((relays * 2)[first : first + 2]) for first in range(3)}
    assert min(shares(servers).values()) > 300 / 3 / 2
    assert servers.relays("x", None) == servers.relays("x", None)


def test_one_relay_is_told_to_everybody() -> None:
    assert among("a").relays("x", "de") == ("a",)


@pytest.mark.parametrize(
    ("country", "first", "second"),
    [
        ("de", {"eu"}, {"here"}),
        ("us", {"us", "us2"}, {"us", "us2"}),
        ("mx", {"us2"}, {"here"}),
        ("jp", {"here"}, {"eu", "us", "us2"}),
        (None, {"here"}, {"eu", "us", "us2"}),
    ],
)
def test_the_near_ones_come_first_and_then_those_for_everybody(
    country: str | None, first: set[str], second: set[str]
) -> None:
    found = shares(among("here", "eu", "us", "us2", eu="de fr", us="us ca", us2="us mx"), country)
    assert {pair[0] for pair in found} == first
    assert {pair[1] for pair in found} == second


def test_the_relay_of_the_site_may_be_near_to_countries_too() -> None:
    assert set(shares(among("eu", "us", eu="de", us="us"), "de")) == {("eu", "us")}
    assert set(shares(among("eu", "us", eu="de", us="us"), "us")) == {("us", "eu")}
    assert set(shares(among("eu", "us", eu="de", us="us"), "jp")) == {("eu", "us"), ("us", "eu")}


@pytest.mark.parametrize(
    ("dead", "told"),
    [
        ("eu", {("here", "us")}),
        ("eu here", {("us",)}),
        ("us", {("eu", "here")}),
        ("eu here us", {("eu", "here")}),
    ],
)
def test_a_dead_relay_is_told_to_nobody_unless_all_are(dead: str, told: set[tuple[str, ...]]) -> None:
    servers = among("here", "eu", "us", dead=dead.split(), eu="de", us="us")
    assert set(shares(servers, "de")) == told


def test_a_relay_that_is_alone_is_told_also_while_it_is_dead() -> None:
    assert among("a", dead=("a",)).relays("x", None) == ("a",)
