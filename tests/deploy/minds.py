"""A machine in the mind: what it would say of itself, and what becomes of it when steps are carried out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.remote.certificates import Lineage
from deploy.remote.facts import Facts, RemoteFile, parse_facts
from deploy.remote.hosts import Target, parse_config_file, targets
from deploy.remote.inventory import HOOK
from deploy.remote.planning import Plan, make_plan, steps
from deploy.remote.render import CERTIFICATE, KEY
from deploy.remote.steps import (
    AddRelease,
    File,
    Install,
    Issue,
    Prune,
    Put,
    Remove,
    Retire,
    Run,
    Step,
    Switch,
)
from tests.deploy.example_configs import CONFIGS, CONTENTS, machines, written

EACH = [(name, target) for name in CONFIGS for target in machines(name)]
TREE = "0.1.0-abcdef0123"
FRESH: dict[str, Any] = {
    "system": "debian",
    "version": "12",
    "python": "3.11",
    "arch": "x86_64",
    "container": False,
    "ipv6": True,
    "addresses": ["198.41.0.4"],
    "leaves_from": "198.41.0.4",
    "free": 8 << 30,
    "packages": [],
    "files": {},
    "releases": [],
    "current": None,
    "config": None,
    "site": None,
    "units": {},
    "account": False,
    "foreign": [],
    "lineage": None,
    "holders": [],
    "ufw": False,
    "chains": [],
}


def machine(**what: Any) -> Facts:
    """A fresh Debian, but for `what`."""
    return parse_facts({**FRESH, **what})


def planned(name: str, target: Target, facts: Facts, tree: str = TREE) -> Plan:
    return make_plan(written(name), target, CONTENTS, facts, tree)


def changed(text: str, facts: Facts) -> Plan:
    """The plan for another configuration of the same machine, its first one."""
    source = parse_config_file(text, Path("calln.yaml"))
    return make_plan(source, targets(source.config)[0], CONTENTS, facts, TREE)


def deployed(name: str, target: Target, facts: Facts | None = None) -> Facts:
    """A machine on which everything was carried out."""
    begun = facts or machine()
    return after(begun, steps(planned(name, target, begun), begun))


def known(file: File) -> RemoteFile:
    digest = hashlib.sha256(file.text.encode()).hexdigest()
    return RemoteFile(digest, file.mode, file.owner, file.group, None if file.is_secret else file.text)


def after(facts: Facts, done: Iterable[Step]) -> Facts:
    for step in done:
        facts = after_one(facts, step)
    return facts


def after_one(facts: Facts, step: Step) -> Facts:
    change: dict[str, Any] = {}
    match step:
        case Install(packages):
            change = {"packages": facts.packages | set(packages)}
        case Put(file):
            change = {"files": {**facts.files, file.path: known(file)}}
        case Issue():
            change = issued(facts, step)
        case Remove(path):
            kept = {name: file for name, file in facts.files.items() if not f"{name}/".startswith(f"{path}/")}
            change = {"files": kept, "releases": () if path == "/opt/calln" else facts.releases}
        case AddRelease(name, _, _, config):
            change = {"releases": (name, *facts.releases), "config": config.text}
        case Prune(releases):
            change = {"releases": tuple(one for one in facts.releases if one not in releases)}
        case Switch():
            change = switched(facts, step)
        case Retire(roles):
            change = {"units": {**facts.units, **dict.fromkeys(running(facts, roles), "deactivating")}}
        case Run(argv):
            change = ran(facts, argv)
    return facts._replace(**change)


def issued(facts: Facts, step: Issue) -> dict[str, Any]:
    """Another text each time, as every certificate differs from the one before."""
    serial = f"{facts.lineage}{step.names}"
    made = {path: known(File(path, serial, 0o640, "root", "calln")) for path in (CERTIFICATE, KEY)}
    authority = step.argv[step.argv.index("--server") + 1]
    way = next((word for word in WAYS if f"--{word}" in step.argv), None)
    way = way or step.argv[step.argv.index("--authenticator") + 1]
    lineage = Lineage(frozenset(step.names), authority, way, made[CERTIFICATE].sha256)
    return {"files": {**facts.files, **made}, "lineage": lineage}


WAYS = ("standalone", "webroot")
NAMES = {"turn": "calln-relay", "server": "calln-server"}


def running(facts: Facts, roles: tuple[str, ...]) -> list[str]:
    return [name for name in facts.units if name.startswith(tuple(f"{NAMES[role]}@" for role in roles))]


def switched(facts: Facts, step: Switch) -> dict[str, Any]:
    units = {f"{NAMES[role]}@{step.new}.service": "active" for role in step.roles}
    older = {name: "deactivating" for name in running(facts, step.roles) if name not in units}
    return {"current": step.new, "units": {**facts.units, **older, **units}}


def ran(facts: Facts, argv: tuple[str, ...]) -> dict[str, Any]:
    words = set(argv)
    if argv[0] == "systemctl" and words & {"disable", "stop"} and "--no-block" not in words:
        return {"units": {name: how for name, how in facts.units.items() if name not in words}}
    if argv[0] == "systemctl" and words & {"--now", "restart"}:
        return {"units": {**facts.units, **{unit: "active" for unit in argv if "." in unit}}}
    if HOOK in argv and facts.lineage:
        file = File(CERTIFICATE, "x", 0o640, "root", "calln")
        return {"files": {**facts.files, file.path: known(file)._replace(sha256=facts.lineage.sha256)}}
    return next((change for begin, change in CHANGES.items() if argv[: len(begin)] == begin), {})


# How a command begins -> what it changes.
CHANGES: dict[tuple[str, ...], dict[str, Any]] = {
    ("certbot", "delete"): {"lineage": None},
    ("systemd-sysusers",): {"account": True},
    ("userdel", "calln"): {"account": False},
    ("chown", "--recursive"): {"foreign": ()},
}
