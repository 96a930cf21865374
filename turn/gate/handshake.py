"""The part of a DTLS handshake that is not encrypted: both hellos, put together from fragments."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from turn.limits.buckets import Bucket
from turn.wire.dtls import CLIENT_HELLO, FRAGMENT, SERVER_HELLO, Fragment
from turn.wire.hello import (
    NULL_PROFILES,
    PROFILES,
    SUITES_12,
    SUITES_13,
    ClientHello,
    ServerHello,
    parse_client_hello,
    parse_server_hello,
)
from turn.wire.stun import WireError

Hello = ClientHello | ServerHello

HELLOS: dict[int, Callable[[bytes], Hello]] = {
    CLIENT_HELLO: parse_client_hello,
    SERVER_HELLO: parse_server_hello,
}
MAX_HELLO = 4096  # bytes of one: post-quantum ones have 1,500, and with a second key share 3,000
MAX_FRAGMENTS = 16  # of one hello
MAX_ASSEMBLIES = 4  # of each side: bounds memory; the oldest is dropped first, so a forged one blocks nothing
MAX_BUFFERED = MAX_HELLO  # bytes of each side's fragments together: bounds memory too
CONFLICT_SECONDS = 4.0  # until other fragments may take the place of conflicting ones, which may be forged

# Certificates and the like pass unread, so a side may send only so many bytes unencrypted in one session. The
# amount comes back with time, else forged packets would use it up for good. What all sessions of a user may
# send together stands in turn.gate.allowances.
CLEAR_BURST, CLEAR_PER_SECOND = 65536.0, 1024.0


class Rejected(Exception):  # not an error: this is what the gate is for
    """A packet may not pass; the text is the reason that it is counted under."""


class Unencrypted(Rejected):
    """The handshake agrees on something that does not encrypt."""


class Agreement(NamedTuple):
    """What both hellos agree on: whether records have the header of DTLS 1.3, and whether there is SRTP."""

    unified: bool
    srtp: bool


class Assembly:
    """The fragments of one hello. A complete one stays, so that a repeated fragment is judged with it."""

    __slots__ = ("_read", "began_at", "length", "parts")

    def __init__(self, length: int, began: float) -> None:
        self.length, self.began_at = length, began
        self.parts: dict[int, bytes] = {}
        self._read: Hello | str | None = None  # the hello, or what is wrong with it

    @property
    def size(self) -> int:
        return sum(map(len, self.parts.values()))

    def fits(self, fragment: Fragment) -> bool:
        return fragment.length == self.length and all(
            agrees(fragment.offset, fragment.data, offset, part) for offset, part in self.parts.items()
        )

    def is_over(self, now: float) -> bool:
        """Whether a hello of another association, with the same number, may take its place."""
        return now - self.began_at > CONFLICT_SECONDS or self.whole() is not None

    def add(self, offset: int, data: bytes) -> None:
        """Add a fragment. Raises Rejected; then nothing is changed."""
        if self.whole() is not None:
            return
        parts = {**self.parts, offset: max(self.parts.get(offset, b""), data, key=len)}
        merged = merge(parts)
        if len(merged) > MAX_FRAGMENTS:
            raise Rejected("too many fragments")
        self.parts = merged

    def whole(self) -> bytes | None:
        body = self.parts.get(0, b"")
        return body if len(body) == self.length else None

    def hello(self, kind: int) -> Hello | None:
        """The complete hello, or None. It is parsed only once. Raises WireError."""
        body = self.whole()
        if body is None:
            return None
        if self._read is None:
            self._read = read_hello(kind, body)
        if isinstance(self._read, str):
            raise WireError(self._read)
        return self._read


def read_hello(kind: int, body: bytes) -> Hello | str:
    """The hello, or the reason why it is not one."""
    try:
        return HELLOS[kind](body)
    except WireError as why:
        return str(why)


def merge(parts: dict[int, bytes]) -> dict[int, bytes]:
    """Join parts that touch or overlap, so that together they are never longer than the whole hello."""
    merged: dict[int, bytes] = {}
    start = end = -1
    for offset in sorted(parts):
        if offset > end:
            start, merged[offset] = offset, parts[offset]
        else:
            merged[start] += parts[offset][end - offset :]
        end = start + len(merged[start])
    return merged


def agrees(offset: int, data: bytes, other: int, part: bytes) -> bool:
    """Whether two parts have the same bytes where they overlap."""
    first, last = max(offset, other), min(offset + len(data), other + len(part))
    return first >= last or data[first - offset : last - offset] == part[first - other : last - other]


class DtlsEndpoint:
    """One side of a DTLS session."""

    __slots__ = ("_assemblies", "_clear", "choice", "offer")

    def __init__(self) -> None:
        self._assemblies: dict[tuple[int, int], Assembly] = {}
        self._clear = Bucket(CLEAR_PER_SECOND, CLEAR_BURST)
        self.offer: ClientHello | None = None  # its last complete ClientHello
        self.choice: ServerHello | None = None  # its last complete ServerHello

    def add_fragment(self, fragment: Fragment, now: float) -> Hello | None:
        """The hello that this fragment completes, or None. Raises Rejected and WireError."""
        if not self.may_send_clear(FRAGMENT.size + len(fragment.data), now):
            raise Rejected("too much in clear")
        if fragment.kind not in HELLOS:
            return None
        if not 0 < fragment.length <= MAX_HELLO:
            raise Rejected("hello too long")
        assembly = self._assembly(fragment, now)
        assembly.add(fragment.offset, fragment.data)
        self._shrink(assembly)
        return assembly.hello(fragment.kind)

    @property
    def has_begun(self) -> bool:
        """Whether this process or another one of ours has seen a part of a hello."""
        return bool(self._assemblies) or self.offer is not None

    def may_send_clear(self, size: int, now: float) -> bool:
        """Whether so many more bytes may pass unencrypted."""
        return self._clear.spend(now, size)

    def _assembly(self, fragment: Fragment, now: float) -> Assembly:
        key = (fragment.kind, fragment.number)
        assembly = self._assemblies.get(key)
        if assembly is None or not assembly.fits(fragment):
            if assembly is not None and not assembly.is_over(now):
                raise Rejected("conflicting fragments")
            assembly = self._assemblies[key] = Assembly(fragment.length, now)
        return assembly

    def _shrink(self, latest: Assembly) -> None:
        while len(self._assemblies) > MAX_ASSEMBLIES or self.buffered > MAX_BUFFERED:
            del self._assemblies[next(key for key, one in self._assemblies.items() if one is not latest)]

    @property
    def buffered(self) -> int:
        return sum(assembly.size for assembly in self._assemblies.values())


class Handshake:
    """The handshake between two sides. `speaker` is the side that a packet comes from, 0 or 1."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends = (DtlsEndpoint(), DtlsEndpoint())

    def receive_fragment(self, speaker: int, fragment: Fragment, now: float) -> Agreement | None:
        """The agreement that this fragment completes, or None. Raises Rejected and WireError."""
        hello = self.ends[speaker].add_fragment(fragment, now)
        if isinstance(hello, ClientHello):
            self.ends[speaker].offer = hello
        if not isinstance(hello, ServerHello):
            return None
        self.ends[speaker].choice = hello
        return agree(self.ends[1 - speaker].offer, hello)

    def add_offer(self, speaker: int, offer: ClientHello) -> Agreement | None:
        """Add an offer that another process has seen; returns the agreement if the answer is here already.

        Raises Rejected.
        """
        self.ends[speaker].offer = offer
        choice = self.ends[1 - speaker].choice
        return None if choice is None else agree(offer, choice)

    def may_overtake(self, speaker: int, size: int, now: float) -> bool:
        """Whether so many encrypted bytes of DTLS 1.3 may come before the ServerHello that they follow.

        On some networks packets overtake each other.
        """
        return self.has_offer_for(speaker) and self.ends[speaker].may_send_clear(size, now)

    def may_acknowledge(self, speaker: int) -> bool:
        """Whether there is something to acknowledge; parts of a hello are enough (RFC 9147 §7.1)."""
        return self.ends[1 - speaker].has_begun

    @property
    def has_client_hello(self) -> bool:
        """Whether either side has sent a complete ClientHello."""
        return any(end.offer is not None for end in self.ends)

    def has_offer_for(self, speaker: int) -> bool:
        """Whether the other side has sent a ClientHello to this one."""
        return self.ends[1 - speaker].offer is not None


def agree(offer: ClientHello | None, choice: ServerHello) -> Agreement | None:
    """What ClientHello and ServerHello agree on; None if there is no ClientHello, or it has to be repeated.

    Raises Unencrypted if the choice does not encrypt, or was not offered.
    """
    if choice.suite not in (SUITES_13 if choice.version_13 else SUITES_12):
        raise Unencrypted("cipher suite")
    if choice.profile is not None and choice.profile not in PROFILES:
        raise Unencrypted("srtp profile")
    if choice.retry or offer is None:
        return None
    if choice.suite not in offer.suites:
        raise Unencrypted("cipher suite")
    return Agreement(choice.version_13, is_srtp(offer, choice))


def is_srtp(offer: ClientHello, choice: ServerHello) -> bool:
    """Whether there is SRTP. DTLS 1.3 hides the choice, so all offers must encrypt (RFC 9147 §5.1).

    Raises Unencrypted.
    """
    if choice.version_13:
        if offer.profiles and offer.profiles & NULL_PROFILES:
            raise Unencrypted("srtp profile")
        return bool(offer.profiles)
    if choice.profile is None:
        return False
    if offer.profiles is None or choice.profile not in offer.profiles:
        raise Unencrypted("srtp profile")
    return True
