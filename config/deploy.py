"""The `deploy:` section: the machines that the service is put on, and how. Most follows from site.url."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo, field_validator

from host.settings import Networks, Section, Switch, as_list
from server.config.sections import HOST_NAME, host_of
from turn.policies import SPECIAL, Network

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
A_HOST = "write NAME, USER@NAME or USER@NAME:PORT, as for ssh"
DESTINATION = re.compile(
    r"(?:(?P<user>[a-z_][a-z0-9_-]*)@)?(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[^@\s/:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
SSH = 22
LOCAL = "local"  # no SSH at all
MAX_KEPT = 20  # releases: bounds the disk

Role = Literal["server", "turn"]


class Destination(NamedTuple):
    """Where SSH goes, and as whom."""

    user: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{host}" + (f":{self.port}" if self.port != SSH else "")


def parse_destination(value: object) -> Destination:
    """`[user@]host[:port]`; an IPv6 address in brackets; `local` is the machine that the command runs on."""
    if isinstance(value, Destination):
        return value
    found = DESTINATION.fullmatch(str(value).lower())
    if not found:
        raise ValueError(A_HOST)
    address, port = found["ipv6"] or found["name"], int(found["port"] or SSH)
    try:
        host_of(address)
    except ValueError:
        raise ValueError(A_HOST) from None
    if not 1 <= port <= 65535:
        raise ValueError("write a port from 1 to 65535")
    return Destination(found["user"] or "root", address, port)


def parse_name(value: object) -> str:
    if not HOST_NAME.fullmatch(str(value)):
        raise ValueError("write a name such as turn.example.org")
    return str(value)


def parse_url(value: object) -> str:
    if not re.fullmatch(r"https://[^\s/]+(/\S*)?", str(value)):
        raise ValueError("write an address that begins with https://")
    return str(value)


def parse_email(value: object) -> str:
    if value != "" and not re.fullmatch(r"[^@\s]+@[^@\s]+", str(value)):
        raise ValueError("write an address such as admin@example.org")
    return str(value)


def as_hosts(value: object) -> object:
    """A machine with both roles may be written as one word, and a list of one without the dash."""
    listed = as_list(value)
    if not isinstance(listed, list):
        return listed
    return [{"address": one} if isinstance(one, str) else one for one in listed]


class Host(Section):
    """One machine."""

    address: Annotated[Destination, PlainValidator(parse_destination)]
    name: Annotated[str, PlainValidator(parse_name)] | None = None
    roles: Annotated[tuple[Role, ...], BeforeValidator(as_list)] = Field(("server", "turn"), min_length=1)
    key: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is the machine that the command runs on."""
        return self.address.address == LOCAL


class Deploy(Section):
    """The machines that `calln deploy` puts all this on."""

    hosts: Annotated[tuple[Host, ...], BeforeValidator(as_hosts)] = Field(
        (),
        description="Machines with Debian 12 or 13, as ssh would reach them: NAME, USER@NAME:PORT, or local. "
        "A machine with a part of the service only, or reached by browsers under another name, is written as "
        "address, name, roles (server, turn) and key (the file of an SSH key). Empty: root at the host of "
        "site.url, with both roles.",
        examples=[
            [
                "root@call.example.org",
                {"address": "admin@203.0.113.9:2222", "name": "turn.example.org", "roles": ["turn"]},
            ]
        ],
    )
    tls: Literal["acme", "files", "internal"] = Field(
        "acme",
        description="Where certificates come from: with acme an authority that browsers trust, by certbot on "
        "the machine; with files from certificate and key below; with internal an authority of our own, for "
        "a closed network, whose root you hand out.",
    )
    acme_directory: Annotated[str, PlainValidator(parse_url)] = Field(
        LETS_ENCRYPT, description="Directory of the authority for acme. Its terms are agreed to."
    )
    email: Annotated[str, PlainValidator(parse_email)] = Field(
        "", description="Where the authority writes to when a certificate is about to end. May stay empty."
    )
    certificate: Path | None = Field(
        None,
        description="PEM file on this side: the certificate and what leads to its issuer, for the names of "
        "all machines.",
        examples=["fullchain.pem"],
    )
    key: Path | None = Field(
        None,
        description="PEM file on this side with the certificate's private key, without a password.",
        examples=["privkey.pem"],
    )
    firewall: Literal["none", "ufw", "nft"] = Field(
        "none",
        description="A firewall on the machines in which our ports are opened. none changes none; if one "
        "drops what comes in, calln deploy plan lists the ports.",
    )
    network: Literal["public", "private"] = Field(
        "public",
        description="Where callers are. With private in the networks below, which the relay may reach then; "
        "that needs another authority than the public one. Nobody's country is looked up.",
    )
    private_networks: Networks = Field(
        (),
        description="The networks of callers.",
        examples=[["10.0.0.0/8"]],
    )
    offline: Switch = Field(
        False,
        description="The machines reach no package mirror: nothing is installed but what we bring along.",
    )
    keep: Annotated[int, Strict(), Field(ge=1, le=MAX_KEPT)] = Field(
        3, description="Releases that stay on a machine to go back to, the running one among them."
    )

    @field_validator("hosts")
    @classmethod
    def refuse_repeated_hosts(cls, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        if len({host.address for host in hosts}) != len(hosts):
            raise ValueError("one machine stands here twice; give it both roles instead")
        for role in ("server", "turn") if hosts else ():
            if not any(role in host.roles for host in hosts):
                raise ValueError(f"no machine has the role {role}")
        return hosts

    @field_validator("certificate", "key")
    @classmethod
    def need_files(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None and info.data.get("tls") == "files":
            raise ValueError("tls: files needs it; name the PEM files in certificate and key")
        return path

    @field_validator("network")
    @classmethod
    def need_another_authority(cls, network: str, info: ValidationInfo) -> str:
        public = info.data.get("tls") == "acme" and info.data.get("acme_directory") == LETS_ENCRYPT
        if network == "private" and public:
            raise ValueError(
                "no public authority sees a private network; write tls: internal, or your own acme_directory"
            )
        return network

    @field_validator("private_networks")
    @classmethod
    def need_private_ones(cls, networks: Networks, info: ValidationInfo) -> Networks:
        if not networks and info.data.get("network") == "private":
            raise ValueError("name the networks of the callers, such as 10.0.0.0/8")
        for network in networks:
            if not any(Network.of(str(network)).first in one for one in SPECIAL):
                raise ValueError(f"{network} is public; the relay reaches it anyway")
        return networks

    @field_validator("offline")
    @classmethod
    def need_no_authority(cls, offline: bool, info: ValidationInfo) -> bool:
        if offline and info.data.get("tls") == "acme":
            raise ValueError("no authority can be asked then; write tls: files or tls: internal")
        return offline
