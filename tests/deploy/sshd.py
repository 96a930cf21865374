"""A real sshd on this machine, at a port of its own: it lets in who has the key `ours`."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from config.deploy import Host
from tests.ports import free_port

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
NEEDED = pytest.mark.skipif(SSHD is None or os.geteuid() != 0, reason="needs root and openssh-server")


class Served(NamedTuple):
    """An sshd, and the folder with its keys."""

    folder: Path
    port: int

    def host(self, key: str = "ours", address: str = "127.0.0.1") -> Host:
        place = f"{getpass.getuser()}@{address}:{self.port}"
        return Host.model_validate({"address": place, "key": str(self.folder / key)})


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """With keys in this folder: of the machine, ours, and another one."""
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("machine", "ours", "another"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    served = Served(folder, free_port())
    settings = (
        f"Port={served.port}",
        "ListenAddress=127.0.0.1",
        f"HostKey={folder / 'machine'}",
        "UsePAM=no",
        f"AuthorizedKeysFile={folder / 'ours.pub'}",
        "StrictModes=no",
        "PidFile=none",
        "Subsystem=sftp internal-sftp",
    )
    words = [word for setting in settings for word in ("-o", setting)]
    with subprocess.Popen([str(SSHD), "-D", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL) as process:
        wait_for(served.port)
        yield served
        process.terminate()


def wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            return
