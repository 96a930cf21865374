"""What is read from the `turn:` section, and the sentence for each value that cannot be read."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from host.countries import Countries
from host.settings import HostPort, IPAddress, Section, as_list, parse_address, parse_ip, split_port
from turn.flows import Address, Transport
from turn.wire.preparation import forms, is_plain, sasl_prepared

MIN_SECRET_BYTES = 16  # shorter secrets can be guessed offline from one captured request (RFC 8656 §21.1.2)
PLACEHOLDERS = ("changeme", "change-me", "secret", "password", "example", "your-")  # copied from a manual

T = TypeVar("T")

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


class External(NamedTuple):
    """An address that peers see (None: to be found at the start), and the local one that NAT maps it to
    (None: any of its family)."""

    public: IPAddress | None
    local: IPAddress | None


def parse_listen(value: object) -> tuple[Address, ...]:
    """An entry without a scheme stands for UDP and TCP."""
    scheme, mark, rest = str(value).rpartition("://")
    if mark and scheme not in SCHEMES:
        raise ValueError(
            f"{scheme}:// is unknown; write udp://ADDRESS:PORT, tcp://ADDRESS:PORT or tls://ADDRESS:PORT"
        )
    host, port = split_port(rest, f"{scheme or 'udp'}://ADDRESS:PORT")
    ip = str(parse_ip(host))
    return tuple(Address.of(ip, port, transport) for transport in SCHEMES[scheme])


def flatten(entries: tuple[tuple[Address, ...], ...]) -> tuple[Address, ...]:
    return tuple(address for entry in entries for address in entry)


def parse_external(value: object) -> External:
    if value == "auto":
        return External(None, None)
    public, slash, local = str(value).partition("/")
    pair = External(parse_ip(public), parse_ip(local) if slash else None)
    if pair.public and pair.local and pair.public.version != pair.local.version:
        raise ValueError("one address is IPv4 and the other is IPv6; both must be of one kind")
    return pair


def parse_server(value: object) -> HostPort:
    return split_port(str(value), "HOST:PORT")


def parse_host(value: object) -> str:
    """The host in the turn: addresses that browsers get; empty: it is taken from other keys."""
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
    """The same for a further relay, where it must not be empty."""
    if not value:
        raise ValueError("the name is empty; remove this line")
    return parse_host(value)


class MoreRelay(Section):
    """A further relay. It is near to visitors from `countries`; none: to nobody more than to others."""

    host: Annotated[str, PlainValidator(parse_more_host)]
    countries: Countries = ()


def as_relays(value: object) -> object:
    """A relay may be its name alone, and a list of one needs no dash."""
    listed = as_list(value)
    if not isinstance(listed, list):
        return listed
    return [{"host": one} if isinstance(one, str) else one for one in listed]


def parse_ports(value: object) -> Ports:
    low, dash, high = str(value).partition("-")
    if not dash or not low.isdecimal() or not high.isdecimal():
        raise ValueError("write LOW-HIGH, such as 49152-65535")
    ports = Ports(int(low), int(high))
    if not 1024 <= ports.low <= ports.high <= 65535:
        raise ValueError("the range must be within 1024-65535, the lower port first")
    return ports


def parse_place(value: object) -> Address:
    return Address.of(*parse_address(value))


Listeners = Annotated[
    tuple[Annotated[Address, PlainValidator(parse_listen)], ...],
    BeforeValidator(as_list),
    AfterValidator(flatten),
]
Addresses = Annotated[tuple[Annotated[IPAddress, PlainValidator(parse_ip)], ...], BeforeValidator(as_list)]
Externals = Annotated[
    tuple[Annotated[External, PlainValidator(parse_external)], ...], BeforeValidator(as_list)
]

MoreRelays = Annotated[tuple[MoreRelay, ...], BeforeValidator(as_relays)]
Servers = Annotated[tuple[Annotated[HostPort, PlainValidator(parse_server)], ...], BeforeValidator(as_list)]


def is_public(value: External | Address | IPAddress) -> bool:
    """Whether strangers can reach this address; an external one that is not known yet counts as public."""
    if isinstance(value, External):
        return value.public is None or value.public.is_global
    return ip_address(value.host).is_global if isinstance(value, Address) else value.is_global


def check_characters(text: str, what: str) -> None:
    """Raises ValueError for a text that some clients refuse to use (RFC 8489 §14.9, §9.2.2)."""
    try:
        if not is_plain(text):
            sasl_prepared(text)
    except ValueError as wrong:
        raise ValueError(f"{what} contains {wrong}; plain letters and digits always work") from None


def check_spellings(users: dict[str, T]) -> dict[str, T]:
    """Raises ValueError for two names that are one and the same for some clients (RFC 8489 §14.3)."""
    found: dict[str, str] = {}
    for name in users:
        for (text,) in forms(name):
            if found.setdefault(text, name) != name:
                raise ValueError(f"{found[text]!r} and {name!r} are one name for some clients; change one")
    return users


def check_secret(secret: str) -> None:
    """Raises ValueError for a secret that is short or was copied from a manual."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"the secret is shorter than {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
        )
    if secret.lower().startswith(PLACEHOLDERS):
        raise ValueError(
            "the secret looks like an example from a manual; make one with: openssl rand -hex 32"
        )
