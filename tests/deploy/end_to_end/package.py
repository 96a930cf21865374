"""The Debian package on booted machines: how it is built for them, and how apt is asked there."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

from deploy.remote.secrets import AUTHORITY
from tests.deploy.end_to_end.admin import CACHE, DEBIANS, fetched_once
from tests.deploy.end_to_end.conftest import NAME
from tests.deploy.end_to_end.target import Target

URL = f"https://{NAME}/"
ETC = "etc/calln"
ANSWERS = (NAME, "", "internal", "", "", "")


def build(tree: Path, folder: Path, *suites: str) -> None:
    """For the Pythons of these machines alone, and not as small as it could be."""
    for suite in suites:
        fetched_once(DEBIANS[suite])
    command = [
        sys.executable,
        "-m",
        "deploy.remote.debian",
        str(folder),
        "--cache",
        str(CACHE),
        "--level",
        "0",
    ]
    pythons = sorted(DEBIANS[suite].python for suite in suites)
    command += ["--pythons", *pythons, "--maintainer", "A test <test@calln.test>"]
    subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=True)


def package(built: Path, version: str) -> Path:
    (found,) = built.glob(f"calln_{version}_*.deb")
    return found


async def apt(target: Target, *words: object) -> str:
    line = f"DEBIAN_FRONTEND=noninteractive apt-get --yes {shlex.join(map(str, words))} 2>&1"
    return await asyncio.to_thread(target.run, line)


async def set_up(target: Target) -> str:
    """Six answers; what was said."""
    answers = shlex.join(f"{answer}\n" for answer in ANSWERS)
    return await asyncio.to_thread(target.run, f"printf %s {answers} | calln setup 2>&1")


def authority(target: Target) -> Path:
    """The root certificate that the machine has made."""
    return target.root / ETC / AUTHORITY / "root.pem"
