"""A server of ours before a relay without sockets: it tells things, and checks each answer's signature."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import count
from typing import Any

from tests.turn.network import LISTENER, Network, Pairs, compose
from turn.credentials import server_key
from turn.flows import Address, Packet
from turn.limits.bans import BanKey
from turn.wire.attributes import ERROR_CODE, NONCE
from turn.wire.notices import NOTICES, NOTIFY_REQUEST, NetworkBanned, Notice, Notification
from turn.wire.stun import StunMessage, parse

SECRET = b"a secret of server and relay"
SERVER = b"server 1"


def ban(network: str, seconds: int = 600, secret: bytes = SECRET) -> NetworkBanned:
    """The notice about a network, such as 192.0.2.0/24."""
    banned = ip_network(network)
    key = BanKey(server_key(secret))
    return NetworkBanned(seconds, *key.network(banned.network_address.packed, banned.prefixlen))


class TellingServer:
    """It asks for a nonce by itself."""

    def __init__(
        self,
        net: Network,
        *,
        secret: bytes = SECRET,
        name: bytes = SERVER,
        address: str = "198.51.99.1",
        listener: Address = LISTENER,
    ) -> None:
        self.net, self.key, self.name, self.listener = net, server_key(secret), name, listener
        self.address = Address.of(address, 45000, listener.transport)
        self.numbers = count(1)
        self.nonce = b""

    def request(self, *notices: Notice, number: int | None = None, more: Pairs = (), **options: Any) -> bytes:
        said = Notification(self.name, next(self.numbers) if number is None else number, notices)
        nonce = [(NONCE, self.nonce)] if self.nonce else []
        options = {"key": self.key, "sha256": True, **options}
        return compose(NOTIFY_REQUEST, [*nonce, (NOTICES, said), *more], **options)

    def raw(self, data: bytes) -> list[Packet]:
        return self.net.deliver(self.listener, self.address, data)

    def tell(self, *notices: Notice, **options: Any) -> int:
        """0: it was acknowledged; else the error code, or 408 without an answer."""
        answer = self.answer(self.raw(self.request(*notices, **options)))
        if answer and (answer.get(ERROR_CODE) or 0) in (401, 438) and answer.raw(NONCE) != self.nonce:
            self.nonce = answer.raw(NONCE) or b""
            answer = self.answer(self.raw(self.request(*notices, **options)))
        return 408 if answer is None else answer.get(ERROR_CODE) or 0

    def answer(self, packets: list[Packet]) -> StunMessage | None:
        mine = [packet for packet in packets if packet.remote == self.address]
        if not mine:
            return None
        answer = parse(mine[0].data)
        assert (answer.get(ERROR_CODE) or 0) in (401, 438) or answer.verify_sha256(self.key)
        return answer
