"""The `turn:` section: what each form of a value is read as. Mistakes are in tests/data/bad_configs.yaml."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from host.settings import HostPort
from turn.config.limits import RelayLimits
from turn.config.section import Turn
from turn.config.values import External, Ports
from turn.flows import Address
from turn.policies import Limits as Policy

READ: list[tuple[str, Any, Any]] = [
    ("host", "turn1.Example.org", "turn1.Example.org"),
    ("host", "2001:db8::5", "2001:db8::5"),
    ("host", "192.0.2.7", "192.0.2.7"),
    ("host", "relay", "relay"),
    ("host", "", ""),
    ("listen", "udp://192.0.2.7:3478", (Address.of("192.0.2.7", 3478),)),
    ("listen", ["udp://[2001:db8::7]:3478"], (Address.of("2001:db8::7", 3478),)),
    ("relay_ports", "20000-20099", Ports(20000, 20099)),
    ("relay_ports", "20000-20000", Ports(20000, 20000)),
    ("external_ip", "auto", (External(None, None),)),
    ("stun_servers", "stun.example.org:3478", (HostPort("stun.example.org", 3478),)),
    ("stun_servers", ["[2001:db8::5]:3478"], (HostPort("2001:db8::5", 3478),)),
    ("external_ip", "203.0.113.5", (External(ip_address("203.0.113.5"), None),)),
    (
        "external_ip",
        ["203.0.113.5/10.0.0.5", "2001:db8::5/fd00::5"],
        (
            External(ip_address("203.0.113.5"), ip_address("10.0.0.5")),
            External(ip_address("2001:db8::5"), ip_address("fd00::5")),
        ),
    ),
    ("allow_peers", "10.1.0.0/16", (ip_network("10.1.0.0/16"),)),
    ("deny_peers", ["192.0.2.7"], (ip_network("192.0.2.7/32"),)),
    ("alternate_server", "203.0.113.9:3478", Address.of("203.0.113.9", 3478)),
    ("metrics_listen", "[::1]:9642", Address.of("::1", 9642)),
    ("relay_addresses", ["2001:db8:0::7"], (ip_address("2001:db8::7"),)),
]


@pytest.mark.parametrize(("key", "written", "read"), READ)
def test_values(key: str, written: Any, read: Any) -> None:
    assert getattr(Turn.model_validate({key: written}), key) == read


def test_nothing_in_a_section_can_be_changed() -> None:
    turn = Turn()
    with pytest.raises(ValidationError):
        turn.realm = "other"  # type: ignore[misc]  # what must fail


def test_limits_are_on_unless_switched_off() -> None:
    limits = RelayLimits().model_dump(exclude={"trusted"})
    assert all(limits.values())
    assert not any(RelayLimits.model_validate(dict.fromkeys(limits, 0)).model_dump().values())


def test_every_limit_of_the_file_is_one_of_the_core_with_the_same_default() -> None:
    """A key that nothing reads, or a limit that nobody can set, fails here."""
    assert set(RelayLimits.model_fields) == set(Policy.__dataclass_fields__)
    assert RelayLimits().model_dump() == vars(Policy())


SWITCHES = [
    "sha256",
    "behaviour_discovery",
    "classic_stun",
    "allow_loopback_peers",
    "strict_expiry",
    "icmp_to_all",
]


@pytest.mark.parametrize("key", SWITCHES)
def test_what_makes_replies_larger_or_reaches_further_or_cuts_calls_is_off(key: str) -> None:
    assert getattr(Turn(), key) is False
    assert getattr(Turn.model_validate({key: True}), key) is True


@pytest.mark.parametrize(
    "keys",
    [
        {"sha256": "yes"},
        {"sha256": 1},
        {"classic_stun": "true"},
        {"limits": {"permissions": -1}},
        {"limits": {"channels": "many"}},
        {"limits": {"wrong_passwords": 2.5}},
        {"limits": {"unauthenticated_in_all": None}},
        {"limits": {"permission": 5}},
    ],
)
def test_what_is_no_value_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate(keys)
