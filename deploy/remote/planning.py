"""The steps that bring a machine to what the file says; no steps if nothing is to be done.

The last file that is written, the stamp, says that all steps were done. If it is missing or of another plan,
an earlier run stopped in the middle, and each command that activates a file is run again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from config.deploy import Role
from deploy.remote.certificates import certificate_steps
from deploy.remote.facts import Facts
from deploy.remote.hosts import ConfigFile, Target
from deploy.remote.inventory import (
    PORTS,
    RELOAD,
    SHUTDOWN,
    SOCKETS,
    STAMP,
    SYSCTL,
    SYSTEMD,
    TIMER,
    TIMERS,
    UNITS,
    WHOLE,
    packages,
)
from deploy.remote.removal import close_steps, remove_steps, unwanted
from deploy.remote.render import (
    ALERT,
    CERTIFICATE,
    OPERATORS,
    STATE,
    SecretFiles,
    config_file,
    owns_http_ports,
    release_name,
    render,
)
from deploy.remote.steps import (
    AddRelease,
    File,
    Install,
    Issue,
    Prune,
    Put,
    Retire,
    Run,
    Step,
    Switch,
)

CHANGED_AT_RELOAD = ("/etc/calln/secrets/", "/etc/calln/tls/")
NOTHING_TO_ACTIVATE = (*CHANGED_AT_RELOAD, OPERATORS, ALERT)

# What activates files, in order: their folder, the command, and its sentence.
IN_FORCE = (
    (
        "/etc/sysusers.d/",
        ("systemd-sysusers", "/etc/sysusers.d/calln.conf"),
        "Create the account calln for the services.",
    ),
    (
        "/etc/tmpfiles.d/",
        ("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/calln.conf"),
        "Create the folders of the services.",
    ),
    (
        SYSCTL,
        ("sysctl", "--quiet", "--load", "/etc/sysctl.d/60-calln.conf"),
        "Reserve the ports of the relay and enlarge receive buffers.",
    ),
    (SYSTEMD, ("systemctl", "daemon-reload"), "Let systemd read its units."),
)
BEFORE_SECRETS = ("/etc/sysusers.d/", "/etc/tmpfiles.d/")


class Plan(NamedTuple):
    """What a machine must have: its files, and the release with code and configuration."""

    source: ConfigFile
    target: Target
    files: tuple[File, ...]
    release: str
    tree: str
    config: File

    @property
    def is_acme(self) -> bool:
        return self.source.config.deploy.tls == "acme"


def make_plan(source: ConfigFile, target: Target, secrets: SecretFiles, facts: Facts, tree: str) -> Plan:
    """Make the plan of one machine; `tree` is the name of the code."""
    name = release_name(tree, source, target)
    release = str(facts.current) if is_copy(facts.current, name) else name
    files = render(source, target, secrets, facts.traits)
    return Plan(source, target, files, release, tree, config_file(source, target, release))


def is_copy(current: str | None, name: str) -> bool:
    """Whether the machine runs a copy of that release, as a restart makes one."""
    return current is not None and re.fullmatch(rf"{re.escape(name)}\.[0-9]+", current) is not None


def steps(plan: Plan, facts: Facts) -> tuple[Step, ...]:
    """All steps in their order."""
    puts = {put.file.path: put for put in put_steps(plan.files, facts)}
    unfinished = not is_finished(plan, facts)
    made: list[Step] = [*install_steps(plan.source, facts)]
    for place, argv, sentence in IN_FORCE:
        ours = [put for path, put in puts.items() if path.startswith(place)]
        made += ours
        if ours or (unfinished and any(file.path.startswith(place) for file in plan.files)):
            made.append(Run(argv, sentence))
        if place == BEFORE_SECRETS[-1]:
            made += [
                put for path, put in puts.items() if not path.startswith(tuple(one[0] for one in IN_FORCE))
            ]
            made += release_steps(plan, facts)
    made += owner_steps(facts)
    gone = unwanted(plan.source.config, [file.path for file in plan.files], facts)
    made += close_steps(gone, facts)
    made += retire_steps(plan, facts, "server")  # first, as a relay without a server uses port 443 itself
    made += port_steps(plan, facts)
    switched = tuple(switch_steps(plan, facts))
    made += switched or reload_steps(puts, facts)
    made += retire_steps(plan, facts, "turn")  # last, when pages know the other relay already
    made += remove_steps(gone)
    made += prune_steps(plan, facts)
    if unfinished:
        made.append(Put(stamp(plan), known_stamp(facts), STAMP in facts.files))
    return tuple(made)


def put_steps(files: Sequence[File], facts: Facts) -> Iterator[Put]:
    for file in files:
        known = facts.files.get(file.path)
        if known is None or not known.has_same(file):
            yield Put(file, known.text if known else None, known is not None)


def install_steps(source: ConfigFile, facts: Facts) -> Iterator[Install]:
    missing = tuple(name for name in packages(source) if name not in facts.packages)
    if missing:
        yield Install(missing)


def release_steps(plan: Plan, facts: Facts) -> Iterator[AddRelease]:
    if plan.release not in facts.releases:
        like = next((name for name in facts.releases if name.startswith(f"{plan.tree}-")), None)
        yield AddRelease(plan.release, plan.tree, like, plan.config, facts.config)


def owner_steps(facts: Facts) -> Iterator[Run]:
    """Commands that somebody ran as root may have left files that the services cannot use."""
    if facts.foreign:
        argv = ("chown", "--recursive", "--no-dereference", "calln:calln", STATE)
        yield Run(argv, f"Give {', '.join(facts.foreign[:3])} back to the services.")


def port_steps(plan: Plan, facts: Facts) -> Iterator[Run]:
    """Open ports, also in the firewall of the machine; start timers."""
    firewall = plan.source.config.deploy.firewall
    if owns_http_ports(plan.source.config, plan.target) and not all(map(facts.is_active, SOCKETS)):
        yield Run(("systemctl", "enable", "--quiet", "--now", *SOCKETS), "Open ports 80 and 443.")
    if not facts.is_active(WHOLE):
        argv = ("systemctl", "enable", "--quiet", "--now", WHOLE)
        yield Run(argv, "Let systemd start and stop all of Calln as calln.")
    if firewall == "ufw" and not is_finished(plan, facts):
        yield Run(("ufw", "allow", "Calln"), "Open the ports of Calln in ufw.")
    if any(file.path.endswith(PORTS) for file in plan.files) and not (
        facts.is_active(PORTS) and is_finished(plan, facts)
    ):
        yield Run(
            ("systemctl", "enable", "--quiet", PORTS), "Open the ports of Calln in the firewall at each boot."
        )
        yield Run(("systemctl", "restart", PORTS), "Open the ports of Calln in the firewall.")
    if not facts.is_active(SHUTDOWN):
        yield Run(
            ("systemctl", "enable", "--quiet", "--now", SHUTDOWN),
            "Let running calls end when the machine does.",
        )
    wanted = {file.path.removeprefix(SYSTEMD) for file in plan.files}
    for timer, does in TIMERS.items():
        if timer in wanted and not facts.is_active(timer):
            yield Run(("systemctl", "enable", "--quiet", "--now", timer), f"Start the timer that {does}.")
    if plan.is_acme and not facts.is_active(TIMER):
        yield Run(
            ("systemctl", "enable", "--quiet", "--now", TIMER), "Start the timer that renews the certificate."
        )


def retire_steps(plan: Plan, facts: Facts, role: Role) -> Iterator[Step]:
    """End a part that this machine no longer has. Its files stay, but nothing starts it."""
    if role in plan.target.roles:
        return
    begins = UNITS[role].partition("{}")[0]
    if any(name.startswith(begins) and facts.is_active(name) for name in facts.units):
        yield Retire((role,))


def switch_steps(plan: Plan, facts: Facts) -> Iterator[Step]:
    """A certificate first, so that nothing changes if the authority refuses. It asks at port 80, so where no
    server runs yet the new one must; and the relay waits for the first certificate."""
    roles: tuple[str, ...] = plan.target.roles
    getting = list(certificate_changes(plan, facts))
    asks = any(isinstance(step, Issue) for step in getting)
    asks &= plan.source.config.deploy.answers_at_port_80
    if asks and owns_http_ports(plan.source.config, plan.target) and not answers_authority(facts):
        yield from switch_step(plan, facts, ("server",))
        roles = () if roles == ("server",) else roles
    yield from getting
    if roles:
        yield from switch_step(plan, facts, roles)


def certificate_changes(plan: Plan, facts: Facts) -> Iterator[Step]:
    if plan.is_acme:
        there = facts.files.get(CERTIFICATE)
        yield from certificate_steps(
            plan.source.config, plan.target, facts.lineage, there.sha256 if there else None
        )


def answers_authority(facts: Facts) -> bool:
    """Whether a server of ours answers at port 80 already."""
    runs = any(name.startswith("calln-server@") and facts.is_active(name) for name in facts.units)
    return runs and all(map(facts.is_active, SOCKETS))


def switch_step(plan: Plan, facts: Facts, roles: tuple[str, ...]) -> Iterator[Switch]:
    runs = all(facts.is_active(UNITS[role].format(plan.release)) for role in roles)
    if not runs or facts.current != plan.release:
        yield Switch(facts.current, plan.release, roles)


def reload_steps(puts: dict[str, Put], facts: Facts) -> Iterator[Run]:
    """Let the services read new secrets and certificates; calls go on."""
    runs = any(name.startswith(("calln-relay@", "calln-server@")) for name in facts.units)
    if runs and any(path.startswith(CHANGED_AT_RELOAD) for path in puts):
        yield Run((RELOAD,), "Let the services read secrets and certificates again.")


def prune_steps(plan: Plan, facts: Facts) -> Iterator[Prune]:
    """Remove old releases; the newest ones and all running ones stay."""
    others = [name for name in facts.releases if name != plan.release]
    busy = [name for name in others if any(f"@{name}.service" in unit for unit in facts.units)]
    spared = others[: plan.source.config.deploy.keep - 1]
    old = tuple(name for name in others if name not in (*spared, *busy, facts.current))
    if old:
        yield Prune(old)


def stamp(plan: Plan) -> File:
    """A digest of the files that commands activate; releases, secrets, the operator's file do not count."""
    lasting = sorted(
        file.path + file.text for file in plan.files if not file.path.startswith(NOTHING_TO_ACTIVATE)
    )
    return File(STAMP, hashlib.sha256("".join(lasting).encode()).hexdigest() + "\n")


def known_stamp(facts: Facts) -> str | None:
    return facts.files[STAMP].text if STAMP in facts.files else None


def is_finished(plan: Plan, facts: Facts) -> bool:
    return known_stamp(facts) == stamp(plan).text
