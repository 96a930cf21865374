"""The `deploy:` section: the machines that run Calln. Most of it follows from site.url."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo, field_validator

from host.countries import Countries
from host.settings import HostPort, Networks, Section, Switch, as_list, split_port
from server.config.addresses import HOST_NAME, host_of
from turn.policies import SPECIAL, Network

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
A_HOST = "write NAME, USER@NAME or USER@NAME:PORT, as you would for ssh"
DESTINATION = re.compile(
    r"(?:(?P<user>[a-z_][a-z0-9_-]*)@)?(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[^@\s/:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
COPY_TARGET = r"ssh://[a-z_][a-z0-9_-]*@([a-zA-Z0-9.-]+|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._-]+)+"
SSH = 22
LOCAL = "local"  # no SSH at all
MAX_BACKUPS = 366
MAX_DNS_SECONDS = 3_600
MAX_KEPT = 20  # releases; limits the use of the disk

Role = Literal["server", "turn"]
# Those for which Debian has a plugin of certbot.
Dns = Literal[
    "",
    "cloudflare",
    "digitalocean",
    "dnsimple",
    "gandi",
    "gehirn",
    "google",
    "linode",
    "ovh",
    "rfc2136",
    "route53",
    "sakuracloud",
]
KNOWN_BY_MACHINE = ("google", "route53")  # there a machine may have the right by itself


class Destination(NamedTuple):
    """User, host and port for SSH."""

    user: str
    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{host}" + (f":{self.port}" if self.port != SSH else "")


def parse_destination(value: object) -> Destination:
    """Read `[user@]host[:port]`; an IPv6 address stands in brackets; `local` means this machine."""
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
        raise ValueError("this is not a host name; write one such as turn.example.org")
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
    """A machine with both roles may be one word, and a list of one machine needs no dash."""
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
    countries: Countries = ()

    @field_validator("countries")
    @classmethod
    def need_a_relay(cls, countries: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if countries and "turn" not in info.data.get("roles", ("turn",)):
            raise ValueError("countries are for machines with the role turn; remove this key")
        return countries

    @property
    def is_local(self) -> bool:
        """Whether this is the machine that the command runs on."""
        return self.address.address == LOCAL


def parse_recipient(value: object) -> str:
    if value != "" and not re.fullmatch(r"age1[0-9a-z]{58}", str(value)):
        raise ValueError("write a public key of age, which begins with age1; age-keygen makes one")
    return str(value)


def parse_folder(value: object) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", str(value)) or ".." in str(value):
        raise ValueError("write the whole path of a folder, such as /var/backups/calln")
    return str(value)


def parse_copy_target(value: object) -> str:
    if value != "" and (not re.fullmatch(COPY_TARGET, str(value)) or ".." in str(value)):
        raise ValueError("write ssh://USER@HOST/FOLDER, such as ssh://backup@other.example.org/srv/calln")
    return str(value)


class Backup(Section):
    """The daily backups of each machine."""

    keep: Annotated[int, Strict(), Field(ge=0, le=MAX_BACKUPS)] = Field(
        0,
        description="Number of backups that each machine keeps. It makes one every day: configuration, "
        "secrets, certificates and bans. 0: none.",
        examples=[14],
    )
    folder: Annotated[str, PlainValidator(parse_folder)] = Field(
        "/var/backups/calln", description="Folder on the machine, readable by root alone."
    )
    age: Annotated[str, PlainValidator(parse_recipient)] = Field(
        "",
        description="Public key of age (age1...). Backups are encrypted to it, and the machine itself cannot "
        "read them. Empty: not encrypted.",
    )
    copy_to: Annotated[str, PlainValidator(parse_copy_target)] = Field(
        "",
        description="Folder on another machine, as ssh://USER@HOST/FOLDER, to which each backup is copied. "
        "As many stay there. Only encrypted ones are copied: it needs age.",
        examples=["ssh://backup@other.example.org/srv/calln"],
    )

    @field_validator("copy_to")
    @classmethod
    def check_copies(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("age"):
            raise ValueError("copies hold the secrets of the site: write a key into deploy.backup.age, too")
        return value


def parse_webhook(value: object) -> str:
    if value != "" and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", str(value)):
        raise ValueError("write an address that begins with https://")
    return str(value)


def parse_mail_server(value: object) -> HostPort | None:
    return value if isinstance(value, HostPort) or value is None else split_port(str(value), "HOST:PORT")


class Alert(Section):
    """Who is told when something on a machine is not well, and when it is well again."""

    mail: Annotated[str, PlainValidator(parse_email)] = Field(
        "", description="E-mail address.", examples=["admin@example.org"]
    )
    smtp: Annotated[HostPort | None, PlainValidator(parse_mail_server)] = Field(
        None,
        description="Mail server that takes the mails without a password, as HOST:PORT. Empty: the program "
        "sendmail of the machine.",
        examples=["mail.example.org:25"],
    )
    webhook: Annotated[str, PlainValidator(parse_webhook)] = Field(
        "",
        description="Address that gets a JSON object with the text, as Slack, Mattermost and others take it, "
        "such as https://chat.example.org/hooks/abc.",
    )


class Deploy(Section):
    """The machines that `calln deploy` installs Calln on."""

    hosts: Annotated[tuple[Host, ...], BeforeValidator(as_hosts)] = Field(
        (),
        description="Machines with Debian 12, 13 or Ubuntu 24.04, written as for ssh: NAME, USER@NAME or "
        "USER@NAME:PORT; local means this machine. Write address, name, roles and key for a machine with one "
        "role only, with another name for browsers, or with an SSH key of its own. Roles are server and "
        "turn; turn alone makes a relay for other programs. countries are those that a relay is near to, as "
        "in turn.more_hosts. Empty: root at the host of site.url, with both roles.",
        examples=[
            [
                "root@call.example.org",
                {
                    "address": "admin@203.0.113.9:2222",
                    "name": "turn.example.org",
                    "roles": ["turn"],
                    "countries": ["us", "ca"],
                },
            ]
        ],
    )
    tls: Literal["acme", "files", "internal"] = Field(
        "acme",
        description="Where the TLS certificates come from. acme: from Let's Encrypt, by certbot on the "
        "machine. files: from certificate and key below. internal: from a small certificate authority of "
        "your own, for a closed network; you must install its root certificate in all browsers.",
    )
    acme_directory: Annotated[str, PlainValidator(parse_url)] = Field(
        LETS_ENCRYPT,
        description="Address of the certificate authority for acme. By using it you accept its terms.",
    )
    acme_dns: Dns = Field(
        "",
        description="Who has the DNS of your names, if the authority shall look there and not at port 80: "
        "cloudflare, digitalocean, dnsimple, gandi, gehirn, google, linode, ovh, route53, sakuracloud, or "
        "rfc2136 for a DNS server of your own. Empty: port 80.",
        examples=["cloudflare"],
    )
    acme_dns_credentials: Path | None = Field(
        None,
        description="File on this computer with the right to change the DNS, as certbot's plugin for it "
        "wants it. Each machine gets a copy that only root can read.",
        examples=["dns.ini"],
    )
    acme_dns_seconds: Annotated[int, Strict(), Field(ge=0, le=MAX_DNS_SECONDS)] = Field(
        0,
        description="How long all DNS servers may take to know a change, in seconds. 0: as long as certbot's "
        "plugin waits by itself, 10 seconds to 2 minutes.",
    )
    acme_wildcard: Switch = Field(
        False,
        description="Get a certificate for *.example.org in place of call.example.org: the list of all "
        "certificates, which everybody can read, then does not show the name. This needs acme_dns.",
    )
    email: Annotated[str, PlainValidator(parse_email)] = Field(
        "",
        description="Your e-mail address for the certificate authority, which may warn you before a "
        "certificate ends. May be empty.",
    )
    certificate: Path | None = Field(
        None,
        description="For tls: files. PEM file on this computer: the certificate for the names of all "
        "machines, then the intermediate certificates.",
        examples=["fullchain.pem"],
    )
    key: Path | None = Field(
        None,
        description="For tls: files. PEM file on this computer with the private key, without a passphrase.",
        examples=["privkey.pem"],
    )
    firewall: Literal["none", "ufw", "nft"] = Field(
        "none",
        description="The firewall on the machines in which Calln's ports are opened. none: no firewall is "
        "changed; calln deploy plan then lists the ports that you must open.",
    )
    network: Literal["public", "private"] = Field(
        "public",
        description="Where the callers are. public: in the Internet. private: in private_networks below; the "
        "relay may then send to these networks, countries are not looked up, and the certificate cannot come "
        "from Let's Encrypt.",
    )
    private_networks: Networks = Field(
        (),
        description="The networks of the callers, for network: private.",
        examples=[["10.0.0.0/8"]],
    )
    offline: Switch = Field(
        False,
        description="The machines cannot reach a Debian mirror: only what calln deploy brings along is "
        "installed.",
    )
    restart_after_updates: Switch = Field(
        True,
        description="At night, start the services anew if an update of the system has replaced libraries "
        "that they run on, as after a security update of OpenSSL. Running calls go on.",
    )
    keep: Annotated[int, Strict(), Field(ge=1, le=MAX_KEPT)] = Field(
        3,
        description="Number of releases that stay on a machine, with the running one. You can go back to "
        "them.",
    )
    backup: Backup = Backup()
    alert: Alert = Alert()

    @property
    def answers_at_port_80(self) -> bool:
        """Whether an authority asks each machine there."""
        return self.tls == "acme" and not self.acme_dns

    @field_validator("hosts")
    @classmethod
    def refuse_repeated_hosts(cls, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
        if len({host.address for host in hosts}) != len(hosts):
            raise ValueError("the same machine is here twice; write it once, with both roles")
        if hosts and not any("turn" in host.roles for host in hosts):
            raise ValueError("no machine has the role turn; add it to one of them")
        if sum("server" in host.roles for host in hosts) > 1:
            raise ValueError(
                "two machines have the role server, and visitors of one would never meet those of the other; "
                "write roles: turn for all machines but one"
            )
        return hosts  # without a server, they are relays for other programs

    @field_validator("certificate", "key")
    @classmethod
    def need_files(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None and info.data.get("tls") == "files":
            raise ValueError("tls: files needs it: set deploy.certificate and deploy.key to the PEM files")
        return path

    @field_validator("acme_dns")
    @classmethod
    def need_an_authority(cls, dns: str, info: ValidationInfo) -> str:
        if dns and info.data.get("tls") != "acme":
            raise ValueError("only tls: acme asks an authority; remove acme_dns")
        return dns

    @field_validator("acme_dns_credentials")
    @classmethod
    def need_credentials(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        dns = info.data.get("acme_dns", "")
        if path and not dns:
            raise ValueError("write in acme_dns who has your DNS")
        if path and dns == "route53":
            raise ValueError(
                "route53 reads no such file; give the machine an IAM role that may change the zone"
            )
        if dns and path is None and dns not in KNOWN_BY_MACHINE:
            raise ValueError(
                f"acme_dns: {dns} needs it: set deploy.acme_dns_credentials to the file of certbot's plugin"
            )
        return path

    @field_validator("acme_wildcard")
    @classmethod
    def need_dns(cls, wildcard: bool, info: ValidationInfo) -> bool:
        if wildcard and not info.data.get("acme_dns"):
            raise ValueError("an authority gives such a certificate by the DNS only: set deploy.acme_dns")
        return wildcard

    @field_validator("network")
    @classmethod
    def need_another_authority(cls, network: str, info: ValidationInfo) -> str:
        public = info.data.get("tls") == "acme" and info.data.get("acme_directory") == LETS_ENCRYPT
        if network == "private" and public and not info.data.get("acme_dns"):
            raise ValueError(
                "Let's Encrypt cannot reach a private network; write tls: internal or tls: files, set "
                "acme_directory to your own authority, or acme_dns to prove your names by the DNS"
            )
        return network

    @field_validator("private_networks")
    @classmethod
    def need_private_ones(cls, networks: Networks, info: ValidationInfo) -> Networks:
        if not networks and info.data.get("network") == "private":
            raise ValueError("network: private needs the networks of the callers, such as 10.0.0.0/8")
        for network in networks:
            if not any(Network.of(str(network)).first in one for one in SPECIAL):
                raise ValueError(f"{network} is a public network; remove it, the relay may send there anyway")
        return networks

    @field_validator("offline")
    @classmethod
    def need_no_authority(cls, offline: bool, info: ValidationInfo) -> bool:
        if offline and info.data.get("tls") == "acme":
            raise ValueError("with offline no authority can be reached; write tls: files or tls: internal")
        return offline
