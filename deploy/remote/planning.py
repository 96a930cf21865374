"""The steps that bring a machine to what the file says; no steps if nothing is to be done.

The last file that is written, the stamp, says that all steps were done. If it is missing or of another plan,
an earlier run stopped in the middle, and each command that activates a file is run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from config.deploy import Role
from deploy.remote.facts import Facts
from deploy.remote.hosts import ConfigFile, Target
from deploy.remote.render import (
    ACME,
    CERTIFICATE,
    KEY,
    PASSWORD,
    ROWS,
    SECRET,
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
    Remove,
    Retire,
    Run,
    Step,
    Switch,
)

UNITS = {"turn": "calln-relay@{}.service", "server": "calln-server@{}.service"}
SOCKETS = ("calln-http.socket", "calln-https.socket", "calln.service")
PORTS, SHUTDOWN = "calln-ports.service", "calln-shutdown.service"
RELOAD = "/usr/local/sbin/calln-reload"
WITHDRAWAL = "/etc/systemd/system/calln-withdraw.timer"  # written by deploy.agent.secrets
TIMER = "certbot.timer"
STAMP = "/opt/calln/applied"
COUNTRIES = "/usr/share/tor"  # where the package tor-geoipdb has them
FIREWALLS = {"none": (), "ufw": ("ufw",), "nft": ("nftables",)}
HOOK = "/etc/letsencrypt/renewal-hooks/deploy/calln"
SYSTEMD, SYSCTL = "/etc/systemd/system/", "/etc/sysctl.d/"
CHANGED_AT_RELOAD = ("/etc/calln/secrets/", "/etc/calln/tls/")

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
JOURNAL = (
    *("systemd-journald@calln.socket", "systemd-journald-varlink@calln.socket"),
    "systemd-journald@calln.service",
)
FORGET = (  # certbot keeps copies of the private key; hooks of other programs stay
    'cd /etc/letsencrypt && test -z "$(ls renewal)" || exit 0; '
    "rm -rf accounts archive csr keys live renewal /var/lib/letsencrypt; "
    "find renewal-hooks -depth -type d -empty -delete"
)
WORDS = "rm -rf /var/log/journal/*.calln /run/log/journal/*.calln"
FOLDERS = ("/etc/sysusers.d",)  # Debian does not have it, or it is not empty
# At the first signal a service lets its calls go on, at the second it ends.
ENDING = (
    (("systemctl", "disable", "--quiet"), "Do not start the services at boot any more."),
    (("systemctl", "stop", "--no-block"), "Stop the services."),
    (("systemctl", "kill", "--signal=SIGINT"), "End running calls."),
    (("systemctl", "stop"), "Wait until the services have ended."),
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
    release = release_name(tree, source, target)
    files = render(source, target, secrets, facts.traits)
    return Plan(source, target, files, release, tree, config_file(source, target, release))


def paths() -> list[str]:
    """The files that a machine is asked about: all that Calln may have written."""
    return [*(f"/{row.path}" for row in ROWS), SECRET, PASSWORD, CERTIFICATE, KEY, STAMP, WITHDRAWAL]


def packages(source: ConfigFile) -> tuple[str, ...]:
    """Debian packages that are needed, besides python3."""
    deploy, geo = source.config.deploy, source.config.geo
    wanted = [*FIREWALLS[deploy.firewall]]
    if deploy.tls == "acme":
        wanted.append("certbot")
    if geo.database is not None and str(geo.database) == COUNTRIES and deploy.network == "public":
        wanted.append("tor-geoipdb")
    return tuple(wanted)


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
    made += retire_steps(plan, facts, "server")  # first, as a relay without a server uses port 443 itself
    made += port_steps(plan, facts)
    switched = tuple(switch_steps(plan, facts))
    made += switched or reload_steps(puts, facts)
    made += retire_steps(plan, facts, "turn")  # last, when pages know the other relay already
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


def port_steps(plan: Plan, facts: Facts) -> Iterator[Run]:
    """Open ports, also in the firewall of the machine; start the timer that renews the certificate."""
    firewall = plan.source.config.deploy.firewall
    if owns_http_ports(plan.source.config, plan.target) and not all(map(facts.is_active, SOCKETS)):
        yield Run(("systemctl", "enable", "--quiet", "--now", *SOCKETS), "Open ports 80 and 443.")
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
    if plan.is_acme and not facts.is_active(TIMER):
        yield Run(
            ("systemctl", "enable", "--quiet", "--now", TIMER), "Start the timer that renews the certificate."
        )


def retire_steps(plan: Plan, facts: Facts, role: Role) -> Iterator[Step]:
    """End a part that this machine no longer has. Its files stay, but nothing starts it."""
    if role in plan.target.roles:
        return
    if role == "server" and (listening := tuple(name for name in SOCKETS if facts.is_active(name))):
        yield Run(("systemctl", "disable", "--quiet", "--now", *listening), "Close ports 80 and 443.")
    begins = UNITS[role].partition("{}")[0]
    if any(name.startswith(begins) and facts.is_active(name) for name in facts.units):
        yield Retire((role,))


def switch_steps(plan: Plan, facts: Facts) -> Iterator[Step]:
    """Before the first certificate, the server must run to answer the authority, and the relay waits."""
    roles, server = plan.target.roles, owns_http_ports(plan.source.config, plan.target)
    waits = plan.is_acme and CERTIFICATE not in facts.files
    if waits and server:
        yield from switch_step(plan, facts, ("server",))
    if waits:
        yield Issue(plan.target.name, certbot_command(plan, standalone=not plan.target.serves))
    if not (waits and roles == ("server",)):
        yield from switch_step(plan, facts, roles)


def switch_step(plan: Plan, facts: Facts, roles: tuple[str, ...]) -> Iterator[Switch]:
    runs = all(facts.is_active(UNITS[role].format(plan.release)) for role in roles)
    if not runs or facts.current != plan.release:
        yield Switch(facts.current, plan.release, roles)


def certbot_command(plan: Plan, *, standalone: bool) -> tuple[str, ...]:
    """The command for the first certificate. Without our server, certbot answers at port 80 itself."""
    deploy = plan.source.config.deploy
    words = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--cert-name", "calln"]
    words += ["--domain", plan.target.name, "--server", deploy.acme_directory, "--deploy-hook", HOOK]
    words += ["--email", deploy.email] if deploy.email else ["--register-unsafely-without-email"]
    return (*words, *(("--standalone",) if standalone else ("--webroot", "--webroot-path", ACME)))


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
    """A digest of the files that commands activate; releases and secrets do not count."""
    lasting = sorted(
        file.path + file.text for file in plan.files if not file.path.startswith(CHANGED_AT_RELOAD)
    )
    return File(STAMP, hashlib.sha256("".join(lasting).encode()).hexdigest() + "\n")


def known_stamp(facts: Facts) -> str | None:
    return facts.files[STAMP].text if STAMP in facts.files else None


def is_finished(plan: Plan, facts: Facts) -> bool:
    return known_stamp(facts) == stamp(plan).text


def destroy_steps(facts: Facts, *, purge: bool = False) -> tuple[Step, ...]:
    """The steps that remove Calln. Debian packages stay, and without `purge` also the data."""
    ours = [path for path in facts.files if path.startswith((SYSTEMD, "/etc/", "/usr/local/"))]
    made: list[Step] = []
    releases = sorted(unit for unit in facts.units if "@" in unit)
    if releases:
        made += [Run((*argv, *releases), sentence) for argv, sentence in ENDING]
    if beside := sorted(facts.units.keys() - {TIMER, *releases}):
        made.append(Run(("systemctl", "disable", "--quiet", "--now", *beside), "Close the ports of Calln."))
    if "/etc/ufw/applications.d/calln" in facts.files:
        made.append(Run(("ufw", "delete", "allow", "Calln"), "Close the ports of Calln in ufw."))
    made += [Remove(path) for path in ours if not path.startswith("/etc/calln/")]
    made += [Remove("/opt/calln")] if facts.releases or STAMP in facts.files else []
    if any(path.startswith(SYSTEMD) for path in ours):
        made.append(Run(("systemctl", "daemon-reload"), "Let systemd forget the units."))
        made.append(Run(("systemctl", "reset-failed"), "Clear the state of failed units."))
        made.append(Run(("systemctl", "stop", *JOURNAL), "Stop the journal of the services."))
        made.append(Run(("rmdir", "--ignore-fail-on-non-empty", *FOLDERS), "Remove empty folders."))
    return (*made, *(purge_steps(facts) if purge else ()))


def purge_steps(facts: Facts) -> Iterator[Step]:
    if HOOK in facts.files:
        argv = ("certbot", "delete", "--non-interactive", "--cert-name", "calln")
        yield Run(argv, "Let certbot delete the certificate.")
        yield Run(
            ("sh", "-c", FORGET), "Remove the keys and the account of certbot if it has no other certificate."
        )
    if facts.account:
        yield Run(("sh", "-c", WORDS), "Remove the logs of the services.")
        yield Remove("/var/lib/calln")
        yield Remove(ACME)
        yield Remove("/etc/calln")
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
    return (*kept, *said)
