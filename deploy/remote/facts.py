"""The facts of one machine, as values: what a plan must know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from deploy.remote.certificates import Lineage, names_in, settings_of
from deploy.remote.render import SECRET, Traits
from deploy.remote.steps import File


class RemoteFile(NamedTuple):
    """A file on the machine. The text of a secret is not known."""

    sha256: str
    mode: int
    owner: str
    group: str
    text: str | None

    def has_same(self, file: File) -> bool:
        same = hashlib.sha256(file.text.encode()).hexdigest() == self.sha256
        return same and (self.mode, self.owner, self.group) == (file.mode, file.owner, file.group)


class Holder(NamedTuple):
    """A port in use, and the unit or program that listens at it."""

    protocol: str
    port: int
    who: str


class Facts(NamedTuple):
    """All facts of one machine."""

    system: str
    version: str
    python: str
    arch: str
    container: bool
    ipv6: bool
    addresses: frozenset[str]
    leaves_from: str  # the IPv4 address of the default route; empty: there is none
    free: int
    packages: frozenset[str]
    files: Mapping[str, RemoteFile]
    releases: tuple[str, ...]
    current: str | None
    config: str | None
    site: str | None
    units: Mapping[str, str]
    account: bool
    foreign: tuple[str, ...]
    lineage: Lineage | None
    holders: tuple[Holder, ...]
    ufw: bool
    chains: tuple[str, ...]

    @property
    def traits(self) -> Traits:
        """The facts that decide what the files contain."""
        return Traits(self.container, self.ipv6, self.chains)

    def has_secret(self, text: str | None) -> bool:
        """Whether its secret is this one; None: it has none yet."""
        known = self.files.get(SECRET)
        digest = None if text is None else hashlib.sha256(text.encode()).hexdigest()
        return digest == (known.sha256 if known else None)

    def is_active(self, unit: str) -> bool:
        return self.units.get(unit) in ("active", "reloading")


def facts_order(paths: Sequence[str], packages: Sequence[str]) -> dict[str, Any]:
    """The order that asks for the facts."""
    return {"do": "look", "paths": list(paths), "packages": list(packages)}


def parse_facts(answer: Mapping[str, Any]) -> Facts:
    """The facts from the answer of a machine."""
    made = {
        "addresses": frozenset(answer["addresses"]),
        "packages": frozenset(answer["packages"]),
        "files": {path: RemoteFile(**known) for path, known in answer["files"].items()},
        "releases": tuple(answer["releases"]),
        "foreign": tuple(answer["foreign"]),
        "lineage": parse_lineage(answer["lineage"]) if answer["lineage"] else None,
        "holders": tuple(Holder(**holder) for holder in answer["holders"]),
        "chains": tuple(answer["chains"]),
    }
    return Facts(**{**answer, **made})


def parse_lineage(answer: Mapping[str, str]) -> Lineage:
    """What certbot keeps there: the text of its settings, and the certificate as PEM."""
    authority, authenticator = settings_of(answer["settings"])
    digest = hashlib.sha256(answer["certificate"].encode()).hexdigest()
    names: frozenset[str] = frozenset()
    with suppress(ValueError):  # one that cannot be read is for no name
        names = names_in(answer["certificate"])
    return Lineage(names, authority, authenticator, digest)
