"""A booted Debian with systemd and sshd, in a network of the test's own: what a deployment is put on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.deploy.end_to_end.image import ADMIN, image
from tests.deploy.end_to_end.network import OUTSIDE, Network

CGROUPS = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup")]
NSPAWN = (
    *("systemd-nspawn", "--boot", "--keep-unit", "--register=no", "--console=pipe", "--link-journal=no"),
    *("--resolv-conf=off", "--timezone=off"),
)
# Without BPF systemd there would not enforce IPAddressDeny, and would not say so either; and no call would
# ride in the kernel.
WITH_BPF = ("--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON", "--system-call-filter=bpf")
WITHOUT_BPF = ("--capability=CAP_NET_ADMIN",)
# On a machine that is no container, systemd mounts this by itself, with this mode.
BPF_FILES = """[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=mount -t bpf -o mode=0700 bpf /sys/fs/bpf
"""
BOOT_SECONDS = 60
END_SECONDS = 30
COMMAND_SECONDS = 120
# What any machine writes by itself while it runs.
VOLATILE = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/root/.ssh"),
    *("/var/lib/systemd", "/etc/machine-id", "/var/lib/private", "/etc/resolv.conf", "/etc/.pwd.lock"),
)
BACKUPS = ("passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-")


class Snapshot(NamedTuple):
    """Files by what is in them, and which units systemd knows in which state."""

    files: Mapping[str, str]
    units: frozenset[str]

    def difference(self, later: Snapshot) -> list[str]:
        """What was added, removed or changed, each with a sign."""
        marks = [
            *(f"+ {path}" for path in later.files.keys() - self.files.keys()),
            *(f"- {path}" for path in self.files.keys() - later.files.keys()),
            *(
                f"! {path}"
                for path in self.files.keys() & later.files.keys()
                if self.files[path] != later.files[path]
            ),
            *(f"+ {unit}" for unit in later.units - self.units),
            *(f"- {unit}" for unit in self.units - later.units),
        ]
        return sorted(marks)


class Target:
    """One machine: an image with a layer of its own above, which ends with the test."""

    def __init__(
        self, network: Network, folder: Path, name: str, address: str, suite: str = "bookworm"
    ) -> None:
        self.network, self.name, self.address = network, name, address
        self.folder = folder / name
        self.root = self.folder / "root"
        self.suite, self.image = suite, image(suite)
        self.machine = f"{network.name}-{name}"
        self.groups = [way / self.machine for way in CGROUPS if (way / "cgroup.procs").exists()]
        self.process: subprocess.Popen[bytes] | None = None
        self.rights: tuple[str, ...] = WITH_BPF
        self.binds: list[Path] = []  # of this machine, that are there in the same place

    def boot(self, key: Path, trust: Path) -> None:
        """With an SSH key that may log in as root and as `admin`, and an authority that is trusted."""
        self.lay()
        for home in ("root", f"home/{ADMIN}"):
            self.admit(self.root / home, key)
        (self.root / "etc/resolv.conf").write_text(f"nameserver {OUTSIDE}\n")
        units = self.root / "etc/systemd/system"
        (units / "bpf-files.service").write_text(BPF_FILES)
        (units / "sysinit.target.wants").mkdir(exist_ok=True)
        (units / "sysinit.target.wants/bpf-files.service").symlink_to("../bpf-files.service")
        self.believe(trust)
        self.namespace = self.network.plug(self.name, self.address)
        self.key = key
        self.start()

    def start(self) -> None:
        for group in self.groups:
            group.mkdir()
        begin = "".join(f"echo $$ >{group}/cgroup.procs; " for group in self.groups) + 'exec "$@"'
        words = ["--directory", str(self.root), "--machine", self.machine]
        words += [*self.rights, f"--network-namespace-path=/run/netns/{self.namespace}"]
        words += [f"--bind={path}" for path in self.binds]
        with (self.folder / "console").open("wb") as console:
            self.process = subprocess.Popen(
                ["sh", "-c", begin, "sh", *NSPAWN, *words],
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.wait()

    def reboot(self) -> None:
        """As its operator would; nothing but its disk and its network is the same afterwards."""
        assert self.process is not None
        self.ask("systemctl reboot")
        self.process.wait(END_SECONDS)
        for group in self.groups:
            end_group(group)
        self.start()

    def inside(self, *command: str) -> list[str]:
        """The words that run a program of ours in the machine's own network."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def lay(self) -> None:
        upper, work = self.folder / "upper", self.folder / "work"
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True)
        layers = f"lowerdir={self.image},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)

    def admit(self, home: Path, key: Path) -> None:
        owner = home.stat()
        folder = home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        keys = folder / "authorized_keys"
        keys.write_text(key.with_name(f"{key.name}.pub").read_text())
        for path in (folder, keys):
            os.chown(path, owner.st_uid, owner.st_gid)

    def believe(self, trust: Path) -> None:
        (self.root / "usr/local/share/ca-certificates/test.crt").write_bytes(trust.read_bytes())
        inside = ["chroot", str(self.root), "update-ca-certificates"]
        subprocess.run(inside, check=True, capture_output=True)

    def wait(self) -> None:
        """Until it has booted; fails with what its console says."""
        assert self.process is not None
        end = time.monotonic() + BOOT_SECONDS
        while self.ask("systemctl is-system-running --wait") not in ("running", "degraded"):
            console = (self.folder / "console").read_text(errors="replace")
            assert self.process.poll() is None, console
            assert time.monotonic() < end, console
            time.sleep(0.1)

    def ssh(self, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a line of shell there."""
        known = f"UserKnownHostsFile={self.known_hosts(self.folder / 'known_hosts')}"
        words = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-o", known, "-i", str(self.key)]
        there = self.network.outside(*words, f"{user}@{self.address}", command)
        return subprocess.run(there, capture_output=True, text=True, timeout=COMMAND_SECONDS)

    def ask(self, command: str, user: str = "root") -> str:
        """What it prints, whether it went well or not."""
        return self.ssh(command, user).stdout.strip()

    def run(self, command: str, user: str = "root") -> str:
        """What it prints; fails if it does."""
        done = self.ssh(command, user)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def known_hosts(self, file: Path) -> Path:
        """A file by which SSH knows this machine by its address."""
        key = (self.image / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        file.write_text(f"{self.address} {key}")
        return file

    def snapshot(self) -> Snapshot:
        files = self.run(f"find / -xdev {' '.join(f'-path {path} -prune -o' for path in VOLATILE)} -print")
        units = self.run(
            "systemctl list-unit-files --plain --no-legend; systemctl list-units --all --plain --no-legend"
            " --type service,socket,timer | awk '{print $1, $2, $3}'"
        )
        return Snapshot(
            {path: digest(self.root / path[1:]) for path in files.splitlines() if not path.endswith(BACKUPS)},
            frozenset(" ".join(line.split()) for line in units.splitlines()),
        )

    def close(self) -> None:
        """An orderly shutdown; what does not heed it is killed with its group."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for group in self.groups:
            end_group(group)
        if self.root.is_mount():
            subprocess.run(["umount", self.root], check=True)


@contextmanager
def booted(target: Target, key: Path, trust: Path) -> Iterator[Target]:
    """It runs meanwhile."""
    try:
        target.boot(key, trust)
        yield target
    finally:
        target.close()


def end_group(group: Path) -> None:
    """A control group with all groups in it. Nobody but this machine's processes is in there."""
    if (kill := group / "cgroup.kill").exists():
        kill.write_text("1")
    for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        group.rmdir()


def digest(path: Path) -> str:
    """What tells one file from another: a link's place, a file's contents and rights."""
    mode = path.lstat().st_mode if path.is_symlink() or path.exists() else 0
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_file():
        return f"{mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"{mode:o}"
