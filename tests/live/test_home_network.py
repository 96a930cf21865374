"""What a household with a /48 and ten addresses can take of a real server and relay, and what others get.

The limits are smaller than the defaults, in the same proportion to each other, so that they are soon met.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from deploy.doctor.operator_client import request_json
from server.signalling.messages import PROTOCOL
from tests.bench import client as turn_client
from tests.bench.client import Account, Client, Refused
from tests.live.service import Service
from tests.server.serving import Browser
from tests.turn.engines.land import Place

HERE6, HERE4 = "2001:db8:5::1", "127.0.0.1"
HOUSEHOLDS = [f"2001:db8:bad:{number:x}::1" for number in range(60)]
TEN = [f"127.0.9.{number}" for number in range(1, 11)]
HONEST6, HONEST4 = "2001:db8:900d::7", "127.0.0.5"

PAGES, CONNECTIONS, NEW_VISITORS, ALLOCATIONS = 6, 10, 20, 20  # of one address
LIMITS = {
    "visitors_per_address": PAGES,
    "visitors": 16 * PAGES,
    "connections_per_address": CONNECTIONS,
    "new_visitors_per_minute": NEW_VISITORS,
    "rematch_seconds": 0,
}
RELAY_LIMITS = {"allocations_per_address": ALLOCATIONS, "allocations": 13 * ALLOCATIONS}


@pytest.fixture
def place() -> Iterator[None]:
    """A network of our own, in which every address of two /48s is one of this machine's."""
    if os.geteuid():
        pytest.skip("needs root, to make a network namespace")
    made = Place()
    with made.inside():
        for words in (
            f"addr add {HERE6}/128 dev lo",
            *(f"-6 route add local {net}::/48 dev lo" for net in ("2001:db8:bad", "2001:db8:900d")),
        ):
            subprocess.run(["ip", *words.split()], check=True)  # our own words
        Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
        yield
    os.close(made.descriptor)


class World(Service):
    """A service at an IPv4 and an IPv6 address."""

    def here(self, address: str) -> str:
        """Where a client at this address finds it."""
        return HERE6 if ":" in address else HERE4

    def place(self, address: str) -> str:
        here = self.here(address)
        return f"[{here}]:{self.http}" if ":" in here else f"{here}:{self.http}"

    async def page(self, address: str) -> Browser:
        """A page that has said hello. Raises ConnectionClosed and OSError where there is no room."""
        browser = Browser(
            await connect(
                f"ws://{self.place(address)}/ws",
                origin=Origin(f"http://{self.place(address)}"),
                subprotocols=[Subprotocol(PROTOCOL)],
                compression=None,
                ping_interval=None,
                local_addr=(address, 0),
                close_timeout=1,
            )
        )
        await browser.hello()
        return browser

    async def pages(self, addresses: list[str]) -> list[Browser]:
        """As many as these addresses get; after ten refusals in a row they give up."""
        opened: list[Browser] = []
        refusals = 0
        for address in cycle(addresses):
            try:
                opened.append(await self.page(address))
                refusals = 0
            except (ConnectionClosed, OSError):
                refusals += 1
            if refusals == 10:
                return opened
        raise AssertionError("there are always more")

    async def status(self, address: str) -> tuple[int, asyncio.StreamWriter]:
        """What a request for the page is answered with, on a connection that stays; 0: it was closed."""
        reader, writer = await asyncio.open_connection(self.here(address), self.http, local_addr=(address, 0))
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {self.place(address)}\r\n\r\n".encode())
            return int((await reader.readline())[9:12] or b"0"), writer
        except ConnectionError:
            return 0, writer

    async def held(self, addresses: list[str]) -> list[asyncio.StreamWriter]:
        """Connections that these addresses keep open beside their pages."""
        kept: list[asyncio.StreamWriter] = []
        for address in addresses * (20 // len(addresses) + 1):
            status, writer = await self.status(address)
            if status == 200:
                kept.append(writer)
            else:
                writer.transport.abort()
        return kept

    def allocation(self, address: str, page_ice: dict[str, Any]) -> Client:
        """Raises Refused."""
        relay = page_ice["ice"]["iceServers"][-1]
        account = Account((self.here(address), self.turn), relay["username"], relay["credential"])
        client = Client(account, address)
        try:
            client.allocate()
        except Refused:
            client.line.sock.close()
            raise
        return client

    async def allocations(self, addresses: list[str], pages: list[Browser]) -> list[Client]:
        """As many as these addresses get, each with the credential of one of their pages."""
        got: list[Client] = []
        credentials = cycle([await ice_of(page) for page in pages])
        refusals = 0
        for address in cycle(addresses):
            try:
                got.append(self.allocation(address, next(credentials)))
                refusals = 0
            except Refused:
                refusals += 1
            if refusals == 5:
                return got
        raise AssertionError("there are always more")

    def codes(self) -> set[str]:
        return {row["code"] for row in request_json(self.state, "GET", "/reports")["reports"]}


async def ice_of(page: Browser) -> dict[str, Any]:
    await page.say("ice")
    answer: dict[str, Any] = await page.hear("ice")
    return answer


async def meet(one: Browser, other: Browser) -> None:
    for page in (one, other):
        await page.say("start")
        await page.hear("waiting")
    for page in (one, other):
        page.call = (await page.hear("matched"))["call"]


async def report(page: Browser) -> str:
    await page.tell("report", reason="spam")
    return str((await page.hear("reported"))["code"])


async def part(one: Browser, other: Browser) -> None:
    await one.say("stop")
    for page in (one, other):
        await page.hear("stopped" if page is one else "ended")


async def honest_visit(world: World) -> str:
    """Everything that two honest visitors want; the code of a report of theirs."""
    for address in (HONEST6, HONEST4):
        status, writer = await world.status(address)
        assert status == 200
        writer.transport.abort()
    one, other = await world.page(HONEST6), await world.page(HONEST4)
    for page, address in ((one, HONEST6), (other, HONEST4)):
        client = world.allocation(address, await ice_of(page))
        client.line.sock.close()
    await meet(one, other)
    code = await report(other)
    for page in (one, other):
        await page.close()
    return code


@pytest.fixture
def addresses_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    def endpoint(local: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((local, 0))
        return sock

    monkeypatch.setattr(turn_client, "endpoint", endpoint)


def listen_at_both(world: World) -> None:
    told = yaml.safe_load(world.file.read_text())
    places = [world.place(address) for address in (HONEST4, HONEST6)]
    told["site"] |= {"url": f"http://{places[1]}", "more_urls": [f"http://{places[0]}"]}
    told["server"]["listen"] = places
    told["turn"]["listen"] = [f"udp://{place.rpartition(':')[0]}:{world.turn}" for place in places]
    world.file.write_text(yaml.safe_dump(told))


@pytest.mark.usefixtures("place", "addresses_of_both_families")
async def test_a_48_and_ten_addresses_leave_all_that_others_need(tmp_path: Path) -> None:
    world = World(tmp_path, {"server": dict(LIMITS), "turn": {"limits": RELAY_LIMITS}})
    listen_at_both(world)
    await world.open()
    try:
        await attack(world)
    finally:
        await world.close()


async def attack(world: World) -> None:
    first = await honest_visit(world)
    of_site = await world.pages(HOUSEHOLDS)
    assert len(of_site) == 2 * PAGES
    of_ten = [await world.pages([address]) for address in TEN]
    assert [len(pages) for pages in of_ten] == [PAGES] * 10
    connections = await world.held(HOUSEHOLDS)
    assert len(connections) == 2 * (CONNECTIONS - PAGES)
    for address in TEN:
        more = await world.held([address])
        assert len(more) == CONNECTIONS - PAGES
        connections += more
    clients = await world.allocations(HOUSEHOLDS, of_site)
    assert len(clients) == 2 * ALLOCATIONS
    for address, pages in zip(TEN, of_ten, strict=True):
        more_clients = await world.allocations([address], pages)
        assert len(more_clients) == ALLOCATIONS
        clients += more_clients
    second = await honest_visit(world)
    one, other = of_site[0], of_ten[0][0]
    await meet(one, other)
    flood = {await report(one), await report(other)}  # floods of them: test_reports.py
    assert {first, second} | flood <= world.codes()
    third = await honest_visit(world)
    assert {first, second, third} <= world.codes()
    for page in [*of_site, *(page for pages in of_ten for page in pages)]:
        page.cut()
    for writer in connections:
        writer.transport.abort()
    for client in clients:
        client.line.sock.close()
    await asyncio.sleep(0)
