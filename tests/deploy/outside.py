"""Who calls from outside: Chromium in the network of the machines, which believes the authority there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from playwright.async_api import Browser, Playwright

from tests.deploy.network import Network
from tests.live.visitors import CHROMIUM


async def open_outside(playwright: Playwright, network: Network, home: Path, root: Path) -> Browser:
    """A Chromium that believes this authority and asks the network's name server."""
    store = home / ".pki/nssdb"
    store.mkdir(parents=True)
    begin = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*begin, "-N", "--empty-password"], check=True)
    subprocess.run([*begin, "-A", "-t", "C,,", "-n", "the authority", "-i", root], check=True)
    program = network.program(home / "chromium", ("/usr/bin/chromium",))
    return await playwright.chromium.launch(
        executable_path=program, args=[*CHROMIUM], env={"HOME": str(home)}
    )
