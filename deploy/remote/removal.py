"""The steps that take things off a machine: all of Calln, or what the file no longer asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.file import Config
from deploy.remote.certificates import forget_steps
from deploy.remote.facts import Facts
from deploy.remote.hosts import ConfigFile
from deploy.remote.inventory import HOOK, PORTS, SOCKETS, STAMP, SYSTEMD, TIMER, TIMERS, UDEV, packages
from deploy.remote.render import ACME, ALERT, DNS, PASSWORD, ROWS, TOKENS
from deploy.remote.steps import Remove, Run, Step

JOURNAL = (
    *("systemd-journald@calln.socket", "systemd-journald-varlink@calln.socket"),
    "systemd-journald@calln.service",
)
WORDS = "rm -rf /var/log/journal/*.calln /run/log/journal/*.calln"
DATA = ("/var/lib/calln", "/var/lib/calln-watch", "/var/lib/calln-backup", ACME, "/etc/calln")
UFW = "/etc/ufw/applications.d/calln"
FOLDERS = (
    "/etc/sysusers.d",
    "/etc/needrestart/conf.d",
    "/etc/needrestart",
)  # Debian does not have it, or it is not empty
UDEV_FOLDERS = ("/etc/udev/rules.d", "/etc/udev")  # as a container
# At the first signal a service lets its calls go on, at the second it ends.
KILL = ("systemctl", "kill", "--signal=SIGINT")
LOADER = "calln-kernel@"  # has no calls: what it does when it ends must not be interrupted
ENDING = (
    (("systemctl", "disable", "--quiet"), "Do not start the services at boot any more."),
    (("systemctl", "stop", "--no-block"), "Stop the services."),
    (KILL, "End running calls."),
    (("systemctl", "stop"), "Wait until the services have ended."),
)


def unwanted(config: Config, wanted: Sequence[str], facts: Facts) -> tuple[str, ...]:
    """Files that an earlier configuration asked for, and this one does not. Units of releases stay: some may
    still run. So does what opens ports in a firewall that drops nothing just now."""
    may_go = [f"/{row.path}" for row in ROWS if "@." not in row.path] + [PASSWORD, TOKENS, DNS, ALERT]
    kept = {path for path in may_go if config.deploy.firewall == "nft" and "calln-ports" in path}
    return tuple(path for path in may_go if path in facts.files and path not in {*wanted, *kept})


def close_steps(gone: Sequence[str], facts: Facts) -> Iterator[Run]:
    """End what these files made work, before the files go."""
    units = [name for name in (*SOCKETS, PORTS) if f"{SYSTEMD}{name}" in gone and facts.is_active(name)]
    if http := tuple(name for name in units if name in SOCKETS):
        yield Run(("systemctl", "disable", "--quiet", "--now", *http), "Close ports 80 and 443.")
    if PORTS in units:
        argv = ("systemctl", "disable", "--quiet", "--now", PORTS)
        yield Run(argv, "Close the ports of Calln in the firewall.")
    for timer, does in TIMERS.items():
        if f"{SYSTEMD}{timer}" in gone and facts.is_active(timer):
            yield Run(("systemctl", "disable", "--quiet", "--now", timer), f"Stop the timer that {does}.")
    if UFW in gone:
        yield Run(("ufw", "delete", "allow", "Calln"), "Close the ports of Calln in ufw.")
    if HOOK in gone:
        yield from forget_steps(facts.lineage)


def remove_steps(gone: Sequence[str]) -> Iterator[Step]:
    yield from map(Remove, gone)
    if any(path.startswith(SYSTEMD) for path in gone):
        yield Run(("systemctl", "daemon-reload"), "Let systemd forget the units.")


def destroy_steps(facts: Facts, *, purge: bool = False) -> tuple[Step, ...]:
    """The steps that remove Calln. Debian packages stay, and without `purge` also the data."""
    ours = [path for path in facts.files if path.startswith((SYSTEMD, "/etc/", "/usr/local/"))]
    made: list[Step] = []
    releases = sorted(unit for unit in facts.units if "@" in unit)
    if releases:
        calling = [unit for unit in releases if not unit.startswith(LOADER)]
        each = [(argv, calling if argv == KILL else releases, sentence) for argv, sentence in ENDING]
        made += [Run((*argv, *units), sentence) for argv, units, sentence in each if units]
    if beside := sorted(facts.units.keys() - {TIMER, *releases}):
        made.append(Run(("systemctl", "disable", "--quiet", "--now", *beside), "Close the ports of Calln."))
    if UFW in facts.files:
        made.append(Run(("ufw", "delete", "allow", "Calln"), "Close the ports of Calln in ufw."))
    made += [Remove(path) for path in ours if not path.startswith("/etc/calln/")]
    made += [Remove("/opt/calln")] if facts.releases or STAMP in facts.files else []
    if any(path.startswith(SYSTEMD) for path in ours):
        made.append(Run(("systemctl", "daemon-reload"), "Let systemd forget the units."))
        made.append(Run(("systemctl", "reset-failed"), "Clear the state of failed units."))
        made.append(Run(("systemctl", "stop", *JOURNAL), "Stop the journal of the services."))
        empty = (*FOLDERS, *(UDEV_FOLDERS if UDEV in facts.files else ()))
        made.append(Run(("rmdir", "--ignore-fail-on-non-empty", *empty), "Remove empty folders."))
    return (*made, *(purge_steps(facts) if purge else ()))


def purge_steps(facts: Facts) -> Iterator[Step]:
    if HOOK in facts.files:
        yield from forget_steps(facts.lineage)
    if facts.account:
        yield Run(("sh", "-c", WORDS), "Remove the logs of the services.")
        yield from map(Remove, DATA)
        yield Run(("userdel", "calln"), "Remove the account of the services.")


def what_stays(facts: Facts, source: ConfigFile, *, purge: bool = False) -> tuple[str, ...]:
    """What remains after `destroy`, one sentence each."""
    installed = [name for name in packages(source) if name in facts.packages]
    kept = [] if purge else ["/etc/calln, /var/lib/calln and the account calln remain; --purge removes them."]
    said = (
        [f"These Debian packages remain: {', '.join(installed)}; remove them with apt purge."]
        if installed
        else []
    )
    backup = source.config.deploy.backup
    saved = [f"The backups in {backup.folder} remain."] if backup.keep else []
    return (*kept, *said, *saved)
