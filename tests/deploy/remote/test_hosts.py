"""The machines of a configuration, and what no machine could be made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.deploy import Destination
from config.file import parse_config
from config.problems import ConfigError
from deploy.remote.hosts import parse_config_file, targets
from tests.deploy.example_configs import machines


def test_a_machine_needs_no_more_than_the_address_of_the_site() -> None:
    (one,) = machines("one machine")
    assert one.host.address == Destination("root", "call.example.org", 22)
    assert one.name == "call.example.org"
    assert one.serves
    assert one.relays


def test_a_relay_alone_has_a_name_of_its_own() -> None:
    first, second = machines("two machines")
    assert (first.name, first.serves, first.relays) == ("call.example.org", True, False)
    assert (second.name, second.serves, second.relays) == ("turn.example.org", False, True)


def test_a_relay_needs_no_server() -> None:
    [relay] = machines("a relay alone")
    assert (relay.name, relay.serves, relay.relays) == ("relay.example.org", False, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("deploy: {}", "site.url: write the address that visitors will open"),
        ("site: {url: 'http://call.example.org'}", "site.url: write the address that visitors will open"),
        ("site: {url: 'https://call.example.org:8443'}", "site.url: remove the port"),
        (
            "site: {url: 'https://a.b'}\nturn: {host: c.d}\n"
            "deploy: {hosts: [a.b, {address: c.d, roles: turn}]}",
            "turn.host: remove it",
        ),
        (
            "site: {url: 'https://a.b'}\nturn: {countries: de}\n"
            "deploy: {hosts: [a.b, {address: c.d, roles: turn}]}",
            "turn.countries: write countries at the relays",
        ),
        (
            "site: {url: 'https://203.0.113.5'}",
            "no certificate for the address 203.0.113.5; give the machine",
        ),
        (
            "site: {url: 'https://a.b'}\n"
            "deploy: {hosts: [{address: a.b, roles: turn}, {address: c.d, name: a.b, roles: turn}]}",
            "two relays have the same name",
        ),
        (
            "site: {url: 'https://a.b'}\ndeploy: {hosts: [{address: a.b, roles: server},"
            " {address: 203.0.113.9, roles: turn}]}",
            "no certificate for the address 203.0.113.9",
        ),
        (
            "site: {url: 'https://a.b'}\ndeploy: {hosts: [{address: a.b, roles: server},"
            " {address: local, roles: turn}]}",
            "a machine with only the role turn needs a name",
        ),
    ],
)
def test_what_no_machine_could_be_made_of(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        targets(parse_config(text, Path("c")))


def test_values_are_what_was_written() -> None:
    source = parse_config_file("site: {url: 'https://a.b'}\nturn:\n", Path("c"))
    assert source.values == {"site": {"url": "https://a.b"}, "turn": {}}
    assert source.config.site.url == "https://a.b"
