"""What the values of the `turn:` section are read as, and the sentence for each that cannot be read."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    Strict,
)

from turn.flows import Address, Transport
from turn.wire.integrity import prepare

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

MIN_SECRET_BYTES = 16  # shorter secrets can be guessed offline from one captured request (RFC 8656 §21.1.2)
PLACEHOLDERS = ("changeme", "change-me", "secret", "password", "example", "your-")  # copied from a manual

LABEL = "[A-Za-z0-9_-]{1,63}"
HOST_NAME = re.compile(rf"(?!(.*\.)?[0-9]+$)(?=.{{1,253}}$){LABEL}(\.{LABEL})*")  # browsers: 1.2 is a number

SCHEMES: dict[str, tuple[Transport, ...]] = {
    "": ("udp", "tcp"),
    "udp": ("udp",),
    "tcp": ("tcp",),
    "tls": ("tls",),
}


class Ports(NamedTuple):
    """An inclusive range of UDP ports."""

    low: int
    high: int


class Place(NamedTuple):
    """A server of somebody else's, by name or address."""

    host: str
    port: int


class External(NamedTuple):
    """An address that peers see (None: to be found at the start), and the local one that NAT maps it to
    (None: any of its family)."""

    public: IPAddress | None
    local: IPAddress | None


def as_list(value: object) -> object:
    """A list of one may be written without the dash."""
    return [value] if isinstance(value, str) else value


def parse_listen(value: object) -> tuple[Address, ...]:
    """An entry without a scheme stands for UDP and TCP."""
    scheme, mark, rest = str(value).rpartition("://")
    if mark and scheme not in SCHEMES:
        raise ValueError(f"{scheme}:// is unknown; write udp://ADDRESS:PORT, tcp:// or tls://")
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"write {scheme or 'udp'}://ADDRESS:PORT with a port from 1 to 65535")
    ip = str(parse_ip(host.removeprefix("[").removesuffix("]")))
    return tuple(Address.of(ip, int(port), transport) for transport in SCHEMES[scheme])


def join(entries: tuple[tuple[Address, ...], ...]) -> tuple[Address, ...]:
    return tuple(address for entry in entries for address in entry)


def parse_ip(value: object) -> IPAddress:
    try:
        return ip_address(str(value))
    except ValueError:
        raise ValueError(
            f"{value!s:.60} is no IP address; write one such as 203.0.113.5 or 2001:db8::5"
        ) from None


def parse_network(value: object) -> IPNetwork:
    try:
        return ip_network(str(value), strict=True)
    except ValueError as wrong:
        raise ValueError(f"{wrong}; write a network such as 10.1.0.0/16") from None


def parse_external(value: object) -> External:
    if value == "auto":
        return External(None, None)
    public, slash, local = str(value).partition("/")
    pair = External(parse_ip(public), parse_ip(local) if slash else None)
    if pair.public and pair.local and pair.public.version != pair.local.version:
        raise ValueError("the two addresses are of different families; NAT translates within one")
    return pair


def parse_server(value: object) -> Place:
    host, colon, port = str(value).rpartition(":")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError("write HOST:PORT with a port from 1 to 65535")
    return Place(host.removeprefix("[").removesuffix("]"), int(port))


def parse_host(value: object) -> str:
    """What stands behind turn: in the address that browsers are given; empty: something else is taken."""
    text = str(value)
    if not text.isascii():
        raise ValueError("write this name in ASCII, as xn--…")
    if text and not HOST_NAME.fullmatch(text):
        try:
            address = ip_address(text)
        except ValueError:
            address = None
        if address is None or address.is_unspecified or "%" in text:
            raise ValueError(
                "write a host name or an IP address alone, such as turn.example.org or 2001:db8::5, without "
                "scheme, port or brackets"
            )
    return text


def parse_more_host(value: object) -> str:
    """The same of a further relay, which has a name."""
    if not value:
        raise ValueError("an empty name leads nowhere; leave this line out")
    return parse_host(value)


def parse_ports(value: object) -> Ports:
    low, dash, high = str(value).partition("-")
    if not dash or not low.isdecimal() or not high.isdecimal():
        raise ValueError("write LOW-HIGH, such as 49152-65535")
    ports = Ports(int(low), int(high))
    if not 1024 <= ports.low <= ports.high <= 65535:
        raise ValueError("the range must lie within 1024-65535 and begin with the lower port")
    return ports


def parse_place(value: object) -> Address:
    host, colon, port = str(value).rpartition(":")
    if not colon or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError("write ADDRESS:PORT with a port from 1 to 65535")
    return Address.of(str(parse_ip(host.removeprefix("[").removesuffix("]"))), int(port))


Count = Annotated[int, Strict(), Field(ge=0)]
Switch = Annotated[bool, Strict()]
Listeners = Annotated[
    tuple[Annotated[Address, PlainValidator(parse_listen)], ...],
    BeforeValidator(as_list),
    AfterValidator(join),
]
Networks = Annotated[
    tuple[Annotated[IPNetwork, PlainValidator(parse_network)], ...], BeforeValidator(as_list)
]
Addresses = Annotated[tuple[Annotated[IPAddress, PlainValidator(parse_ip)], ...], BeforeValidator(as_list)]
Externals = Annotated[
    tuple[Annotated[External, PlainValidator(parse_external)], ...], BeforeValidator(as_list)
]

Hosts = Annotated[tuple[Annotated[str, PlainValidator(parse_more_host)], ...], BeforeValidator(as_list)]
Servers = Annotated[tuple[Annotated[Place, PlainValidator(parse_server)], ...], BeforeValidator(as_list)]


def is_public(value: External | Address | IPAddress) -> bool:
    """Whether strangers reach what stands here; an external address that is yet to be found is one."""
    if isinstance(value, External):
        return value.public is None or value.public.is_global
    return ip_address(value.host).is_global if isinstance(value, Address) else value.is_global


def check_characters(text: str, what: str) -> None:
    """Raises ValueError for a text that no client could write as we do (RFC 8489 §14.9, §9.2.2)."""
    try:
        prepare(text)
    except ValueError as wrong:
        raise ValueError(f"{what} holds {wrong}; plain letters and digits are safe") from None


def check_secret(secret: str) -> None:
    """Raises ValueError for a secret that is short or was copied from a manual."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"the secret is shorter than {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
        )
    if secret.lower().startswith(PLACEHOLDERS):
        raise ValueError("the secret is a placeholder; make one with: openssl rand -hex 32")
