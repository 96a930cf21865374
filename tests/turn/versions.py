"""Versions of a relay that follow each other, as processes in a network of their own, and calls meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
from aioice import stun

from tests.turn.engines.certificates import certificate
from tests.turn.engines.land import Place
from tests.turn.engines.world import PATIENCE, Client, End, StreamEnd, attributes, close, framed, free
from tests.turn.process.relay_process import ROOT, Elsewhere
from tests.turn.service.caller import Caller
from tests.turn.service.running import ALICE, RELAYED
from turn.flows import Address, Flow, Transport

LONG = 30.0  # seconds; only a hang takes so long
CHANNEL = 0x4000
DATA = 0x0013
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@contextmanager
def own_network() -> Iterator[None]:
    """What this thread opens and starts is in a network namespace of nothing but loopback."""
    place = Place()
    try:
        with place.inside():
            yield
    finally:
        os.close(place.descriptor)


class Version:
    """One process, and its operator's door under its own name."""

    def __init__(self, process: asyncio.subprocess.Process, door: Path) -> None:
        self.process = process
        self.door = door

    async def figures(self) -> dict[str, float]:
        transport = httpx.AsyncHTTPTransport(uds=str(self.door))
        async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=LONG) as operator:
            figures = (await operator.get("/stats")).json()["figures"]
        sums: dict[str, float] = {}
        for row in figures:
            name = row["name"].removeprefix("calln_relay_")
            sums[name] = sums.get(name, 0.0) + row["value"]
        return sums

    async def allocations(self) -> int:
        return int((await self.figures()).get("allocations", 0))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), LONG)


class Succession:
    """A configuration, the versions that run by it, and who calls."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1", **keys: object) -> None:
        self.host = LOOPBACK[6 if ":" in listen else 4]
        self.places: dict[Transport, Address] = {
            transport: free(self.host, transport) for transport in ("udp", "tcp", "tls")
        }
        shown = [str(place._replace(ip=Address.of(listen, 0).ip)) for place in self.places.values()]
        self.folder = folder
        chain, key = certificate()
        self.config = Elsewhere(
            folder,
            listen=shown,
            certificate=str(chain),
            key=str(key),
            relay_ports=RELAYED,
            relay_addresses=[self.host],
            users=dict([ALICE]),
            limits={"allocations_per_user": 0, "allocations_per_address": 0},
            **keys,
        )
        self.ends: list[End] = []
        self.streams: list[StreamEnd] = []
        self.pumps: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pump in self.pumps:
            pump.cancel()
            with suppress(asyncio.CancelledError):
                await pump
        await close(self.ends, self.streams)

    @asynccontextmanager
    async def version(self) -> AsyncIterator[Version]:
        known = {*self.doors()}
        process = await self.start()
        try:
            assert process.stdout
            line = await asyncio.wait_for(process.stdout.readline(), LONG)
            assert line.decode().startswith("calln relay: "), (self.folder / "log").read_text()
            [door] = {*self.doors()} - known
            yield Version(process, door)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def doors(self) -> Iterator[Path]:
        return (self.folder / "s").glob("relay.sock.*")

    async def start(self) -> asyncio.subprocess.Process:
        with (self.folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "turn", "--config", str(self.config.file)),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    def end(self) -> End:
        self.ends.append(End(self.host))
        return self.ends[-1]

    async def caller(self, transport: Transport = "udp") -> Talker:
        end: Client
        if transport == "udp":
            end = self.end()
        else:
            end = await StreamEnd.connect(self.places[transport])
            self.streams.append(end)
        talker = Talker(self.places[transport], end)
        self.pumps.append(asyncio.create_task(talker.sorted.pump()))
        return talker

    async def call(self, transport: Transport, channel: int | None = CHANNEL) -> Call:
        """Somebody with an allocation who talks with a peer from now on."""
        call = Call(await self.caller(transport), self.end(), channel)
        await call.begin()
        self.pumps += [asyncio.create_task(call.listen()), asyncio.create_task(call.speak())]
        return call


class Sorted:
    """A client's end that keeps data and answers apart."""

    def __init__(self, end: Client) -> None:
        self.end = end
        self.address = end.address
        self.heard: list[bytes] = []
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def pump(self) -> None:
        """Until the connection ends, where there is one."""
        with suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while True:
                with suppress(TimeoutError):
                    self.sort(await self.end.receive())

    def sort(self, frame: bytes) -> None:
        if frame[0] & 0xC0 == 0x40:
            self.heard.append(frame[4:])
        elif frame[:2] == b"\x00\x17":
            self.heard.append(dict(attributes(frame))[DATA])
        else:
            self.answers.put_nowait(frame)

    def send(self, data: bytes, there: Address) -> None:
        self.end.send(data, there)

    async def receive(self) -> bytes:
        return await asyncio.wait_for(self.answers.get(), PATIENCE)

    async def receive_from(self) -> tuple[bytes, Address]:
        raise AssertionError("nobody asks whence")

    def close(self) -> None:
        self.end.close()


class Talker(Caller):
    """A TURN client that hears data between the answers."""

    def __init__(self, listener: Address, end: Client) -> None:
        self.sorted = Sorted(end)
        self.listener = listener
        self.user, self.password = ALICE
        self.end = self.sorted
        self.signed: dict[str, object] = {}
        self.key = None

    async def refresh(self, lifetime: int = 600) -> stun.Class:
        return (await self.ask(stun.Method.REFRESH, LIFETIME=lifetime)).message_class

    async def permit(self, peer: Address) -> stun.Class:
        there = (peer.host, peer.port)
        return (await self.ask(stun.Method.CREATE_PERMISSION, XOR_PEER_ADDRESS=there)).message_class


class Call:
    """Numbered packets both ways, a hundred a second."""

    def __init__(self, talker: Talker, peer: End, channel: int | None) -> None:
        self.talker = talker
        self.peer = peer
        self.channel = channel
        self.sent = 0
        self.over = False
        self.heard: list[bytes] = []  # by the peer

    async def begin(self) -> None:
        self.relay = await self.talker.allocate()
        await self.renew()
        self.flow = Flow(
            self.talker.end.address, self.talker.listener, self.channel, self.relay, self.peer.address
        )

    async def renew(self) -> None:
        """All that a client asks for while it talks."""
        assert await self.talker.refresh() is stun.Class.RESPONSE
        assert await self.talker.permit(self.peer.address) is stun.Class.RESPONSE
        if self.channel is not None:
            assert await self.talker.bind(self.channel, self.peer.address) is stun.Class.RESPONSE

    async def listen(self) -> None:
        while True:
            with suppress(TimeoutError):
                self.heard.append(await self.peer.receive())

    async def speak(self) -> None:
        while not self.over:
            data = b"%d" % self.sent
            self.talker.end.send(framed(self.flow, data), self.talker.listener)
            self.peer.send(data, self.relay)
            self.sent += 1
            await asyncio.sleep(0.01)

    async def stop(self) -> dict[str, Any]:
        """What was lost, and whether all came in its order."""
        self.over = True
        with suppress(TimeoutError):  # then something was lost
            async with asyncio.timeout(PATIENCE):
                while min(len(self.heard), len(self.talker.sorted.heard)) < self.sent:
                    await asyncio.sleep(0.05)
        sent = [b"%d" % number for number in range(self.sent)]
        return {
            "out": [*{*sent} - {*self.heard}],
            "in": [*{*sent} - {*self.talker.sorted.heard}],
            "in order": self.heard == sorted(self.heard, key=int)
            and self.talker.sorted.heard == sorted(self.talker.sorted.heard, key=int),
        }


WHOLE = {"out": [], "in": [], "in order": True}
