"""What Calln may have on a machine: files, units and Debian packages."""

from __future__ import annotations

from deploy.remote.hosts import ConfigFile
from deploy.remote.render import ALERT, CERTIFICATE, DNS, KEY, OPERATORS, PASSWORD, ROWS, SECRET, TOKENS

UNITS = {"turn": "calln-relay@{}.service", "server": "calln-server@{}.service"}
WHOLE = "calln.service"
SOCKETS = ("calln-http.socket", "calln-https.socket")
TIMERS = {  # a timer -> what it does
    "calln-backup.timer": "makes backups",
    "calln-watch.timer": "watches over this machine",
    "calln-update.timer": "restarts Calln after updates of the system",
}
PORTS, SHUTDOWN = "calln-ports.service", "calln-shutdown.service"
RELOAD = "/usr/local/sbin/calln-reload"
WITHDRAWAL = "/etc/systemd/system/calln-withdraw.timer"  # written by deploy.agent.secrets
TIMER = "certbot.timer"
STAMP = "/opt/calln/applied"
COUNTRIES = "/usr/share/tor"  # where the package tor-geoipdb has them
FIREWALLS = {"none": (), "ufw": ("ufw",), "nft": ("nftables",)}
UDEV = "/etc/udev/rules.d/60-calln.rules"
HOOK = "/etc/letsencrypt/renewal-hooks/deploy/calln"
SYSTEMD, SYSCTL = "/etc/systemd/system/", "/etc/sysctl.d/"


def paths() -> list[str]:
    """The files that a machine is asked about: all that Calln may have written."""
    return [
        *(f"/{row.path}" for row in ROWS),
        SECRET,
        PASSWORD,
        TOKENS,
        DNS,
        OPERATORS,
        ALERT,
        CERTIFICATE,
        KEY,
        STAMP,
        WITHDRAWAL,
    ]


def packages(source: ConfigFile) -> tuple[str, ...]:
    """Debian packages that are needed, besides python3."""
    deploy, geo = source.config.deploy, source.config.geo
    wanted = [*FIREWALLS[deploy.firewall]]
    if deploy.tls == "acme":
        wanted.append("certbot")
    if deploy.acme_dns:
        wanted.append(f"python3-certbot-dns-{deploy.acme_dns}")
    if deploy.backup.keep and deploy.backup.age:
        wanted.append("age")
    if deploy.backup.keep and deploy.backup.copy_to:
        wanted.append("openssh-client")
    if needs_bpf(source):
        wanted.append("libbpf1")
    if geo.database is not None and str(geo.database) == COUNTRIES and deploy.network == "public":
        wanted.append("tor-geoipdb")
    return tuple(wanted)


def needs_bpf(source: ConfigFile) -> bool:
    """Debian has the library by default. Where it may do without, a closed network need not fetch it."""
    engine = source.config.turn.engine
    return engine == "kernel" or (engine == "auto" and source.config.deploy.network == "public")
