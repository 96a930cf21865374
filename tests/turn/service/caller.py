"""A TURN client that asks one thing after another."""

from __future__ import annotations

from typing import Protocol

from aioice import stun
from aioice.turn import make_integrity_key

from tests.turn.engines.world import Client, End
from turn.flows import Address


class Place(Protocol):
    """Where a relay is, and ends to talk to it with."""

    listener: Address

    def end(self) -> End: ...


class Caller:
    """A TURN client that asks one thing after another."""

    def __init__(self, world: Place, user: str, password: str, end: Client | None = None) -> None:
        self.end = end or world.end()
        self.listener = world.listener
        self.user, self.password = user, password
        self.signed: dict[str, object] = {}
        self.key: bytes | None = None

    async def ask(self, method: stun.Method, **attributes: object) -> stun.Message:
        message = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        message.attributes.update({**named, **self.signed})
        if self.key is not None:
            message.add_message_integrity(self.key)
        self.end.send(bytes(message), self.listener)
        answer = stun.parse_message(await self.end.receive())
        assert answer.transaction_id == message.transaction_id
        return answer

    async def challenged(self) -> None:
        """Knows from here on what the relay wants to see."""
        refusal = await self.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        realm, nonce = refusal.attributes["REALM"], refusal.attributes["NONCE"]
        self.key = make_integrity_key(self.user, realm, self.password)
        self.signed = {"USERNAME": self.user, "REALM": realm, "NONCE": nonce}

    async def allocate(self) -> Address:
        await self.challenged()
        answer = await self.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)
        return Address.of(*answer.attributes["XOR-RELAYED-ADDRESS"])

    async def bind(self, channel: int, peer: Address) -> stun.Class:
        there = (peer.host, peer.port)
        answer = await self.ask(stun.Method.CHANNEL_BIND, CHANNEL_NUMBER=channel, XOR_PEER_ADDRESS=there)
        return answer.message_class


async def ended(caller: Caller) -> stun.Class:
    return (await caller.ask(stun.Method.REFRESH, LIFETIME=0)).message_class
