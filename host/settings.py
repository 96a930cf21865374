"""What every section of the configuration file is made of: its form, its values, what a reload changes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, Strict
from pydantic.fields import FieldInfo
from pydantic.types import JsonValue

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

MAX_PORT = 65535

T = TypeVar("T")

# For a field's json_schema_extra: a reload does not change what the process does by it.
AT_START: dict[str, JsonValue] = {"reload": False}


class HostPort(NamedTuple):
    """Where a server is reached: by name or address, and port."""

    host: str
    port: int


class Section(BaseModel):
    """A part of the file: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def is_read_at_start(field: FieldInfo) -> bool:
    """Whether a change of it waits for the next start."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("reload") is False


def waiting(before: Section, now: Section) -> list[str]:
    """The keys whose change waits for the next start."""
    fields = type(before).model_fields.items()
    return [
        key for key, field in fields if is_read_at_start(field) and getattr(before, key) != getattr(now, key)
    ]


def as_list(value: object) -> object:
    """A list of one may be written without the dash."""
    return [value] if isinstance(value, str) else value


def parse_ip(value: object) -> IPAddress:
    try:
        return ip_address(str(value))
    except ValueError:
        raise ValueError(
            f"{value!s:.60} is not an IP address; write one such as 203.0.113.5 or 2001:db8::5"
        ) from None


def parse_network(value: object) -> IPNetwork:
    try:
        return ip_network(str(value), strict=True)
    except ValueError as wrong:
        raise ValueError(f"{wrong}; write a network such as 10.1.0.0/16") from None


def split_port(text: str, form: str = "ADDRESS:PORT") -> HostPort:
    """Host and port of a text in this form; an IPv6 address stands in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= MAX_PORT:
        raise ValueError(f"write {form} with a port from 1 to {MAX_PORT}")
    return HostPort(host.removeprefix("[").removesuffix("]"), int(port))


def parse_address(value: object) -> HostPort:
    """An IP address and a port to listen at."""
    host, port = split_port(str(value))
    return HostPort(str(parse_ip(host)), port)


def check_different(listen: tuple[T, ...]) -> tuple[T, ...]:
    """Addresses to listen at, each of which can be bound once only. Raises ValueError."""
    if len(set(listen)) != len(listen):
        raise ValueError("the same address is here twice; remove one of them")
    return listen


Count = Annotated[int, Strict(), Field(ge=0)]
Switch = Annotated[bool, Strict()]
Networks = Annotated[
    tuple[Annotated[IPNetwork, PlainValidator(parse_network)], ...], BeforeValidator(as_list)
]
