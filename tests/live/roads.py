"""A caller with two networks, a partner and the service, each in a network namespace of its own.

    caller 10.66.1.2 ══ first ══ 10.66.1.1
    caller 10.66.2.2 ── second ─ 10.66.2.1  service 10.66.9.9  10.66.3.1 ── partner 10.66.3.2

The caller's first network is the better one, as Wi-Fi is on a telephone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from playwright.async_api import Browser, Playwright, async_playwright

from tests.live.service import Service
from tests.live.visitors import CHROMIUM, FIREFOX
from tests.turn.engines.land import Place, ip

HOST = "10.66.9.9"
SECURE = {"dom.securecontext.allowlist": HOST, "media.devices.insecure.enabled": True}


class Roads:
    """The three places. Their changes are made from the outside, and nobody is told."""

    def __init__(self) -> None:
        self.service, self.caller, self.partner = Place(), Place(), Place()
        self.lay("first", self.caller, 1)
        self.lay("second", self.caller, 2)
        self.lay("third", self.partner, 3)
        with self.service.inside():
            ip(f"address add {HOST}/32 dev lo")
        self.take_route("first", 1)
        self.take_route("second", 2)
        with self.partner.inside():
            ip("route add default via 10.66.3.1")

    def lay(self, link: str, far: Place, number: int) -> None:
        with self.service.inside():
            ip(f"link add {link} type veth peer name {link} netns /proc/{os.getpid()}/fd/{far.descriptor}")
        for place, host in ((self.service, 1), (far, 2)):
            with place.inside():
                ip(f"address add 10.66.{number}.{host}/24 dev {link}")
                ip(f"link set {link} up")

    def take_route(self, link: str, number: int) -> None:
        with self.caller.inside():
            ip(f"route add default via 10.66.{number}.1 dev {link} metric {number}00")

    def leave_first_network(self) -> None:
        """As out of the reach of a Wi-Fi: the second one is there already."""
        with self.caller.inside():
            ip("link set first down")

    def drop_second_network(self) -> None:
        with self.caller.inside():
            ip("link set second down")

    def take_second_network(self) -> None:
        """As a telephone that leaves its Wi-Fi: one network goes with its address, and another comes."""
        with self.caller.inside():
            ip("address flush dev first")  # else the kernel goes on sending from it
            ip("link set first down")
            ip("link set second up")
        self.take_route("second", 2)

    def take_first_network(self) -> None:
        with self.caller.inside():
            ip("link set second down")
            ip("link set first up")
            ip("address add 10.66.1.2/24 dev first")
        self.take_route("first", 1)

    def change_address(self) -> None:
        """As from one Wi-Fi to another, or with the provider's new address."""
        with self.caller.inside():
            ip("address flush dev first")
            ip("address add 10.66.1.77/24 dev first")
        self.take_route("first", 1)

    def swallow(self, what: str = "") -> None:
        """Nothing of it passes the caller's first network any more, there or back, and nobody is told."""
        ways = {"prerouting": "iifname", "postrouting": "oifname"}
        commands = ["add table inet hole"]
        for hook, name in ways.items():
            commands += [f"add chain inet hole {hook} {{ type filter hook {hook} priority -300; }}"]
            commands += [f"add rule inet hole {hook} {name} first {what} drop"]
        self.service_nft("; ".join(commands))

    def let_through(self) -> None:
        self.service_nft("delete table inet hole")

    def service_nft(self, commands: str) -> None:
        with self.service.inside():
            subprocess.run(["nft", commands], check=True)

    def close(self) -> None:
        for place in (self.service, self.caller, self.partner):
            os.close(place.descriptor)


class FarService(Service):
    """The service, found at an address that is not this machine's loopback."""

    def __init__(self, folder: Path, roads: Roads) -> None:
        super().__init__(folder, {})
        self.roads = roads
        self.url = f"http://{HOST}:{self.http}/"
        told = yaml.safe_load(self.file.read_text())
        told["site"]["url"] = self.url.rstrip("/")
        told["server"]["listen"] = f"{HOST}:{self.http}"
        listen = [f"{way}://{HOST}:{self.turn}" for way in ("udp", "tcp")]
        told["turn"] |= {"listen": listen, "allow_peers": ["10.66.0.0/16"]}
        self.file.write_text(yaml.safe_dump(told))

    def page_answers(self) -> bool:
        return self.answers("http", self.http)

    def relay_answers(self) -> bool:
        return True  # the page is asked for first, and a call would not come to be without the relay

    def answers(self, kind: str, port: int) -> bool:
        with self.roads.service.inside():
            asked = subprocess.run(
                ["curl", "-fso", "/dev/null", f"{kind}://{HOST}:{port}/healthz"], check=False
            )
        return asked.returncode == 0


@asynccontextmanager
async def driver(place: Place) -> AsyncIterator[Playwright]:
    """Its browsers are at this place."""
    with place.inside():
        playing = async_playwright()
        playwright = await playing.start()
    try:
        yield playwright
    finally:
        await playwright.stop()


async def browser_at(playwright: Playwright, kind: str, url: str, *flags: str) -> Browser:
    """A Chromium, with these flags, or Firefox that gives a microphone to this page although it has no
    certificate."""
    if kind == "chromium":
        secure = f"--unsafely-treat-insecure-origin-as-secure={url.rstrip('/')}"
        return await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*CHROMIUM, secure, *flags]
        )
    prefs: Mapping[str, Any] = {**FIREFOX, **SECURE}
    return await playwright.firefox.launch(
        channel="moz-firefox", executable_path="/usr/bin/firefox-esr", firefox_user_prefs=dict(prefs)
    )
