"""Where the page is told to find the relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.file import parse_config
from config.ice import ice_settings, relay_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("turn: {host: turn.example.org}\nsite: {url: 'https://call.example.org'}", "turn.example.org"),
        ("site: {url: 'https://call.example.org:8443'}", "call.example.org"),
        ("site: {url: 'https://[2001:db8::7]'}", "2001:db8::7"),
        ("turn: {listen: 'udp://192.0.2.7:3478'}", "192.0.2.7"),
        ("turn: {listen: 'udp://[2001:db8::7]:3478'}", "2001:db8::7"),
        ("turn: {listen: 'udp://0.0.0.0:3478'}", "127.0.0.1"),
    ],
)
def test_relay_host(text: str, host: str) -> None:
    assert relay_host(parse_config(text, Path("c"))) == host


def test_each_port_is_named_once() -> None:
    config = parse_config(
        "turn: {listen: ['udp://0.0.0.0:3478', 'udp://[::]:3478', 'udp://0.0.0.0:443']}", Path("c")
    )
    assert ice_settings(config, b"secret").ports == (3478, 443)


def test_each_transport_has_its_ports() -> None:
    listen = "['0.0.0.0:3478', '[::]:3478', 'tcp://0.0.0.0:80', 'tls://0.0.0.0:443']"
    config = parse_config(f"turn: {{listen: {listen}, certificate: c.pem, key: k.pem}}", Path("c"))
    settings = ice_settings(config, b"secret")
    assert (settings.ports, settings.tcp_ports, settings.tls_ports) == ((3478,), (3478, 80), (443,))


def test_tls_has_the_ports_of_tcp_where_it_is_detected() -> None:
    listen = "['tls://0.0.0.0:5349', 'tcp://0.0.0.0:443']"
    config = parse_config(
        f"turn: {{listen: {listen}, certificate: c.pem, key: k.pem, detect_tls: true}}", Path("c")
    )
    settings = ice_settings(config, b"secret")
    assert (settings.ports, settings.tcp_ports, settings.tls_ports) == ((), (443,), (5349, 443))


def test_each_relay_has_its_countries() -> None:
    more = "[b.example, {host: c.example, countries: [US, ca]}, {host: d.example, countries: no}]"
    config = parse_config(f"turn: {{host: a.example, countries: de, more_hosts: {more}}}", Path("c"))
    settings = ice_settings(config, b"secret")
    assert settings.hosts == ("a.example", "b.example", "c.example", "d.example")
    assert [settings.near[host] for host in settings.hosts] == [{"de"}, set(), {"us", "ca"}, {"no"}]


DOOR = "tls_listen: '0.0.0.0:443', certificate: c.pem, key: k.pem"


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        (f"site: {{url: 'https://call.example.org'}}\nserver: {{{DOOR}}}", (443,)),
        (f"site: {{url: 'https://call.example.org:8443'}}\nserver: {{{DOOR}}}", (8443,)),
        (f"server: {{{DOOR}}}", (443,)),
        (f"site: {{url: 'https://a.org'}}\nserver: {{{DOOR}}}\nturn: {{host: a.org}}", (443,)),
        (f"site: {{url: 'https://a.org'}}\nserver: {{{DOOR}}}\nturn: {{host: turn.a.org}}", ()),
        ("site: {url: 'https://a.org'}", ()),
    ],
)
def test_the_servers_door_is_named_where_the_relay_has_its_name(text: str, ports: tuple[int, ...]) -> None:
    assert ice_settings(parse_config(text, Path("c")), b"secret").tls_ports == ports
