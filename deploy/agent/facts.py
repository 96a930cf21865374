"""Facts about the machine for a plan, as plain values. Nothing is changed."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import platform
import pwd
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.agent.systemd import ACCOUNT, STATE

RELEASES, CURRENT = Path("/opt/calln/releases"), Path("/opt/calln/current")
RENEWAL = Path("/etc/letsencrypt/renewal/calln.conf")
LIVE = Path("/etc/letsencrypt/live/calln/fullchain.pem")
SITE = re.compile(r"^site:\n(?:  .*\n)*?  url: ['\"]?([^\s'\"]+)", re.MULTILINE)
PROC, OS_RELEASE = Path("/proc"), Path("/etc/os-release")
LISTENING = {
    "tcp": "0A",
    "udp": "07",
}  # states in /proc/net (proc(5)); of UDP, a socket that is not connected
ELSEWHERE = ("192.0.2.1", 9)  # an address that nobody has (RFC 5737): it takes the default route
MAX_TEXT_BYTES = 1 << 20  # of a file whose text is sent


def machine_facts(order: dict[str, Any]) -> dict[str, Any]:
    """All facts; the order names the files (`paths`) and the Debian `packages` to look for."""
    system = os_release()
    return {
        "system": system.get("ID", ""),
        "version": system.get("VERSION_ID", ""),
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "arch": platform.machine(),
        "container": bool(output_of("systemd-detect-virt", "--container")),
        "ipv6": (PROC / "net/if_inet6").exists(),
        "addresses": output_of("hostname", "-I").split(),
        "leaves_from": default_source(),
        "free": shutil.disk_usage("/opt" if Path("/opt").exists() else "/").free,
        "packages": [name for name in order["packages"] if is_installed(name)],
        "files": dict(file_facts(order["paths"])),
        "releases": [path.name for path in newest_first(RELEASES)],
        "current": Path(os.readlink(CURRENT)).name if CURRENT.is_symlink() else None,
        "config": public_text(CURRENT / "config.yaml"),
        "site": present_site(),
        "units": unit_states(),
        "account": account_exists(ACCOUNT),
        "foreign": foreign_files(),
        "lineage": lineage_facts(),
        "holders": list(port_holders()),
        "ufw": "Status: active" in output_of("ufw", "status"),
        "chains": dropping_chains(output_of("nft", "-j", "list", "chains")),
    }


def output_of(*command: str) -> str:
    """The output of a command; empty if the command fails or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})  # noqa: S603
    except OSError:
        return ""
    return done.stdout if not done.returncode else ""


def default_source() -> str:
    """The IPv4 address that packets to the Internet leave from; empty: there is no way. Nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(ELSEWHERE)
        return str(asking.getsockname()[0])
    return ""


def os_release() -> dict[str, str]:
    """os-release(5); the module platform can read it only since Python 3.10."""
    with contextlib.suppress(OSError, ValueError):
        words = shlex.split(OS_RELEASE.read_text(), comments=True)
        return dict(word.split("=", 1) for word in words if "=" in word)
    return {}


def is_installed(package: str) -> bool:
    return "ok installed" in output_of("dpkg-query", "-W", "-f", "${Status}", package)


def account_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def file_facts(paths: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each file: its text if everybody may read it, or else only its digest."""
    for path in map(Path, paths):
        if path.is_file():
            about = path.stat()
            yield (
                str(path),
                {
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "mode": stat.S_IMODE(about.st_mode),
                    "owner": owner_name(pwd.getpwuid, about.st_uid),
                    "group": owner_name(grp.getgrgid, about.st_gid),
                    "text": public_text(path),
                },
            )


def owner_name(find: Any, number: int) -> str:
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)


def public_text(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        about = path.stat()
        if about.st_mode & stat.S_IROTH and about.st_size <= MAX_TEXT_BYTES:
            return path.read_text("utf-8")
    return None


def foreign_files() -> list[str]:
    """Files in the state folder that do not belong to its account: the services cannot use them."""
    try:
        owner = pwd.getpwnam(ACCOUNT).pw_uid
    except KeyError:
        return []
    found = []
    for path in [STATE, *STATE.rglob("*")] if STATE.is_dir() else []:
        with contextlib.suppress(FileNotFoundError):  # services make and remove files meanwhile
            if path.lstat().st_uid != owner:
                found.append(str(path))
    return found


def lineage_facts() -> dict[str, str] | None:
    """What certbot renews for Calln: its settings, and the certificate, which is no secret."""
    if not RENEWAL.is_file():
        return None
    made = LIVE.read_text("utf-8") if LIVE.is_file() else ""
    return {"settings": RENEWAL.read_text("utf-8"), "certificate": made}


def present_site() -> str | None:
    """The address of the site that this machine is part of, from the configuration of the current release."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        found = SITE.search((CURRENT / "config.yaml").read_text("utf-8"))
        return found[1] if found else None
    return None


def newest_first(folder: Path) -> list[Path]:
    folders = [path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")]
    return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)


def unit_states() -> dict[str, str]:
    """The state of our units and of certbot's timer: active, deactivating, failed."""
    rows = output_of("systemctl", "list-units", "--all", "--plain", "--no-legend", "calln*", "certbot.timer")
    fields = [line.split() for line in rows.splitlines() if line.strip()]
    return {row[0]: row[2] for row in fields if len(row) > 2}


def port_holders() -> Iterator[dict[str, Any]]:
    """Each port in use, and the unit or program that listens at it."""
    owners = socket_owners()
    for protocol, state in LISTENING.items():
        ports = {}
        for table in (PROC / "net" / protocol, PROC / "net" / f"{protocol}6"):
            for row in table_rows(table):
                if row[3] == state:
                    ports[int(row[1].rpartition(":")[2], 16)] = owners.get(row[9], "")
        yield from ({"protocol": protocol, "port": port, "who": who} for port, who in sorted(ports.items()))


def table_rows(table: Path) -> list[list[str]]:
    with contextlib.suppress(OSError):
        return [line.split() for line in table.read_text().splitlines()[1:]]
    return []


def socket_owners() -> dict[str, str]:
    """The inode of a socket -> its unit or program. systemd comes last, as it passes sockets on."""
    found: dict[str, str] = {}
    numbers = sorted((int(path.name) for path in PROC.glob("[0-9]*")), reverse=True)
    for number in numbers:
        with contextlib.suppress(OSError):
            for link in (PROC / str(number) / "fd").iterdir():
                inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
                if inode and inode[1] not in found:
                    found[inode[1]] = unit_or_program(number)
    return found


def unit_or_program(process: int) -> str:
    """The unit of a process, or else the name of its program."""
    folder = PROC / str(process)
    with contextlib.suppress(OSError):
        unit = re.search(r"/([^/]+\.service)\s*$", (folder / "cgroup").read_text())
        return unit[1] if unit else (folder / "comm").read_text().strip()
    return ""


def dropping_chains(text: str) -> list[str]:
    """The chains of nftables that drop unknown incoming packets."""
    with contextlib.suppress(ValueError):
        found = [entry["chain"] for entry in json.loads(text or "{}").get("nftables", []) if "chain" in entry]
        return [
            f"{chain['family']} {chain['table']} {chain['name']}"
            for chain in found
            if chain.get("hook") == "input" and chain.get("policy") == "drop"
        ]
    return []
