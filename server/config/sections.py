"""The `site:`, `server:` and `geo:` sections: every key, its default and its description."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo, field_validator

from host.settings import (
    AT_START,
    Count,
    HostPort,
    IPNetwork,
    Networks,
    Section,
    Switch,
    as_list,
    check_different,
    parse_address,
)
from server.languages.known import known

AN_ORIGIN = "write an address such as https://call.example.org, with nothing after the host name"
# The last label is no number: browsers read 1.2 as an address.
HOST_NAME = re.compile(r"(?!(.*\.)?[0-9]+$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# What urlsplit accepts although no browser sends it as Origin or Host -> what to write instead.
ODD_IN_ORIGINS = (
    (r"[^\x00-\x7f]", "browsers send this host in ASCII; write it as xn--…"),
    (r"[\x00-\x20\x7f\\]", AN_ORIGIN),
    (r"@", "remove user and password; visitors would see them"),
    (r"[?#]", AN_ORIGIN),
    (r"\*", "a * is not allowed; write each address on its own"),
    (r"\.(:[0-9]*)?/?$", "remove the dot after the host name"),
)
WIDEST_PROXIES = 7  # bits of fc00::/7: a wider network would contain strangers


def parse_origin(value: object) -> str:
    """An origin in its canonical form: scheme, host, and port unless it is the scheme's default."""
    text = str(value)
    for pattern, sentence in ODD_IN_ORIGINS:
        if re.search(pattern, text):
            raise ValueError(sentence)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.port == 0:
        raise ValueError(AN_ORIGIN)
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host_of(parts.hostname or '')}{port}"


def host_of(name: str) -> str:
    """A host as browsers write it. Raises ValueError for another form, or what they cannot reach."""
    if HOST_NAME.fullmatch(name):
        return name
    try:
        address = ip_address(name)
    except ValueError:
        raise ValueError(AN_ORIGIN) from None
    if "%" in name:
        raise ValueError(AN_ORIGIN)
    return f"[{address}]" if address.version == 6 else str(address)


def parse_link(value: object) -> str:
    if not str(value).startswith(("https://", "http://", "/", "mailto:")):
        raise ValueError("write an address that begins with https://, mailto: or /")
    return str(value)


def parse_colour(value: object) -> str:
    """In small letters. YAML takes an unquoted # for the beginning of a comment, which leaves nothing."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", str(value)):
        raise ValueError('write a colour such as "#2c6e63", in quotes')
    return str(value).lower()


Origin = Annotated[str, PlainValidator(parse_origin)]


class Site(Section):
    """What visitors see of the service, and the folder for what must survive a restart."""

    name: Annotated[str, Field(min_length=1, max_length=60)] = Field(
        "Calln", description="Name that the page shows.", json_schema_extra=AT_START
    )
    url: Origin | None = Field(
        None,
        description="Address that visitors open. Without it: only 127.0.0.1, localhost and [::1], at the "
        "ports in server.listen.",
        examples=["https://call.example.org"],
        json_schema_extra=AT_START,
    )
    more_urls: Annotated[tuple[Origin, ...], BeforeValidator(as_list)] = Field(
        (),
        description="More addresses that visitors may open.",
        examples=[["https://www.example.org"]],
        json_schema_extra=AT_START,
    )
    matching: Literal["random", "link", "both"] = Field(
        "both",
        description="How visitors meet: random: anybody who waits; link: only by a link that one sends to "
        "the other; both.",
        json_schema_extra=AT_START,
    )
    links: dict[str, Annotated[str, PlainValidator(parse_link)]] = Field(
        {},
        description="Links at the bottom of the page: text and address.",
        examples=[{"Imprint": "https://example.org/imprint"}],
        json_schema_extra=AT_START,
    )
    languages: Annotated[tuple[str, ...], BeforeValidator(as_list)] = Field(
        (),
        description="Languages of the page. A browser that asks for none of them gets the first one. Empty: "
        "all that there are, English first.",
        examples=[["de", "en"]],
        json_schema_extra=AT_START,
    )
    heading: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        None,
        description="The heading above Start, in place of ours, which is in the language of the visitor.",
        examples=["Talk with somebody from the club"],
        json_schema_extra=AT_START,
    )
    colour: Annotated[str, PlainValidator(parse_colour)] = Field(
        "#2c6e63",
        description="The colour of buttons and links. Where it could not be read, it is made darker, or on "
        "dark pages lighter.",
        json_schema_extra=AT_START,
    )
    logo: str | None = Field(
        None,
        description="An SVG or PNG file of up to 32 KiB, beside the name and as the icon of the page.",
        examples=["/etc/calln/logo.svg"],
        json_schema_extra=AT_START,
    )
    rules_file: Path | None = Field(
        None,
        description="File with rules, which everybody accepts once before the first call, and again when "
        "they change. Lines that begin with # are headings, with - rows of a list.",
        examples=["/etc/calln/rules.txt"],
        json_schema_extra=AT_START,
    )
    rules: str = Field(
        "",
        description="The same rules in this file, in place of rules_file.",
        json_schema_extra=AT_START,
    )
    adult: Switch = Field(
        False,
        description="Ask visitors to say, once before the first call, that they are of age.",
        json_schema_extra=AT_START,
    )
    password_file: Path | None = Field(
        None,
        description="File with a password of one line. Visitors must enter it before they see the page and "
        "can call. It is read again at SIGHUP: then everybody must enter the new password; running calls go "
        "on. Without it everybody can call.",
        examples=["/etc/calln/site.password"],
    )
    state_dir: Path = Field(
        Path(".state"),
        description="Folder for the ban list, the call log and generated secrets.",
        json_schema_extra=AT_START,
    )

    @field_validator("languages")
    @classmethod
    def check_languages(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [code for code in codes if code not in known()]:
            raise ValueError(f"there is no {unknown[0]}; there are {', '.join(known())}")
        return tuple(dict.fromkeys(codes))

    @field_validator("rules")
    @classmethod
    def refuse_rules_twice(cls, rules: str, info: ValidationInfo) -> str:
        if rules and info.data.get("rules_file"):
            raise ValueError("keep either site.rules or site.rules_file")
        return rules


class Server(Section):
    """The web server: page, matching and signalling."""

    listen: Annotated[
        tuple[Annotated[HostPort, PlainValidator(parse_address)], ...],
        BeforeValidator(as_list),
        Field(min_length=1),
    ] = Field(
        ("127.0.0.1:8080",),  # type: ignore[arg-type]  # the default is written as the file writes it
        description="Addresses for HTTP. With tls_listen, HTTP only redirects to HTTPS.",
        json_schema_extra=AT_START,
    )
    tls_listen: Annotated[
        tuple[Annotated[HostPort, PlainValidator(parse_address)], ...], BeforeValidator(as_list)
    ] = Field(
        (),
        description="Addresses for HTTPS. TURN over TLS works here, too: it is passed on to the relay on "
        "this machine. Empty: a proxy in front does TLS.",
        examples=[["0.0.0.0:443", "[::]:443"]],
        json_schema_extra=AT_START,
    )
    certificate: Path | None = Field(
        None,
        description="PEM file for tls_listen: the certificate, then the intermediate certificates. It is "
        "read again at SIGHUP; calls go on. While this file does not exist, tls_listen answers nobody.",
        examples=["/etc/calln/fullchain.pem"],
    )
    key: Path | None = Field(
        None,
        description="PEM file with the private key of the certificate, without a passphrase.",
        examples=["/etc/calln/privkey.pem"],
    )
    acme_dir: Path | None = Field(
        None,
        description="Folder for certbot's --webroot-path: its .well-known/acme-challenge is served over "
        "HTTP.",
        examples=["/var/lib/calln/acme"],
        json_schema_extra=AT_START,
    )
    trusted_proxies: Networks = Field(
        (),
        description="Reverse proxies in front of the server. Their X-Forwarded-For header is believed.",
        examples=[["127.0.0.1/32"]],
        json_schema_extra=AT_START,
    )
    metrics_listen: Annotated[HostPort, PlainValidator(parse_address)] | None = Field(
        None,
        description="Address for /metrics and /readyz. The Unix socket in site.state_dir has them anyway.",
        examples=["127.0.0.1:9641"],
        json_schema_extra=AT_START,
    )
    drain_seconds: Count = Field(
        600,
        description="How long running calls may go on after SIGTERM, in seconds. Then the server ends them.",
        json_schema_extra=AT_START,
    )
    rematch_seconds: Count = Field(
        300,
        description="How long two visitors look for somebody else before they meet again after their call, "
        "in seconds. Where nobody else is there, they may meet earlier.",
        json_schema_extra=AT_START,
    )
    call_log_days: Annotated[int, Strict(), Field(ge=0, le=7)] = Field(
        7,
        description="How many days the call log keeps its rows: that there was a call, and how long it was. "
        "Calls that were never connected, or shorter than 3 seconds, have no row. 0: no call log.",
        json_schema_extra=AT_START,
    )
    connections_per_address: Count = Field(
        256,
        description="TCP connections of one address, whatever they are for, so that nobody can use up the "
        "files that this process may open. A whole office may share one address. A /64 of IPv6 counts as one "
        "address, and all of a /48 may have twice as many; networks in turn.limits.trusted have no limit. 0 "
        "means no limit.",
        json_schema_extra=AT_START,
    )
    visitors_per_address: Count = Field(
        64,
        description="Open pages of one address, counted in the same way, so that nobody can take all places. "
        "Behind trusted_proxies, the address in X-Forwarded-For counts. 0 means no limit.",
        json_schema_extra=AT_START,
    )
    new_visitors_per_minute: Count = Field(
        60,
        description="New visitors from one address, counted in the same way, in a minute (burst: twice as "
        "many): each page that is opened is one. Each gets a credential for the relay, so nobody can have "
        "credentials without end. 0 means no limit.",
        json_schema_extra=AT_START,
    )
    visitors: Count = Field(
        5000,
        description="Open pages of all visitors. This limits memory. 0 means no limit.",
        json_schema_extra=AT_START,
    )

    @field_validator("certificate", "key")
    @classmethod
    def need_both(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None and info.data.get("tls_listen"):
            raise ValueError(
                "server.tls_listen needs a certificate: set server.certificate and server.key to its PEM "
                "files"
            )
        return path

    @field_validator("listen", "tls_listen")
    @classmethod
    def refuse_same_address_twice(cls, listen: tuple[HostPort, ...]) -> tuple[HostPort, ...]:
        return check_different(listen)

    @field_validator("trusted_proxies")
    @classmethod
    def refuse_everybody(cls, networks: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
        for network in networks:
            if network.prefixlen < WIDEST_PROXIES:
                raise ValueError(
                    f"{network}: this network is too large, so anyone could forge a visitor's address; write "
                    "only the addresses of your proxies"
                )
        return networks


class Geo(Section):
    """Countries of visitors, from a local file. Addresses of visitors are sent to nobody."""

    database: Path | None = Field(
        None,
        description="An MMDB file, or the folder with geoip and geoip6 of Debian's package tor-geoipdb. "
        "Without it countries are unknown, and visitors cannot choose one.",
        examples=["/usr/share/tor"],
        json_schema_extra=AT_START,
    )
