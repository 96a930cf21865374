"""The `turn:` section: every key of the relay, its default and its description."""

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

from host.countries import Countries
from host.settings import AT_START, Count, IPNetwork, Networks, Section, Switch, check_different
from turn.config.limits import RelayLimits
from turn.config.values import (
    Addresses,
    External,
    Externals,
    Listeners,
    MoreRelay,
    MoreRelays,
    Ports,
    Servers,
    check_characters,
    check_secret,
    check_spellings,
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
        description="Host name or IP address under which browsers reach the relay. Empty: the host of "
        "site.url, or without site.url the first address in turn.listen.",
    )
    countries: Countries = Field(
        (),
        description="Countries that the relay at turn.host is near to, as two letters each. Their visitors "
        "get it before others. Only the server reads this key, and it needs geo.database.",
        examples=[["de", "at", "ch"]],
    )
    more_hosts: MoreRelays = Field(
        (),
        description="More relays that browsers may use. They run on other machines, with the same ports and "
        "the same secret. Write the name of each, or host and countries, as above for turn.host. A browser "
        "gets two relays: those near to its country come first, then those without countries, and none that "
        "does not answer. Only the server reads this key; it tells each of them which calls it has checked, "
        "and who is banned.",
        examples=[["turn2.example.org", {"host": "turn3.example.org", "countries": ["us", "ca"]}]],
    )
    relay_ports: Annotated[Ports, PlainValidator(parse_ports)] = Field(
        "49152-65535", description="Range of UDP ports for relayed addresses."
    )  # type: ignore[assignment]  # the default is written as the file writes it
    listen: Listeners = Field(
        ("0.0.0.0:3478", "[::]:3478"),  # type: ignore[arg-type]  # as above
        min_length=1,
        description="Addresses that the relay listens at. ADDRESS:PORT means both UDP and TCP. To choose "
        "one, put udp://, tcp:// or tls:// in front.",
        json_schema_extra=AT_START,
    )
    certificate: Path | None = Field(
        None,
        description="PEM file for tls:// in turn.listen: the certificate, then the intermediate "
        "certificates. It is read again at each reload; calls go on.",
        examples=["/etc/calln/fullchain.pem"],
    )
    key: Path | None = Field(
        None,
        description="PEM file with the private key of the certificate, without a passphrase.",
        examples=["/etc/calln/privkey.pem"],
    )
    detect_tls: Switch = Field(
        False,
        description="Accept TLS at tcp:// listeners, too: the first bytes of a client decide. This needs a "
        "certificate.",
        json_schema_extra=AT_START,
    )
    proxies: Networks = Field(
        (),
        description="Networks of load balancers in front of the relay. Every connection from there must "
        "begin with a PROXY header of version 2; over UDP each datagram, or the first datagram from a port. "
        "The relay believes the client address in that header.",
        examples=[["10.0.0.4/32"]],
        json_schema_extra=AT_START,
    )
    relay_addresses: Addresses = Field(
        (),
        description="Local addresses that are used as relayed addresses. Empty: the address that the client "
        "sent its request to.",
        examples=[["192.0.2.7", "2001:db8::7"]],
    )
    external_ip: Externals = Field(
        (),
        description="Public address of the relay if it is behind NAT. With several local addresses: "
        "PUBLIC/LOCAL pairs. auto: the address of the network interface, or, if that is private, the address "
        "that turn.stun_servers see. It is looked for again when this machine's addresses change. Until it "
        "is found, nobody gets a relayed address.",
        examples=[["203.0.113.5/10.0.0.5"]],
    )
    stun_servers: Servers = Field(
        (),
        description="STUN servers of other people. They are asked for the public address of this machine: by "
        "calln doctor, and, if external_ip is auto, at the start, when addresses change, and every five "
        "minutes. No other server is ever asked.",
        examples=[["stun.example.org:3478"]],
    )
    realm: Annotated[str, Field(min_length=1, max_length=127)] = Field(
        "call",
        description="Realm of the TURN credentials. A longer realm makes the replies to unknown clients "
        "larger.",
        json_schema_extra=AT_START,
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that server and relay share, at least 16 bytes: it signs the credentials of "
        "visitors. It is safer in secret_file or in the environment variable CALLN_TURN_SECRET. Without any "
        "of them a secret is generated once and kept in site.state_dir.",
    )
    secret_file: Path | None = Field(
        None,
        description="File with the secret. To change the secret, write several lines: new credentials use "
        "the first line, and the relay accepts all lines. Other users must not be able to read the file.",
        examples=["/etc/calln/turn.secret"],
    )
    credential_seconds: Annotated[int, Strict(), Field(ge=30, le=86400)] = Field(
        600,
        description="How long a visitor's credential can be used to start a call, in seconds. Running calls "
        "go on.",
    )
    strict_expiry: Switch = Field(
        False,
        description="End also running calls when their credential ends: no call can be longer than "
        "credential_seconds.",
    )
    icmp_to_all: Switch = Field(
        False,
        description="Tell every client about ICMP errors of its peers. Otherwise only clients hear them that "
        "use DONT-FRAGMENT, two address families or SHA-256: clients made with pion end the call when they "
        "get such a message.",
    )
    users: dict[str, SecretStr] = Field(
        {},
        description="Fixed users for other clients than our page: name and password.",
        examples=[{"alice": "a long password"}],
    )
    sha256: Switch = Field(
        False,
        description="Offer SHA-256 for passwords and signatures (RFC 8489). Replies to unknown clients grow "
        "from 56 to 84 bytes.",
        json_schema_extra=AT_START,
    )
    behaviour_discovery: Switch = Field(
        False,
        description="Let clients find out what kind of NAT they are behind (RFC 5780). This needs two "
        "addresses and two ports in turn.listen. A reply to an unknown client is then 2.8 times as large as "
        "the request, 4.6 times over IPv6.",
    )
    classic_stun: Switch = Field(
        False,
        description="Answer old clients of RFC 3489, which send no magic cookie. A reply is then 2.8 times "
        "as large as the request.",
    )
    allow_peers: Networks = Field(
        (),
        description="Private networks that the relay may send to. Every visitor can then reach all machines "
        "in them.",
        examples=[["10.1.0.0/16"]],
    )
    deny_peers: Networks = Field(
        (),
        description="More networks that the relay must not send to. Private and special networks are refused "
        "anyway.",
        examples=[["198.18.0.0/15"]],
    )
    allow_loopback_peers: Switch = Field(
        False, description="Let the relay send to 127.0.0.0/8 and ::1. Only for tests on one machine."
    )
    drain_seconds: Count = Field(
        600,
        description="How long running calls may go on after SIGTERM, in seconds. Then the relay ends them.",
    )
    alternate_server: Annotated[Address, PlainValidator(parse_place)] | None = Field(
        None,
        description="Relay that new clients are sent to while this relay waits for its last calls. Without "
        "it, new clients get an error.",
        examples=["203.0.113.9:3478"],
    )
    metrics_listen: Annotated[Address, PlainValidator(parse_place)] | None = Field(
        None,
        description="Address for /metrics and /readyz of the relay. The Unix socket in site.state_dir has "
        "them anyway.",
        examples=["127.0.0.1:9642"],
        json_schema_extra=AT_START,
    )
    encrypted_only: Literal["off", "observe", "compat", "enforce"] = Field(
        "enforce",
        description="Whether the relay forwards encrypted calls only. enforce: the relay must see the DTLS "
        "handshake of each call, except for calls of which our own server has checked both ends. compat: a "
        "call whose handshake took another way is forwarded, too, if it looks encrypted. observe: only count "
        "what enforce would drop. off: do not check.",
    )
    engine: Literal["auto", "portable", "kernel"] = Field(
        "auto",
        description="The part that moves the packets. portable: this process, with sockets, on any machine. "
        "kernel: a program of ours in the kernel carries calls by UDP, and portable the rest; such packets "
        "pass no firewall rules of this machine. It needs Linux 6.1, libbpf, and root or what make deploy "
        "puts beside the relay. auto: kernel where that works, else portable.",
        json_schema_extra=AT_START,
    )
    workers: Annotated[int, Strict(), Field(ge=1, le=64)] = Field(
        1,
        description="Number of processes of the relay, at most one for each CPU core. Limits count for all "
        "of them together, except wrong_passwords, which each process counts alone. If one process dies, "
        "only its own calls end. With more than one process no client can reserve a pair of ports "
        "(EVEN-PORT).",
        json_schema_extra=AT_START,
    )
    limits: RelayLimits = RelayLimits()

    @field_validator("more_hosts")
    @classmethod
    def refuse_repeated_relays(
        cls, relays: tuple[MoreRelay, ...], info: ValidationInfo
    ) -> tuple[MoreRelay, ...]:
        """Each host is one of the few that a browser gets."""
        hosts = [info.data.get("host") or "", *(relay.host for relay in relays)]
        for host in hosts:
            if hosts.count(host) > 1:
                raise ValueError(f"{host} is here twice, or is turn.host, too; write each relay once")
        return relays

    @field_validator("listen")
    @classmethod
    def keep_out_of_relay_ports(
        cls, listen: tuple[Address, ...], info: ValidationInfo
    ) -> tuple[Address, ...]:
        ports: Ports | None = info.data.get("relay_ports")
        for address in listen:
            if ports and ports.low <= address.port <= ports.high:
                raise ValueError(
                    f"port {address.port} is inside turn.relay_ports ({ports.low}-{ports.high}); choose "
                    "another port or range"
                )
        return check_different(listen)

    @field_validator("certificate")
    @classmethod
    def need_a_certificate(cls, certificate: Path | None, info: ValidationInfo) -> Path | None:
        if certificate is None and any(here.transport == "tls" for here in info.data.get("listen", ())):
            raise ValueError(
                "tls:// in turn.listen needs a certificate: set turn.certificate and turn.key to its PEM "
                "files"
            )
        return certificate

    @field_validator("key")
    @classmethod
    def need_both(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("certificate", key) is None):
            raise ValueError("certificate and key belong together: write both or none")
        return key

    @field_validator("detect_tls")
    @classmethod
    def need_something_to_show(cls, detect: bool, info: ValidationInfo) -> bool:
        if detect and info.data.get("certificate", True) is None:
            raise ValueError("TLS needs a certificate: set turn.certificate and turn.key to its PEM files")
        return detect

    @field_validator("proxies")
    @classmethod
    def refuse_everybody(cls, proxies: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
        if any(network.prefixlen == 0 for network in proxies):
            raise ValueError(
                "this network is the whole Internet, so anyone could pretend to be a proxy; write only the "
                "addresses of yours"
            )
        return proxies

    @field_validator("external_ip")
    @classmethod
    def one_public_each(cls, pairs: tuple[External, ...]) -> tuple[External, ...]:
        """Of two for the same local address, one would silently lose."""
        locals_ = [(pair.public and pair.public.version, pair.local) for pair in pairs]
        if len(set(locals_)) != len(locals_):
            raise ValueError(
                "two public addresses have the same local address; write PUBLIC/LOCAL with another local "
                "address for each"
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
            raise ValueError("turn.secret is set, too; remove one of the two")
        return path

    @field_validator("allow_loopback_peers")
    @classmethod
    def refuse_loopback_in_public(cls, allowed: bool, info: ValidationInfo) -> bool:
        for key in ("external_ip", "listen", "relay_addresses") if allowed else ():
            if any(map(is_public, info.data.get(key, ()))):
                raise ValueError(
                    f"not allowed with a public turn.{key}: strangers could reach the local ports of this "
                    "machine"
                )
        return allowed

    @field_validator("users")
    @classmethod
    def refuse_odd_names(cls, users: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, password in users.items():
            if not name.isprintable() or not 1 <= len(name.encode()) <= 508:
                raise ValueError("a user's name has 1 to 508 bytes, all printable")
            if len(password.get_secret_value()) < 8:
                raise ValueError(f"the password of {name!r} is shorter than 8 characters")
            check_characters(password.get_secret_value(), f"the password of {name!r}")
        return check_spellings(users)

    @field_validator("realm")
    @classmethod
    def refuse_odd_realm(cls, realm: str) -> str:
        check_characters(realm, "the realm")
        return realm
