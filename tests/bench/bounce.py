"""What the machine itself needs for a packet: a program at the end of the cable that sends each one back."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.cable import Net

SOURCE, COMPILER = Path(__file__).with_name("bounce.bpf.c"), "clang-14"


@contextmanager
def bouncing(net: Net, folder: Path) -> Iterator[None]:
    """Meanwhile, the server's end does nothing else."""
    made = folder / "bounce.o"
    headers = f"/usr/include/{platform.machine()}-linux-gnu"
    subprocess.run(
        [COMPILER, "-O2", "-g", "-target", "bpf", "-I", headers, "-c", str(SOURCE), "-o", str(made)],
        check=True,
    )
    for name, program in ((net.load, "pass"), (net.server, "bounce")):
        set_program(name, "object", str(made), "program", program)
    yield
    for name in net:
        set_program(name, "off")


def set_program(name: str, *words: str) -> None:
    subprocess.run(["ip", "-n", name, "link", "set", "cable", "xdpdrv", *words], check=True)
