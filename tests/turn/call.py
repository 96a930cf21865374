"""A call made of bytes: what two browsers would say through an allocation, and anything else, before the
gate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count
from typing import Any

from turn.flows import Address
from turn.gate.gate import Gate, Verdict
from turn.wire.dtls import CLIENT_HELLO, FRAGMENT, HANDSHAKE, RECORD, SERVER_HELLO
from turn.wire.ice import BINDING_INDICATION, BINDING_SUCCESS, PING_REQUEST, PING_SUCCESS, SHORT_INTEGRITY
from turn.wire.integrity import add_fingerprint
from turn.wire.stun import BINDING_REQUEST, COOKIE_BYTES, HEADER, tlv

RELAY, OTHER_RELAY = Address.of("192.0.2.1", 50000), Address.of("192.0.2.1", 50001)
PEER, OTHER_PEER = Address.of("9.9.9.9", 5000), Address.of("9.9.9.9", 5001)
UFRAGS = (b"ours", b"theirs")
PRIORITY, MAPPED, INTEGRITY = (0x0024, bytes(4)), (0x0020, bytes(8)), (0x0008, bytes(20))
SUITE_12, SUITE_13 = 0xC02B, 0x1301
NULL_SUITE = 0x003B
VIDEO, VOICE = 0xAAAA0001, 0xBBBB0002
FOREVER = 1e9  # seconds

Attributes = Sequence[tuple[int, bytes]]


def stun(kind: int, attributes: Attributes, transaction: bytes, *, marked: bool = True) -> bytes:
    body = b"".join(tlv(number, value) for number, value in attributes)
    message = HEADER.pack(kind, len(body), COOKIE_BYTES, transaction) + body
    return add_fingerprint(message) if marked else message


def request(
    transaction: bytes, sender: bytes = UFRAGS[0], receiver: bytes = UFRAGS[1], extra: Attributes = ()
) -> bytes:
    attributes = [(0x0006, receiver + b":" + sender), PRIORITY, *extra, INTEGRITY]
    return stun(BINDING_REQUEST, attributes, transaction)


def success(transaction: bytes, extra: Attributes = ()) -> bytes:
    return stun(BINDING_SUCCESS, [MAPPED, *extra, INTEGRITY], transaction)


def keepalive(transaction: bytes) -> bytes:
    return stun(BINDING_INDICATION, [], transaction)


def ping(transaction: bytes, kind: int = PING_REQUEST) -> bytes:
    return stun(kind, [(SHORT_INTEGRITY, bytes(4))], transaction, marked=False)


def pong(transaction: bytes) -> bytes:
    return ping(transaction, PING_SUCCESS)


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def extensions(profiles: Sequence[int] | None, identifier: bytes = b"", *, version_13: bool = False) -> bytes:
    body = b""
    if version_13:
        body += words(43) + vector(2, b"\xfe\xfc")
    if profiles is not None:
        body += words(14) + vector(2, vector(2, words(*profiles)) + vector(1, identifier))
    return vector(2, body)


def client_hello(
    suites: Sequence[int] = (SUITE_13, SUITE_12),
    profiles: Sequence[int] | None = (1, 8, 7),
    *,
    random: bytes = bytes(32),
    padding: int = 0,
) -> bytes:
    body = (
        b"\xfe\xfd" + random + vector(1, b"") + vector(1, b"") + vector(2, words(*suites)) + vector(1, b"\0")
    )
    inner = extensions(profiles)[2:] + (words(21) + vector(2, bytes(padding)) if padding else b"")
    return body + vector(2, inner)


def server_hello(
    suite: int = SUITE_13,
    profiles: Sequence[int] | None = None,
    *,
    version_13: bool = True,
    random: bytes = bytes(32),
    identifier: bytes = b"",
    compression: int = 0,
) -> bytes:
    body = b"\xfe\xfd" + random + vector(1, b"") + words(suite) + bytes((compression,))
    return body + extensions(profiles, identifier, version_13=version_13)


def record(content: bytes, kind: int = HANDSHAKE, epoch: int = 0, version: int = 0xFEFD) -> bytes:
    return RECORD.pack(kind, version, epoch, len(content)) + content


def unified(size: int = 40, first: int = 0x2E) -> bytes:
    """A record with DTLS 1.3's header: 16 bits of sequence number, and a length."""
    return bytes((first, 0, 0)) + vector(2, noise("unified", size))


def fragment(
    kind: int,
    body: bytes,
    start: int = 0,
    end: int | None = None,
    *,
    number: int = 0,
    length: int | None = None,
) -> bytes:
    part = body[start:end]
    sizes = (size.to_bytes(3, "big") for size in (len(body) if length is None else length, start, len(part)))
    total, offset, size = sizes
    return FRAGMENT.pack(kind, total, number, offset, size) + part


def hello(kind: int, body: bytes, **how: Any) -> bytes:
    return record(fragment(kind, body, **how))


def noise(seed: str | int, size: int) -> bytes:
    """Bytes that look encrypted, and are the same in every run."""
    return hashlib.shake_128(str(seed).encode()).digest(size)


def rtp(ssrc: int, number: int, payload: bytes | None = None, *, first: int = 0x80) -> bytes:
    sealed = noise(f"{ssrc} {number}", 60) if payload is None else payload
    return bytes((first, 111)) + words(number & 0xFFFF) + bytes(4) + ssrc.to_bytes(4, "big") + sealed


def srtcp(number: int, body: int = 20, kind: int = 200) -> bytes:
    """As AES-CM makes it: header, encrypted body, E and index, ten bytes of tag."""
    head = bytes((0x80, kind)) + words((8 + body) // 4 - 1) + VOICE.to_bytes(4, "big")
    sealed, tag = noise(f"rtcp {number}", body), noise(f"tag {number}", 10)
    return head + sealed + (number | 1 << 31).to_bytes(4, "big") + tag


def rtcp(*sizes: int) -> bytes:
    """A compound in clear."""
    return b"".join(bytes((0x80, 201)) + words(words_) + bytes(4 * words_) for words_ in sizes or (7,))


class Call:
    """One allocation and one peer before a gate of their own; both verbs return what the gate says."""

    def __init__(
        self,
        gate: Gate | None = None,
        *,
        relay: Address = RELAY,
        peer: Address = PEER,
        user: str = "alice",
        vouched: bool = False,
        ufrags: tuple[bytes, bytes] = UFRAGS,
        admit: bool = True,
    ) -> None:
        self.gate = gate or Gate()
        self.relay, self.peer, self.ufrags = relay, peer, ufrags
        self.now = 0.0
        self.numbers = count(1)
        if admit:
            self.gate.add_allocation(relay, user)
        if vouched:
            self.gate.vouch(user, (min(ufrags), max(ufrags)), FOREVER, self.now)

    def say(self, payload: bytes, *, wait: float = 0.0) -> Verdict:
        """From the client."""
        self.now += wait
        return self.gate.judge(self.relay, self.peer, True, payload, self.now)

    def hear(self, payload: bytes, *, wait: float = 0.0) -> Verdict:
        """From the peer."""
        self.now += wait
        return self.gate.judge(self.relay, self.peer, False, payload, self.now)

    def transaction(self) -> bytes:
        return next(self.numbers).to_bytes(12, "big")

    def check(self, *, outward: bool = True, extra: Attributes = ()) -> tuple[Verdict, Verdict]:
        """A check and its answer."""
        transaction = self.transaction()
        ask, answer = (self.say, self.hear) if outward else (self.hear, self.say)
        ours, theirs = self.ufrags if outward else self.ufrags[::-1]
        return ask(request(transaction, ours, theirs, extra)), answer(success(transaction))

    def consent(self) -> None:
        """Both ways."""
        for outward in (True, False):
            assert all(verdict.passes for verdict in self.check(outward=outward))

    def shake_hands(self, *, version_13: bool = True, srtp: bool = True) -> None:
        """The client offers, the peer chooses."""
        assert self.say(hello(CLIENT_HELLO, client_hello(profiles=(1, 8, 7) if srtp else None))).passes
        profiles = (7,) if srtp and not version_13 else None
        suite = SUITE_13 if version_13 else SUITE_12
        answer = server_hello(suite, profiles, version_13=version_13)
        assert self.hear(hello(SERVER_HELLO, answer)).passes

    def open(self) -> None:
        self.consent()
        self.shake_hands()

    def talk(self, packets: int, ssrc: int = VOICE) -> list[Verdict]:
        """SRTP from the client."""
        return [self.say(rtp(ssrc, number)) for number in range(packets)]
