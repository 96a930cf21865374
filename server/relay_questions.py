"""Asks one relay whether it is there: a STUN Binding request over UDP, and nothing else is sent.

A relay on this machine is asked through its Unix socket, as in relay_ways.py; one without a UDP port over a
connection.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from server.ice import IceSettings
from server.relay_ways import (
    NetworkWay,
    RelayWay,
    closing,
    connect_unix,
    is_here,
    network_ways,
    resolve,
    text_of,
    with_header,
)
from turn.wire.attributes import NONCE
from turn.wire.stun import BINDING_REQUEST, ERROR, SUCCESS, WireError, build, parse

ANSWER_SECONDS = 1.0  # for each answer, and for each look at the name
LOOK_SECONDS = 60.0  # until a name is looked up again
MAX_ADDRESSES = 4  # of one name that are asked: bounds what a strange answer of a resolver causes
TRANSACTION_BYTES = 12
ANSWERS = (BINDING_REQUEST | SUCCESS, BINDING_REQUEST | ERROR)

# A request with a nonce is answered by the relay's process itself. One without may be answered by its program
# in the kernel, which outlives a process that was killed by up to a minute.
MARK = b"alive?"


class RelayQuestion:
    """To one relay, by its host. `settings` are the current ones."""

    def __init__(
        self,
        host: str,
        settings: Callable[[], IceSettings],
        unix_socket: Path,
        clock: Callable[[], float],
    ) -> None:
        self.host, self.settings, self.unix_socket, self.clock = host, settings, unix_socket, clock
        self.ips: list[bytes] = []
        self.look_at = 0.0
        self.looking: asyncio.Task[list[bytes]] | None = None

    async def __call__(self) -> bool:
        """Whether it answers. An error of the network or of the resolver is no answer."""
        now = self.settings()
        is_alone = len(now.hosts) == 1  # then no name has to be resolved, as in relay_ways.may_be_here
        if not is_alone:
            await self.look_up()
        if is_alone or any(is_here(ip, now.served_here) for ip in self.ips):
            stream = await connect_unix(self.unix_socket)
            if stream is not None:
                with_header(stream)
                return await is_answered(closing(stream))
        if is_alone:
            await self.look_up()
        opener = network_ways(now)[0]
        asked = (self.ask_at(opener, ip, now) for ip in self.ips[:MAX_ADDRESSES])
        return any(await asyncio.gather(*asked))

    async def ask_at(self, opener: NetworkWay, ip: bytes, now: IceSettings) -> bool:
        return await is_answered(opener(text_of(ip), self.host, now))

    async def look_up(self) -> None:
        """Find its addresses, at times anew. Those from before stay while the resolver fails, and a resolver
        that takes long is asked once only."""
        if self.looking is None:
            if self.ips and self.clock() < self.look_at:
                return
            self.looking = asyncio.create_task(resolve(self.host))
        done, _ = await asyncio.wait({self.looking}, timeout=ANSWER_SECONDS)
        if not done:
            return
        looked, self.looking = self.looking, None
        if not looked.cancelled() and looked.exception() is None:
            self.ips, self.look_at = looked.result(), self.clock() + LOOK_SECONDS


async def is_answered(opening: AbstractAsyncContextManager[RelayWay]) -> bool:
    """Whether an answer comes by this way in time."""
    transaction = secrets.token_bytes(TRANSACTION_BYTES)
    try:
        async with asyncio.timeout(ANSWER_SECONDS), opening as way:
            way.send(build(BINDING_REQUEST, transaction, [(NONCE, MARK)]))
            while not is_answer(await way.receive(), transaction):
                pass
    except OSError:  # TimeoutError is one of them
        return False
    return True


def is_answer(data: bytes, transaction: bytes) -> bool:
    try:
        answer = parse(data)
    except WireError:
        return False
    return answer.transaction == transaction and answer.type in ANSWERS
