"""The `turn:` section: every key of the relay, its default and one sentence for the manual."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    PlainValidator,
    SecretStr,
    Strict,
    ValidationInfo,
    field_validator,
)

from host.settings import AT_START, Count, IPNetwork, Networks, Section, Switch
from turn.config.limits import RelayLimits
from turn.config.values import (
    Addresses,
    External,
    Externals,
    Hosts,
    Listeners,
    Ports,
    Servers,
    check_characters,
    check_secret,
    is_public,
    parse_host,
    parse_place,
    parse_ports,
)
from turn.flows import Address


class Turn(Section):
    """The STUN/TURN relay: carries packets for browsers that cannot reach each other."""

    host: Annotated[str, PlainValidator(parse_host)] = Field(
        "",
        description="Name or address that browsers reach the relay by. Empty: the host of site.url, else the "
        "first address in turn.listen.",
    )
    more_hosts: Hosts = Field(
        (),
        description="Further relays that browsers are told of, on machines of their own, with the same ports "
        "and the same secret. The relay itself has no use for it.",
        examples=[["turn2.example.org"]],
    )
    relay_ports: Annotated[Ports, PlainValidator(parse_ports)] = Field(
        "49152-65535", description="UDP ports for relayed addresses, first and last."
    )  # type: ignore[assignment]  # the default is written as the file writes it
    listen: Listeners = Field(
        ("0.0.0.0:3478", "[::]:3478"),  # type: ignore[arg-type]  # as above
        min_length=1,
        description="Addresses that clients reach the relay at: udp://, tcp:// or tls:// before "
        "ADDRESS:PORT, or nothing for both UDP and TCP.",
        json_schema_extra=AT_START,
    )
    certificate: Path | None = Field(
        None,
        description="PEM file that tls:// listeners show: the certificate and what leads to its issuer. Read "
        "anew at each reload; calls go on.",
        examples=["/etc/calln/fullchain.pem"],
    )
    key: Path | None = Field(
        None,
        description="PEM file with the certificate's private key, without a password.",
        examples=["/etc/calln/privkey.pem"],
    )
    detect_tls: Switch = Field(
        False,
        description="Speak TLS at tcp:// listeners too, to who begins with it; needs a certificate.",
        json_schema_extra=AT_START,
    )
    proxies: Networks = Field(
        (),
        description="Networks of load balancers before the relay. What comes from there must begin with a "
        "PROXY header of version 2 (over UDP each datagram, or the first from a port), and the client that "
        "it names is believed.",
        examples=[["10.0.0.4/32"]],
        json_schema_extra=AT_START,
    )
    relay_addresses: Addresses = Field(
        (),
        description="Local addresses to relay from. Empty: the one that the client reached.",
        examples=[["192.0.2.7", "2001:db8::7"]],
    )
    external_ip: Externals = Field(
        (),
        description="Public address where NAT stands in front of the relay, or PUBLIC/LOCAL pairs. With "
        "auto: what the interfaces have or, if that is private, what turn.stun_servers see.",
        examples=[["203.0.113.5/10.0.0.5"]],
    )
    stun_servers: Servers = Field(
        (),
        description="Other people's STUN servers that may be asked how this machine looks from outside, at "
        "the start (auto in external_ip) and by calln doctor. Nobody else is asked.",
        examples=[["stun.example.org:3478"]],
    )
    realm: Annotated[str, Field(min_length=1, max_length=127)] = Field(
        "call",
        description="Realm of the long-term credentials. A longer one makes replies to strangers larger.",
        json_schema_extra=AT_START,
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that time-limited credentials are made with, 16 bytes or more. Better in "
        "secret_file or the environment (CALLN_TURN_SECRET). Without one: made once, kept in site.state_dir.",
    )
    secret_file: Path | None = Field(
        None,
        description="File that holds the secret, or several, one a line, while it changes: the first makes "
        "credentials, the relay accepts all. Readable by its owner and group only.",
        examples=["/etc/calln/turn.secret"],
    )
    credential_seconds: Annotated[int, Strict(), Field(ge=30, le=86400)] = Field(
        600, description="How long a minted credential can open allocations; running ones go on."
    )
    strict_expiry: Switch = Field(
        False,
        description="A running allocation, too, is renewed only as long as its credential lasts: a call "
        "longer than credential_seconds is cut off.",
    )
    icmp_to_all: Switch = Field(
        False,
        description="Tell every client what ICMP says of its peers, not only those that use DONT-FRAGMENT, "
        "two address families or SHA-256: clients made with pion break off when they hear it.",
    )
    users: dict[str, SecretStr] = Field(
        {},
        description="Static users for clients other than our page: name and password.",
        examples=[{"alice": "a long password"}],
    )
    sha256: Switch = Field(
        False,
        description="Offer passwords and signatures with SHA-256 (RFC 8489). Replies to strangers grow from "
        "56 to 84 bytes.",
        json_schema_extra=AT_START,
    )
    behaviour_discovery: Switch = Field(
        False,
        description="Tell clients how the NAT before them behaves (RFC 5780); needs two addresses and two "
        "ports in turn.listen. Replies to strangers grow to 2.8 times what was asked, 4.6 over IPv6.",
    )
    classic_stun: Switch = Field(
        False,
        description="Answer clients of RFC 3489, which send no cookie: 2.8 times what was asked.",
    )
    allow_peers: Networks = Field(
        (),
        description="Private networks that may be relayed to. Every visitor can reach them then.",
        examples=[["10.1.0.0/16"]],
    )
    deny_peers: Networks = Field(
        (),
        description="Networks never relayed to, beside the built-in table of private and special ones.",
        examples=[["198.18.0.0/15"]],
    )
    allow_loopback_peers: Switch = Field(
        False, description="Relay to 127.0.0.0/8 and ::1 as well: for tests on one machine only."
    )
    drain_seconds: Count = Field(
        600,
        description="How long running allocations may go on after SIGTERM before the relay ends them.",
    )
    alternate_server: Annotated[Address, PlainValidator(parse_place)] | None = Field(
        None,
        description="Relay that new clients are sent to while this one ends. Without it they are refused.",
        examples=["203.0.113.9:3478"],
    )
    metrics_listen: Annotated[Address, PlainValidator(parse_place)] | None = Field(
        None,
        description="Address for the relay's /metrics and /readyz beside the Unix socket in site.state_dir.",
        examples=["127.0.0.1:9642"],
        json_schema_extra=AT_START,
    )
    encrypted_only: Literal["off", "observe", "compat", "enforce"] = Field(
        "enforce",
        description="Forward only what shows itself to be encrypted. enforce wants to see each call's "
        "handshake, unless our own server vouches for the call; compat lets every call come here in its "
        "middle that looks encrypted; observe counts and drops nothing; off does not look.",
    )
    engine: Literal["auto", "portable", "kernel"] = Field(
        "portable",
        description="What moves the packets. Only portable is available yet.",
        json_schema_extra=AT_START,
    )
    workers: Annotated[int, Strict(), Field(ge=1, le=64)] = Field(
        1,
        description="Processes that share the clients, at most one for each core. They share all limits but "
        "wrong_passwords, which each counts for itself; the death of one ends its own calls only. With more "
        "than one nobody gets a pair of ports (EVEN-PORT with its reservation).",
        json_schema_extra=AT_START,
    )
    limits: RelayLimits = RelayLimits()

    @field_validator("listen")
    @classmethod
    def keep_out_of_relay_ports(
        cls, listen: tuple[Address, ...], info: ValidationInfo
    ) -> tuple[Address, ...]:
        ports: Ports | None = info.data.get("relay_ports")
        for address in listen:
            if ports and ports.low <= address.port <= ports.high:
                raise ValueError(
                    f"port {address.port} lies within turn.relay_ports ({ports.low}-{ports.high})"
                )
        if len(set(listen)) != len(listen):
            raise ValueError("one address stands here twice")
        return listen

    @field_validator("certificate")
    @classmethod
    def need_a_certificate(cls, certificate: Path | None, info: ValidationInfo) -> Path | None:
        if certificate is None and any(here.transport == "tls" for here in info.data.get("listen", ())):
            raise ValueError("tls:// in turn.listen needs one; name the PEM files in certificate and key")
        return certificate

    @field_validator("key")
    @classmethod
    def need_both(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("certificate", key) is None):
            raise ValueError("certificate and key belong together; name both or none")
        return key

    @field_validator("detect_tls")
    @classmethod
    def need_something_to_show(cls, detect: bool, info: ValidationInfo) -> bool:
        if detect and info.data.get("certificate", True) is None:
            raise ValueError("TLS needs a certificate; name the PEM files in certificate and key")
        return detect

    @field_validator("proxies")
    @classmethod
    def refuse_everybody(cls, proxies: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
        if any(network.prefixlen == 0 for network in proxies):
            raise ValueError("everybody could name any client then; write the addresses of the proxies")
        return proxies

    @field_validator("external_ip")
    @classmethod
    def one_public_each(cls, pairs: tuple[External, ...]) -> tuple[External, ...]:
        """Of two for the same local address, one would silently lose."""
        locals_ = [(pair.public and pair.public.version, pair.local) for pair in pairs]
        if len(set(locals_)) != len(locals_):
            raise ValueError(
                "two public addresses stand for one local; write PUBLIC/LOCAL with one local each"
            )
        return pairs

    @field_validator("secret")
    @classmethod
    def refuse_weak_secret(cls, secret: SecretStr) -> SecretStr:
        if secret.get_secret_value():
            check_secret(secret.get_secret_value())
        return secret

    @field_validator("secret_file")
    @classmethod
    def refuse_two_secrets(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        secret: SecretStr | None = info.data.get("secret")
        if path is not None and secret is not None and secret.get_secret_value():
            raise ValueError("not together with turn.secret: only one of them would be used; leave one out")
        return path

    @field_validator("allow_loopback_peers")
    @classmethod
    def refuse_loopback_in_public(cls, allowed: bool, info: ValidationInfo) -> bool:
        for key in ("external_ip", "listen", "relay_addresses") if allowed else ():
            if any(map(is_public, info.data.get(key, ()))):
                raise ValueError(f"not together with a public turn.{key}: strangers would reach this machine")
        return allowed

    @field_validator("users")
    @classmethod
    def refuse_odd_names(cls, users: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, password in users.items():
            if not 1 <= len(name.encode()) <= 508 or not name.isprintable():
                raise ValueError("a user's name has 1 to 508 bytes, all printable")
            if len(password.get_secret_value()) < 8:
                raise ValueError(f"the password of {name!r} is shorter than 8 characters")
            check_characters(password.get_secret_value(), f"the password of {name!r}")
        return users

    @field_validator("realm")
    @classmethod
    def refuse_odd_realm(cls, realm: str) -> str:
        check_characters(realm, "the realm")
        return realm

    @field_validator("engine")
    @classmethod
    def only_portable(cls, engine: str) -> str:
        if engine != "portable":
            raise ValueError(f"{engine} is not available yet; write portable")
        return engine
