"""Origins, names and the walk through X-Forwarded-For, as tables."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from server.config.server import Server
from server.config.site import Site
from server.web.origins import (
    MAX_HOPS,
    ExemptNetworks,
    client_of,
    header,
    hosts_of,
    is_own_page,
    origins_of,
    parse_address,
)

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def scope(client: str | None = "10.0.0.1", *headers: tuple[str, str]) -> Any:
    return {
        "type": "websocket",
        "client": (client, 1234) if client else None,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def forwarded(*values: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", value) for value in values]


def test_origins_without_a_url_are_this_machines_own() -> None:
    server = Server(listen=("0.0.0.0:8080", "[::]:80"))
    assert origins_of(Site(), server) == {
        f"http://{host}{port}" for host in ("127.0.0.1", "localhost", "[::1]") for port in (":8080", "")
    }


def test_origins_with_a_url() -> None:
    site = Site(url="https://Call.Example.org:443/", more_urls=("https://www.example.org", "http://x:8080"))
    origins = origins_of(site, Server())
    assert origins == {"https://call.example.org", "https://www.example.org", "http://x:8080"}
    assert hosts_of(origins) == {
        "call.example.org": "wss://call.example.org",
        "www.example.org": "wss://www.example.org",
        "x:8080": "ws://x:8080",
    }


def test_a_host_with_both_schemes() -> None:
    assert hosts_of(["http://x", "https://x"]) == {"x": "ws://x wss://x"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([("origin", "https://ok.example")], True),
        ([], False),
        ([("origin", "https://ok.example"), ("origin", "https://ok.example")], False),
        ([("origin", "https://ok.example, https://ok.example")], False),
        ([("origin", "null")], False),
    ],
)
def test_the_origin_is_compared_whole(headers: list[tuple[str, str]], allowed: bool) -> None:
    assert is_own_page(scope(None, *headers), frozenset({"https://ok.example"})) is allowed


def test_a_header_that_stands_twice_is_none() -> None:
    assert header(scope(None, ("host", "a")), b"host") == "a"
    assert header(scope(None, ("host", "a"), ("host", "a")), b"host") is None


# The peer, its X-Forwarded-For headers -> who it is.
WALKS = [
    ("203.0.113.5", [], "203.0.113.5"),
    ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
    ("203.0.113.5", ["10.0.0.2, 10.0.0.3"], "203.0.113.5"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["8.8.8.8, 198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["8.8.8.8", "198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
    ("10.0.0.1", ["198.51.100.1", "10.0.0.2,10.0.0.3"], "198.51.100.1"),
    ("10.0.0.1", ["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
    ("10.0.0.1", ["unknown"], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", ["198.51.100.1:4711"], "10.0.0.1"),
    ("10.0.0.1", ["[2001:db8::1]:4711"], "10.0.0.1"),
    ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
    ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
    ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
    ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
    ("10.0.0.1", [""], "10.0.0.1"),
    ("10.0.0.1", [", ,"], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1\xff"], "10.0.0.1"),
    ("10.0.0.1", ["198.51.100.1, " + ", ".join(["10.0.0.2"] * MAX_HOPS)], "10.0.0.2"),
]


@pytest.mark.parametrize(("peer", "values", "client"), WALKS)
def test_the_walk_from_the_right(peer: str, values: list[str], client: str) -> None:
    assert client_of(scope(peer, *forwarded(*values)), PROXIES) == ip_address(client)


def test_nobody_is_trusted_by_default() -> None:
    assert client_of(scope("127.0.0.1", *forwarded("198.51.100.1")), ()) == ip_address("127.0.0.1")
    assert client_of(scope(None), PROXIES) is None


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ", "1.2.3.4/32"])
def test_what_is_no_address(text: str) -> None:
    assert parse_address(text) is None


def test_networks_without_limits_by_address() -> None:
    exempt = ExemptNetworks(PROXIES, [ip_network("198.51.100.0/24")])
    texts = ("10.0.0.1", "198.51.100.7", "203.0.113.1")
    assert [exempt.includes(ip_address(text)) for text in texts] == [True, True, False]
    exempt.trusted = [ip_network("203.0.113.0/24")]
    assert [exempt.includes(ip_address(text)) for text in texts] == [True, False, True]
