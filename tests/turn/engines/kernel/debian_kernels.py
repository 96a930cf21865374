"""Tests of this folder on the kernels of Debian 12 and 13: `make kernels` (root).

Each kernel is booted in QEMU, from Debian's package, with the files of this machine as its own; what it
writes to them is forgotten. Where QEMU has no KVM it emulates, which takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[4]
CACHE = ROOT / ".cache/kernels"
MIRROR = "http://deb.debian.org/debian"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = {"bookworm": "6.1.", "trixie": "6.12."}  # and the first numbers of their kernels
# Not what a newer kernel than Debian 12's has, or what has nothing to do with a kernel.
TESTS = tuple(
    f"tests/turn/engines/kernel/test_{name}.py"
    for name in ("attachment", "engine", "own", "program_equality", "riders", "routes", "strangers")
)
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
PASSED = "all of it passed"
MINUTES = 20

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /below /above /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module; done
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro root /below
mount -t tmpfs tmpfs /above
mkdir /above/new /above/work
mount -t overlay -o lowerdir=/below,upperdir=/above/new,workdir=/above/work overlay /root
for place in proc sys dev; do mount --move /$place /root/$place; done
exec chroot /root /bin/bash {folder}/begin
"""
BEGIN = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /dev/shm /lib/modules
mount -t tmpfs tmpfs /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount --bind {modules} /lib/modules
ip link set lo up
modprobe -a veth sch_ingress cls_bpf
uname -r
cd {root}
{python} -m pytest -v --color=no -p no:cacheprovider {tests} && echo {passed}
echo o > /proc/sysrq-trigger
sleep 9
"""


class Kernel(NamedTuple):
    """An unpacked package; `version` is as `uname -r` says it."""

    folder: Path
    version: str

    @property
    def modules(self) -> Path:
        found = next(place for place in (self.folder / "usr/lib", self.folder / "lib") if place.exists())
        return found / "modules" / self.version


def work(*words: str | Path, **options: object) -> str:
    return subprocess.run(list(map(str, words)), check=True, text=True, capture_output=True, **options).stdout  # type: ignore[call-overload,no-any-return]


class Apt:
    """Debian's packages of one suite, beside those of this machine."""

    def __init__(self, suite: str) -> None:
        self.folder = CACHE / suite / "apt"
        (self.folder / "lists/partial").mkdir(parents=True, exist_ok=True)
        source = f"deb [signed-by={KEYS}] {MIRROR} {suite} main\n"
        (self.folder / "sources.list").write_text(source)
        self.run("apt-get", "update")

    def run(self, program: str, *words: str) -> str:
        places = {
            "Dir::Etc::SourceList": self.folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Sandbox::User": "root",
        }
        options = [word for place, value in places.items() for word in ("-o", f"{place}={value}")]
        return work(program, *options, *words, cwd=self.folder)

    def newest_kernel(self) -> str:
        """The name of the package that linux-image-amd64 stands for."""
        told = self.run("apt-cache", "depends", "--important", "linux-image-amd64")
        return told.split("Depends:")[1].split()[0]


def kernel(suite: str) -> Kernel:
    """From the cache, or from Debian's mirror."""
    folder = CACHE / suite / "kernel"
    if not folder.exists():
        apt = Apt(suite)
        name = apt.newest_kernel()
        apt.run("apt-get", "download", name)
        [package] = apt.folder.glob(f"{name}_*.deb")
        work("dpkg-deb", "-x", package, folder.with_suffix(".part"))
        folder.with_suffix(".part").rename(folder)
    [image] = folder.glob("boot/vmlinuz-*")
    made = Kernel(folder, image.name.removeprefix("vmlinuz-"))
    if not made.version.startswith(SUITES[suite]):
        raise SystemExit(f"{suite} has another kernel now: {made.version}")
    work("depmod", "-b", made.modules.parents[2], made.version)
    return made


def needed(wanted: tuple[str, ...], dependencies: Mapping[str, list[str]]) -> Iterator[str]:
    """Files of modules, in the order in which they can be inserted. One that is built in is none."""
    places = {Path(place).name.partition(".")[0]: place for place in dependencies}
    for name in wanted:
        place = places.get(name)
        if place:
            yield from [*reversed(dependencies[place]), place]


def first_files(kernel: Kernel, folder: Path) -> Path:
    """An archive that the kernel starts with: it looks for the files of this machine, and goes on there."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tree/bin").mkdir(parents=True)
    (folder / "tree/modules").mkdir()
    lines = (kernel.modules / "modules.dep").read_text().splitlines()
    parts = (line.partition(":") for line in lines)
    files = list(dict.fromkeys(needed(MODULES, {place: rest.split() for place, _, rest in parts})))
    for file in files:
        unpack(kernel.modules / file, folder / "tree/modules")
    shutil.copy("/bin/busybox", folder / "tree/bin/busybox")
    names = " ".join(Path(file).name.removesuffix(".xz") for file in files)
    (folder / "tree/init").write_text(INIT.format(modules=names, folder=folder))
    (folder / "tree/init").chmod(0o755)
    told = BEGIN.format(
        modules=kernel.modules.parent, root=ROOT, python=sys.executable, tests=" ".join(TESTS), passed=PASSED
    )
    (folder / "begin").write_text(told)
    archive = folder / "first.cpio"
    work("sh", "-c", f"cd {folder}/tree && find . | busybox cpio -o -H newc > {archive}")
    return archive


def unpack(module: Path, folder: Path) -> None:
    """Debian 13 keeps modules compressed; busybox takes none of these."""
    shutil.copy(module, folder)
    if module.suffix == ".xz":
        work("xz", "-d", folder / module.name)


def boot(kernel: Kernel, archive: Path) -> str:
    """What the machine said until it was off."""
    [image] = kernel.folder.glob("boot/vmlinuz-*")
    export = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "2048", "-smp", "2"),
        *("-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-virtfs", export),
        *("-kernel", str(image), "-initrd", str(archive), "-append", "console=ttyS0 quiet panic=-1"),
    ]
    said = ""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as machine:
        assert machine.stdout
        for line in machine.stdout:
            print(line, end="", flush=True)
            said += line
    return said


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("this needs root: the machine's files are its own, and some only root may read")
    for suite in sys.argv[1:] or SUITES:
        found = kernel(suite)
        print(f"== Debian {suite}, Linux {found.version}", flush=True)
        if PASSED not in boot(found, first_files(found, CACHE / suite / "boot")):
            sys.exit(f"the tests of the kernel engine fail on Linux {found.version}")


if __name__ == "__main__":
    main()
