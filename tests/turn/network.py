"""A network without sockets: one relay, an engine that is a few sets and checks the contract, and clients."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from turn.core.effects import Close, Effect, Link, Open, Pin, Send, Unlink, Unpin
from turn.core.relay import Relay, Settings
from turn.flows import Address, Flow, Packet, Rule
from turn.policies import Accounts, Limits
from turn.wire.attributes import (
    ERROR_CODE,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    TABLE,
    USERHASH,
    USERNAME,
    XOR_RELAYED_ADDRESS,
    Attribute,
)
from turn.wire.integrity import OFFERED, add_fingerprint, long_term_key, sign, sign_sha256, userhash
from turn.wire.stun import COOKIE_BYTES, HEADER, StunMessage, parse, tlv

LISTENER = Address.of("192.0.2.1", 3478)
LISTENER6 = Address.of("2001:db8:5::1", 3478)
PEER = Address.of("9.9.9.9", 5000)
USERS = {"alice": "alice's word", "bob": "bob's word", "1001": "an extension's word"}
TYPES = {
    "binding": 0x0001,
    "allocate": 0x0003,
    "refresh": 0x0004,
    "permission": 0x0008,
    "bind": 0x0009,
    "send": 0x0016,
}
RATES_AND_QUOTAS = (
    "allocations_per_user",
    "allocations_per_address",
    "allocations",
    "packets_per_second",
    "bits_per_second",
    "unauthenticated_per_second",
    "unauthenticated_in_all",
    "new_peers_per_second",
    "wrong_passwords",
)
Pairs = Iterable[tuple[Attribute[Any] | int, Any]]


def settings(**changes: Any) -> Settings:
    """A relay at LISTENER and LISTENER6 that knows alice and bob, and carries whatever they say."""
    given: dict[str, Any] = {
        "encrypted_only": "off",
        "nonce_key": b"k" * 32,
        "choose": secrets.randbelow,
        "users": Accounts(USERS),
        "listeners": frozenset((LISTENER, LISTENER6)),
        "own_addresses": frozenset((LISTENER.ip, LISTENER6.ip)),
        **changes,
    }
    return Settings(**given)


def unlimited(**changes: Any) -> Settings:
    limits: dict[str, Any] = dict.fromkeys(RATES_AND_QUOTAS, 0)
    return settings(limits=Limits(**limits), **changes)


@dataclass
class Network:
    """Runs a relay's effects and asserts what an engine may rely on. `foreign` ports are other programs',
    those `elsewhere` other processes' of ours."""

    relay: Relay
    foreign: set[Address] = field(default_factory=set)
    elsewhere: set[Address] = field(default_factory=set)
    now: float = 0.0
    wall: float = 1_800_000_000.0
    open: set[Address] = field(default_factory=set)
    links: dict[Flow, Rule] = field(default_factory=dict)
    pinned: set[tuple[Address, Address]] = field(default_factory=set)
    opened: int = 0

    def deliver(self, here: Address, there: Address, data: bytes) -> list[Packet]:
        """One datagram arrives; what leaves the machine because of it."""
        return self.run(self.relay.receive(Packet(here, there, data), self.now, self.wall))

    def pass_time(self, seconds: float) -> list[Packet]:
        """Let time pass, waking the relay when it asked to be."""
        end = self.now + seconds
        left: list[Packet] = []
        while (wake := self.relay.next_expiry()) is not None and wake <= end:
            self.now = max(self.now, wake)
            left += self.run(self.relay.expire(self.now))
        self.now = end
        return left

    def run(self, effects: list[Effect]) -> list[Packet]:
        left: list[Packet] = []
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            match effect:
                case Open(relay):
                    queue.extendleft(reversed(self.relay.opened(relay, self.take(relay), self.now)))
                case Close(relay):
                    self.open.remove(relay)
                    self.links = {flow: rule for flow, rule in self.links.items() if flow.relay != relay}
                case Link(flow, rule):
                    self.link(flow, rule)
                case Unlink(flow):
                    del self.links[flow]
                case Pin(client, listener):
                    assert self.relay.has_allocation(client, listener)
                    assert (client, listener) not in self.pinned
                    self.pinned.add((client, listener))
                case Unpin(client, listener):
                    assert not self.relay.has_allocation(client, listener)
                    self.pinned.remove((client, listener))
                case Send(packet):
                    queue.extend(self.send(packet, left))
        live = self.open | self.elsewhere
        assert not [flow for flow in self.links if flow.peer.ip == flow.relay.ip and flow.peer not in live]
        return left

    def take(self, relay: Address) -> bool:
        assert relay not in self.open
        self.opened += 1
        if relay in self.foreign:
            return False
        self.open.add(relay)
        return True

    def link(self, flow: Flow, rule: Rule) -> None:
        assert flow.relay in self.open
        rivals = [other for other in self.links if (other.relay, other.peer) == (flow.relay, flow.peer)]
        assert rivals in ([], [flow])
        self.links[flow] = rule

    def send(self, packet: Packet, left: list[Packet]) -> list[Effect]:
        """Out, or over to our own relayed address inside the process."""
        assert packet.local in self.open or packet.local in self.relay.listeners
        assert len(packet.data) <= 65507
        if packet.remote in self.open:
            return self.relay.receive(Packet(packet.remote, packet.local, packet.data), self.now, self.wall)
        left.append(packet)
        return []


def network(given: Settings | None = None) -> Network:
    return Network(Relay(given or settings()))


def compose(
    kind: int,
    pairs: Pairs = (),
    *,
    transaction: bytes = b"",
    key: bytes | None = None,
    after: Pairs = (),
    fingerprint: bool = False,
    sha256: bool = False,
) -> bytes:
    """A message byte by byte, malformed where asked; `after` follows the integrity, which leaves it out."""
    transaction = transaction or secrets.token_bytes(12)
    body = b"".join(packed(row, value, transaction) for row, value in pairs)
    message = HEADER.pack(kind, len(body), COOKIE_BYTES, transaction) + body
    if key is not None:
        message = sign_sha256(message, key) if sha256 else sign(message, key)
    message += b"".join(packed(row, value, transaction) for row, value in after)
    message = message[:2] + (len(message) - 20).to_bytes(2, "big") + message[4:]
    return add_fingerprint(message) if fingerprint else message


def packed(row: Attribute[Any] | int, value: Any, transaction: bytes) -> bytes:
    if isinstance(value, bytes):
        return tlv(row if isinstance(row, int) else row.type, value)
    known = TABLE[row] if isinstance(row, int) else row
    return tlv(known.type, known.pack(value, transaction))


class Client:
    """A TURN client at one address; asks for a nonce by itself and checks the signature of each answer. With
    an `algorithm` it speaks RFC 8489's newer way; `hidden` says its name by its hash."""

    def __init__(
        self,
        net: Network,
        address: str = "8.8.8.8",
        port: int = 40000,
        *,
        user: str = "alice",
        password: str | None = None,
        listener: Address = LISTENER,
        realm: str = "call",
        algorithm: bytes = b"",
        hidden: bool = False,
    ) -> None:
        self.net, self.listener = net, listener
        self.address = Address.of(address, port, listener.transport)
        self.user, self.realm = user, realm
        self.key = long_term_key(user, realm, password or USERS.get(user, "nothing"), algorithm)
        self.algorithm, self.hidden = algorithm, hidden
        self.nonce = b""
        self.relay: Address | None = None

    def raw(self, data: bytes) -> list[Packet]:
        return self.net.deliver(self.listener, self.address, data)

    def sign(self, kind: int, pairs: Pairs = (), **options: Any) -> bytes:
        """The bytes of a signed request."""
        name = (USERHASH, userhash(self.user, self.realm)) if self.hidden else (USERNAME, self.user)
        chosen = (PASSWORD_ALGORITHM, self.algorithm), (PASSWORD_ALGORITHMS, OFFERED)
        credentials = (name, (REALM, self.realm), (NONCE, self.nonce), *(chosen if self.algorithm else ()))
        options.setdefault("sha256", bool(self.algorithm))
        return compose(kind, (*pairs, *credentials), key=self.key, **options)

    def ask(self, kind: int, *pairs: tuple[Attribute[Any] | int, Any], **options: Any) -> StunMessage | None:
        """The answer to a signed request; a stale or missing nonce is fetched first."""
        answer = self.reply(self.raw(self.sign(kind, pairs, **options)))
        if answer and (answer.get(ERROR_CODE) or 0) in (401, 438) and answer.raw(NONCE) != self.nonce:
            self.nonce = answer.raw(NONCE) or b""
            answer = self.reply(self.raw(self.sign(kind, pairs, **options)))
        return answer

    def reply(self, packets: list[Packet]) -> StunMessage | None:
        mine = [packet for packet in packets if packet.remote == self.address]
        if not mine:
            return None
        assert mine[0].local == self.listener
        answer = parse(mine[0].data)
        proves = answer.verify_sha256 if self.algorithm else answer.verify
        assert (answer.get(ERROR_CODE) or 0) in (400, 401, 438) or proves(self.key)
        return answer

    def code(self, kind: int, *pairs: tuple[Attribute[Any] | int, Any], **options: Any) -> int:
        """0 for a success, else the error code; 408 where no answer came."""
        answer = self.ask(kind, *pairs, **options)
        return 408 if answer is None else answer.get(ERROR_CODE) or 0

    def allocate(self, *pairs: tuple[Attribute[Any] | int, Any]) -> Address:
        answer = self.ask(TYPES["allocate"], (0x0019, 17), *pairs)
        assert answer is not None
        self.relay = answer.get(XOR_RELAYED_ADDRESS)
        assert self.relay is not None, answer.get(ERROR_CODE)
        return self.relay

    def permit(self, *peers: Address) -> int:
        return self.code(TYPES["permission"], *((0x0012, peer) for peer in peers))

    def bind(self, number: int, peer: Address) -> int:
        return self.code(TYPES["bind"], (0x000C, number), (0x0012, peer))

    def refresh(self, lifetime: int) -> int:
        return self.code(TYPES["refresh"], (0x000D, lifetime))

    def send(self, peer: Address, data: bytes, **options: Any) -> list[Packet]:
        return self.raw(compose(TYPES["send"], ((0x0012, peer), (0x0013, data)), **options))
