"""The section `server:`, the web server: every key, its default and its description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo, field_validator

from host.settings import (
    AT_START,
    Count,
    HostPort,
    IPNetwork,
    Networks,
    Section,
    as_list,
    check_different,
    parse_address,
)
from server.config.ice_api import IceApi

WIDEST_PROXIES = 7  # bits of fc00::/7: a wider network would contain strangers


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
    ice_api: IceApi = IceApi()

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
