"""The servers that a browser is told about, and a credential that the relay's own check accepts."""

from __future__ import annotations

from collections import Counter

import pytest

from server.ice import IceSettings, chosen_hosts, ice_servers
from turn.credentials import is_live, password_for, user_of

SECRET = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("turn.example.org", "turn.example.org"), ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "[2001:db8::1]")],
)
def test_addresses(host: str, shown: str) -> None:
    reply = ice_servers(IceSettings(host, (3478, 443), SECRET, 600), "visitor", 1000.9)
    stun, relay = reply["iceServers"]
    assert stun == {"urls": [f"stun:{shown}:3478", f"stun:{shown}:443"]}
    assert relay["urls"] == [f"turn:{shown}:3478?transport=udp", f"turn:{shown}:443?transport=udp"]
    assert reply["expires_in"] == 600


def test_the_quickest_way_comes_first() -> None:
    settings = IceSettings("h", (3478,), SECRET, 600, tcp_ports=(3478, 80), tls_ports=(5349,))
    assert ice_servers(settings, "u", 0)["iceServers"][1]["urls"] == [
        "turn:h:3478?transport=udp",
        "turn:h:3478?transport=tcp",
        "turn:h:80?transport=tcp",
        "turns:h:5349?transport=tcp",
    ]


def test_without_udp_there_is_no_stun() -> None:
    reply = ice_servers(IceSettings("h", (), SECRET, 600, tls_ports=(443,)), "u", 0)
    assert [server["urls"] for server in reply["iceServers"]] == [["turns:h:443?transport=tcp"]]


def test_the_relay_knows_the_credential() -> None:
    relay = ice_servers(IceSettings("h", (3478,), SECRET, 600), "visitor", 1000.9)["iceServers"][1]
    assert relay["credential"] == password_for(relay["username"], SECRET)
    assert user_of(relay["username"]) == "visitor"
    assert [is_live(relay["username"], wall) for wall in (1599, 1600)] == [True, False]


def test_the_quickest_ways_of_both_relays_come_first() -> None:
    settings = IceSettings("h", (3478,), SECRET, 600, tls_ports=(443,), more_hosts=("2001:db8::7",))
    stun, relay = ice_servers(settings, "u", 0)["iceServers"]
    hosts = chosen_hosts(("h", "[2001:db8::7]"), "u")
    assert stun["urls"] == [f"stun:{host}:3478" for host in hosts]
    assert relay["urls"] == [
        *(f"turn:{host}:3478?transport=udp" for host in hosts),
        *(f"turns:{host}:443?transport=tcp" for host in hosts),
    ]


def test_users_are_spread_over_the_relays_and_keep_theirs() -> None:
    relays = ("a", "b", "c")
    reply = {user: chosen_hosts(relays, user) for user in (f"user {number}" for number in range(300))}
    shares = Counter(reply.values())
    assert set(shares) == {tuple((relays * 2)[first : first + 2]) for first in range(3)}
    assert min(shares.values()) > 300 / 3 / 2
    assert reply == {user: chosen_hosts(relays, user) for user in reply}


def test_one_relay_is_told_to_everybody() -> None:
    assert chosen_hosts(("a",), "x") == ("a",)
