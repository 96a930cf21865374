"""How soon the page can be used by somebody far away, by a real browser behind a link that takes its time.

    python -m tests.bench.first_load [--round-trip 400] [--loads 5]

As root: it makes two network namespaces with a link between them. This process is the link: it reads each
IP packet on one side, waits, and writes it on the other. So each round trip of TCP and TLS counts, and those
of a slow start.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from playwright.async_api import Browser

from tests.interop.certificates import make
from tests.interop.clients.browser import trust_in
from tests.live.roads import driver
from tests.live.service import Service
from tests.live.visitors import CHROMIUM
from tests.ports import free_port
from tests.turn.engines.land import Place, ip

HERE, THERE = "10.66.7.1", "10.66.7.2"  # the service, and who visits it
SET_INTERFACE, PLAIN_TUNNEL = 0x400454CA, 0x1001  # linux/if_tun.h: TUNSETIFF; IFF_TUN and IFF_NO_PI
LARGEST = 2048  # bytes of a packet: more than the link's MTU
LANGUAGES = ("en", "uk")  # the shortest page and the longest
COUNTRIES = {"geoip": "2130706432,2147483647,DE\n", "geoip6": "::1,::1,DE\n"}
RESOLVE = f"--host-resolver-rules=MAP localhost {HERE}"
PATIENCE = 30_000  # ms
# In ms since the address was asked for: when Start can be pressed, and when the script has taken over.
WATCH = """
window.seen = {};
new MutationObserver(() => {
  const start = document.getElementById("start");
  if (start && !start.disabled) seen.press ??= performance.now();
  if (document.body?.dataset.state && start && !start.disabled && !start.hasAttribute("popovertarget")) {
    seen.ready ??= performance.now();
  }
}).observe(document, { attributes: true, childList: true, subtree: true });
"""


class Distant(Service):
    """At an address behind the link; its visitors choose among all countries."""

    scheme = "http"

    def __init__(self, folder: Path, place: Place) -> None:
        self.place = place
        self.files = make(folder)
        for name, text in COUNTRIES.items():
            (folder / name).write_text(text)
        self.port = free_port()
        url = f"{self.scheme}://localhost:{self.port}"
        site, geo = {"url": url}, {"database": str(folder)}
        super().__init__(folder, {"site": site, "geo": geo, "server": self.server()})
        self.url = url

    def server(self) -> dict[str, str]:
        return {"listen": f"{HERE}:{self.port}"}

    async def open(self) -> None:
        with self.place.inside():
            await self.begin("serve", self.page_answers)

    def page_answers(self) -> bool:
        with self.place.inside(), suppress(OSError):
            socket.create_connection((HERE, self.port), timeout=1).close()
            return True
        return False


class Secure(Distant):
    """With TLS of its own."""

    scheme = "https"

    def server(self) -> dict[str, str]:
        files = {"certificate": str(self.files.chain), "key": str(self.files.key)}
        return {"listen": f"{HERE}:{free_port()}", "tls_listen": f"{HERE}:{self.port}", **files}


class Link:
    """A wire between two places; a packet needs `delay` seconds from one end to the other."""

    def __init__(self, places: tuple[Place, Place], delay: float) -> None:
        self.delay = delay
        self.ends = [tunnel(place, address) for place, address in zip(places, (HERE, THERE), strict=True)]

    @contextmanager
    def carrying(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for end, other in (self.ends, self.ends[::-1]):
            loop.add_reader(end, self.carry, end, other)
        yield
        while self.ends:
            end = self.ends.pop()
            loop.remove_reader(end)
            os.close(end)

    def carry(self, end: int, other: int) -> None:
        packet = os.read(end, LARGEST)
        asyncio.get_running_loop().call_later(self.delay, self.deliver, other, packet)

    def deliver(self, end: int, packet: bytes) -> None:
        if end in self.ends:
            os.write(end, packet)


def tunnel(place: Place, address: str) -> int:
    """An end of the link, as a file."""
    with place.inside():
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(end, SET_INTERFACE, struct.pack("16sH22x", b"far", PLAIN_TUNNEL))
        ip(f"address add {address}/24 dev far")
        ip("link set far up")
    return end


async def load(browser: Browser, url: str, language: str) -> dict[str, float]:
    context = await browser.new_context(locale=language)
    page = await context.new_page()
    await page.add_init_script(WATCH)
    await page.goto(url, timeout=PATIENCE)
    await page.wait_for_function("window.seen.ready", timeout=PATIENCE)
    seen: dict[str, float] = await page.evaluate("window.seen")
    await context.close()
    return seen


async def row(browser: Browser, url: str, language: str, loads: int) -> str:
    await load(browser, url, language)  # the first visitor waits until the page is made
    every = [await load(browser, url, language) for _ in range(loads)]
    press, ready = (median(seen[moment] for seen in every) for moment in ("press", "ready"))
    return f"{url.split(':')[0]:<6} {language:<9} {press:>12.0f} {ready:>12.0f}"


async def measure_one(service: Distant, there: Place, loads: int) -> None:
    home = service.folder / "home"
    trust_in(home / ".pki/nssdb", str(service.files.trust))
    try:
        await service.open()
        async with driver(there) as playwright:
            browser = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=[*CHROMIUM, RESOLVE], env={"HOME": str(home)}
            )
            for language in LANGUAGES:
                print(await row(browser, service.url, language, loads), flush=True)
    finally:
        await service.close()


async def measure(folder: Path, round_trip: float, loads: int) -> None:
    here, there = Place(), Place()
    print(f"{round_trip:g} ms there and back, a first load; milliseconds, median of {loads}")
    print(f"{'':<6} {'language':<9} {'Start counts':>12} {'script there':>12}")
    with Link((here, there), round_trip / 2000).carrying():
        for name, kind in (("plain", Distant), ("secure", Secure)):
            (folder / name).mkdir()
            await measure_one(kind(folder / name, here), there, loads)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--round-trip", type=float, default=400.0, metavar="MS")
    words.add_argument("--loads", type=int, default=5)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measure(Path(name), asked.round_trip, asked.loads))


if __name__ == "__main__":
    main()
