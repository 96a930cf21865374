"""What keys of every section take and refuse, and which of them need a restart."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pydantic import Field, ValidationError

from host.settings import (
    AT_START,
    Count,
    HostPort,
    Networks,
    Section,
    Switch,
    as_list,
    check_different,
    is_read_at_start,
    parse_address,
    parse_ip,
    parse_network,
    split_port,
    waiting,
)

TAKEN: list[tuple[Callable[[str], object], str, object]] = [
    (parse_address, "127.0.0.1:8080", HostPort("127.0.0.1", 8080)),
    (parse_address, "[::1]:8080", HostPort("::1", 8080)),
    (parse_address, "0.0.0.0:65535", HostPort("0.0.0.0", 65535)),
    (parse_ip, "2001:DB8::5", ip_address("2001:db8::5")),
    (parse_network, "10.1.0.0/16", ip_network("10.1.0.0/16")),
    (split_port, "stun.example.org:3478", HostPort("stun.example.org", 3478)),
    (as_list, "a word", ["a word"]),
]
REFUSED: list[tuple[Callable[[str], Any], str, str]] = [
    (parse_address, "8080", "write ADDRESS:PORT"),
    (parse_address, "127.0.0.1", "write ADDRESS:PORT"),
    (parse_address, ":8080", "write ADDRESS:PORT"),
    (parse_address, "127.0.0.1:0", "from 1 to 65535"),
    (parse_address, "127.0.0.1:65536", "from 1 to 65535"),
    (parse_address, "127.0.0.1:-1", "from 1 to 65535"),
    (parse_address, "127.0.0.1:8080x", "from 1 to 65535"),
    (parse_address, "localhost:8080", "localhost is not an IP address"),
    (parse_network, "10.0.0.0/33", "write a network such as"),
    (parse_network, "10.0.0.1/8", "write a network such as"),
    (parse_network, "10.0.0.*", "write a network such as"),
]


@pytest.mark.parametrize(("parse", "text", "value"), TAKEN)
def test_taken(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text", "says"), REFUSED)
def test_refused(parse: Callable[[str], Any], text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


class Example(Section):
    """One key of each kind."""

    port: Count = Field(1, json_schema_extra=AT_START)
    seconds: Count = 2
    loud: Switch = False
    trusted: Networks = ()


@pytest.mark.parametrize(
    "key", [{"seconds": -1}, {"seconds": "2"}, {"loud": 1}, {"trusted": ["x"]}, {"port2": 3}]
)
def test_a_section_is_strict(key: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate(key)


def test_a_list_of_one_is_written_without_the_dash() -> None:
    assert Example.model_validate({"trusted": "10.0.0.0/8"}).trusted == (ip_network("10.0.0.0/8"),)


def test_an_address_stands_once_in_a_list() -> None:
    one, other = HostPort("127.0.0.1", 8080), HostPort("127.0.0.1", 8081)
    assert check_different((one, other)) == (one, other)
    with pytest.raises(ValueError, match="the same address is here twice"):
        check_different((one, other, one))


def test_keys_that_wait_for_the_next_start() -> None:
    assert [key for key, field in Example.model_fields.items() if is_read_at_start(field)] == ["port"]
    before = Example()
    assert waiting(before, Example(port=5, seconds=6, loud=True)) == ["port"]
    assert waiting(before, Example(seconds=6)) == []
