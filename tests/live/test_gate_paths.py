"""Where calls go besides straight through one relay: there in their middle, and through two workers."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.live.gated import account, gated, telling
from tests.live.impairment import Impairment, Network
from tests.live.pairs import MORE, Carry, Description, Pair, as_it_is, bare, heard

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANY = 100  # packets: some seconds of a call
MOST_RESTARTS = 10  # until each end has met both of two workers
CLEAR = Network(0.0, 0.0, 0.0, 0.0)


class Wires:
    """Direct paths that can be cut: each description that goes along leads to one of them, and only there."""

    def __init__(self) -> None:
        self.wires: list[Impairment] = []

    async def lay(self, description: Description) -> Description:
        lines = description["sdp"].splitlines()
        direct = next(line for line in lines if is_direct(line))
        words = direct.split()
        wire = Impairment(int(words[5]), "a wire", CLEAR, words[4])
        self.wires.append(wire)
        words[4:6] = "127.0.0.1", str(await wire.open())
        kept = [" ".join(words) if line is direct else line for line in lines]
        kept = [line for line in kept if line == " ".join(words) or not line.startswith("a=candidate:")]
        return {**description, "sdp": "".join(f"{line}\r\n" for line in kept)}

    async def cut(self) -> None:
        for wire in self.wires:
            await wire.close()


def is_direct(line: str) -> bool:
    """Whether this is a candidate for UDP and IPv4 at the very address of a page."""
    return (
        line.startswith("a=candidate:") and " udp " in line and " typ host" in line and ":" not in line[12:]
    )


@pytest_asyncio.fixture(loop_scope="module")
async def pair(chromium: Browser) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        contexts = [await chromium.new_context() for _ in range(2)]
        for context in contexts:
            stack.push_async_callback(context.close)
        yield Pair(*[await bare(context) for context in contexts])


async def move(pair: Pair, read: Carry = as_it_is) -> None:
    """A call by a direct path, which is cut; then both look for another one by the relay alone. `read` reads
    each description on its way."""
    wires = Wires()

    async def carry(description: Description) -> Description:
        return await wires.lay(await read(description))

    pair.carry = carry
    await pair.meet()
    await pair.hears(way="prflx")  # a wire is as a NAT to them
    await wires.cut()
    pair.carry = read
    await pair.restart("relay")


async def workers_of(page: Page) -> set[str]:
    """The processes that hold the relayed addresses which a page's description names."""
    sdp = await page.evaluate("connection.localDescription.sdp")
    sockets = await asyncio.create_subprocess_exec("ss", "-Huanp", stdout=asyncio.subprocess.PIPE)
    said, _ = await sockets.communicate()
    owners = dict(re.findall(r"^\S+ +\d+ +\d+ +\S+:(\d+) .*pid=(\d+)", said.decode(), re.MULTILINE))
    return {owners[port] for port in re.findall(r"^a=candidate:.* (\d+) typ relay", sdp, re.MULTILINE)}


async def test_the_allocations_of_a_browser_may_meet_different_workers(pair: Pair, tmp_path: Path) -> None:
    """Who meets which of them is the kernel's choice, so a call restarts ICE until it has chosen both."""
    met: tuple[set[str], set[str]] = (set(), set())
    async with gated(tmp_path, workers=2) as relay:
        await pair.open(relay.url("udp"), (account(), account()))
        await pair.meet()
        await pair.hears()
        for _ in range(MOST_RESTARTS):
            await pair.restart()
            await pair.hears()
            for page, workers in zip(pair.ends, met, strict=True):
                workers |= await workers_of(page)
            if [len(workers) for workers in met] == [2, 2]:
                break
        assert [len(workers) for workers in met] == [2, 2]
        assert await relay.refused(Counter()) == {}


@pytest.mark.parametrize("number", [1, 2])
async def test_a_live_call_moves_from_a_direct_path_to_the_relay(
    pair: Pair, tmp_path: Path, number: int
) -> None:
    """Where our own signalling has checked it, and from when both ends have consented to the new path: what
    one sends before is refused. With two relays, each end may be at either of them."""
    accounts = (account(), account())
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(gated(folder(tmp_path, name))) for name in range(number)]
        tellers = [await stack.enter_async_context(telling(relay, accounts)) for relay in relays]

        async def read(description: Description) -> Description:
            for teller in tellers:
                await teller.read(description)
            return description

        await pair.open([relay.url("udp") for relay in relays], accounts, policy="all")
        await move(pair, read)
        await pair.hears(way="relay udp")
        before = [await relay.figures() for relay in relays]
        await pair.hears(way="relay udp")
        refused = [await relay.refused(known) for relay, known in zip(relays, before, strict=True)]
        assert refused == [{}] * number
        assert sum([(await relay.figures())["media"] for relay in relays]) > 50


def folder(parent: Path, name: int) -> Path:
    made = parent / str(name)
    made.mkdir()
    return made


async def test_a_call_that_nobody_vouches_for_does_not(pair: Pair, tmp_path: Path) -> None:
    """A handshake that nobody saw is none."""
    async with gated(tmp_path) as relay:
        await pair.open(relay.url("udp"), (account(), account()), policy="all")
        await move(pair)
        await pair.hears({}, way="relay udp")
        known = [await heard(page) for page in pair.ends]
        await pair.until_sent(max(end["sent"] for end in known) + MANY)
        now = [await heard(page) for page in pair.ends]
        assert [[end[kind] for kind in MORE] for end in now] == [
            [end[kind] for kind in MORE] for end in known
        ]
        figures = await relay.figures()
        assert figures["media"] == 0
        assert figures["no handshake"] > MANY
