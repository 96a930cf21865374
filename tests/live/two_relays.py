"""A site with two relays on this machine: the second has another address, and a state of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from config.file import load_config
from deploy.cli.relay import get
from tests.live.service import Service

SECRET = "0123456789abcdef0123456789abcdef"
HOSTS = ("127.0.0.1", "127.0.0.2")
WAYS = ("udp", "tcp")


def sections(folder: Path) -> dict[str, dict[str, Any]]:
    (folder / "secret").write_text(f"{SECRET}\n")
    (folder / "secret").chmod(0o600)
    return {"turn": {"secret_file": str(folder / "secret"), "host": HOSTS[0], "more_hosts": [HOSTS[1]]}}


@asynccontextmanager
async def second_relay(service: Service, folder: Path) -> AsyncIterator[Service]:
    """The relay of another machine, at the same port as the first."""
    given = yaml.safe_load(service.file.read_text())["turn"]
    listen = [f"{way}://{HOSTS[1]}:{service.turn}" for way in WAYS]
    del given["host"], given["more_hosts"]
    second = Service(folder, {"turn": {**given, "listen": listen}})
    await second.begin("relay", lambda: (second.state / "relay.sock").exists())
    yield second
    await second.close()


async def held(service: Service) -> list[str]:
    """Users by the allocations they hold there."""
    said = await asyncio.to_thread(get, load_config(service.file), "/sessions")
    return [session["user"] for session in said["sessions"]]


async def figures(service: Service) -> Counter[str]:
    """The relay's figures by name, and those of the gate by rule and reason."""
    said = await asyncio.to_thread(get, load_config(service.file), "/stats")
    counts: Counter[str] = Counter()
    for figure in said["figures"]:
        labels = figure["labels"]
        name = f"{labels['rule']} {labels['reason']}" if "rule" in labels else figure["name"]
        counts[name.removeprefix("calln_relay_")] += int(figure["value"])
    return counts
