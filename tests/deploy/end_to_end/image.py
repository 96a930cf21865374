"""A fresh Debian as its installer leaves it, with SSH and a few packages: made once, kept in .cache."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".cache/targets"
MIRROR = "http://deb.debian.org/debian"
# Of Ubuntu: debootstrap of Debian has neither its keys nor each of its names.
UBUNTUS = {"noble": ("http://archive.ubuntu.com/ubuntu", "/usr/share/debootstrap/scripts/gutsy")}
OF_UBUNTU = ("--no-check-gpg", "--components=main,universe")
# A machine that somebody rents has these.
FRESH = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "iproute2", "procps"),
    "ca-certificates",
)
# What a deployment would install: here before, so that no test depends on a mirror.
WANTED = ("age", "certbot", "nftables")
POLICY = "usr/sbin/policy-rc.d"
BUILD_SECONDS = 600
ADMIN = "admin"


def image(suite: str = "bookworm") -> Path:
    """The folder of the root file system; nobody writes to it."""
    recipe = hashlib.sha256(repr((suite, FRESH, WANTED, finish.__code__.co_code)).encode()).hexdigest()[:8]
    made = CACHE / f"{suite}-{recipe}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            draft = CACHE / f".{made.name}"
            shutil.rmtree(draft, ignore_errors=True)
            build(suite, draft)
            draft.rename(made)
    return made


def build(suite: str, root: Path) -> None:
    """apt adds the packages, since debootstrap takes them in an order that fails; nothing of them starts."""
    options = OF_UBUNTU if suite in UBUNTUS else ()
    work("debootstrap", "--variant=minbase", *options, suite, str(root), *UBUNTUS.get(suite, (MIRROR,)))
    policy = root / POLICY
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    inside = ("chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
    work(*inside, "apt-get", "install", "-qq", "--yes", "--no-install-recommends", *FRESH, *WANTED)
    work(*inside, "apt-get", "clean")
    finish(root)


def fetched(suite: str, *packages: str) -> list[Path]:
    """What apt would fetch for a machine of this image that installs them; fetched once, and kept."""
    root, folder = image(suite), CACHE / f"{suite}-{'-'.join(packages)}"
    if not folder.exists():
        draft = folder.with_name(f".{folder.name}")
        (draft / "partial").mkdir(parents=True, exist_ok=True)
        settings = (
            *(
                f"Dir={root}",
                f"Dir::Cache::archives={draft}",
                f"Dir::State::status={root}/var/lib/dpkg/status",
            ),
            *("Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=", "APT::Sandbox::User=root"),
        )
        begin = ["apt-get", "-qq", "--yes", *(word for one in settings for word in ("-o", one))]
        work(*begin, "--download-only", "--no-install-recommends", "install", *packages)
        draft.rename(folder)
    return sorted(folder.glob("*.deb"))


def finish(root: Path) -> None:
    (root / POLICY).unlink()
    (root / "etc/machine-id").write_text("")  # so each boot has one of its own
    (root / "etc/hostname").write_text("target\n")
    work("chroot", str(root), "useradd", "--create-home", "--shell", "/bin/bash", ADMIN)
    (root / "etc/sudoers.d/admin").write_text(f"{ADMIN} ALL=(ALL) NOPASSWD: ALL\n")


def work(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, f"{' '.join(command[:4])}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
