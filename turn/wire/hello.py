"""The two hellos of a DTLS handshake: what is offered, and what is chosen."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from turn.wire.stun import WireError

NUMBER = Struct("!H")
VERSION_12, VERSION_13 = 0xFEFD, b"\xfe\xfc"
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 §4.1.3
USE_SRTP, SUPPORTED_VERSIONS = 14, 43
MOST_EXTENSIONS = 64  # in one hello; browsers send about fifteen

# Cipher suites with AEAD encryption and forward secrecy, by version: browsers choose no others. All others
# are refused, so suites without encryption need no list (RFC 8827 §6.5).
SUITES_13 = frozenset((0x1301, 0x1302, 0x1303))
SUITES_12 = frozenset((0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9))

# SRTP protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2).
PROFILES = frozenset((0x0001, 0x0002, 0x0007, 0x0008))
NULL_PROFILES = frozenset((0x0005, 0x0006))
KNOWN_PROFILES = PROFILES | NULL_PROFILES  # what we keep of an offer: bounds memory, a hello could name 4,000


class ClientHello(NamedTuple):
    """What a ClientHello offers: the allowed suites and the known profiles; None if it offers no SRTP."""

    suites: frozenset[int]
    profiles: frozenset[int] | None


class ServerHello(NamedTuple):
    """What a ServerHello chooses.

    `profile` is None if none is chosen, or DTLS 1.3 hides it. `retry`: it asks for another ClientHello.
    """

    suite: int
    version_13: bool
    profile: int | None
    retry: bool


class Cursor:
    """Reads vectors as TLS writes them (RFC 8446 §3.4). Each method raises WireError if bytes are missing."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def read(self, size: int) -> bytes:
        value = self._data[self._at : self._at + size]
        if len(value) != size:
            raise WireError("a hello that ends early")
        self._at += size
        return value

    def number(self, size: int) -> int:
        return int.from_bytes(self.read(size), "big")

    def vector(self, size: int) -> bytes:
        """The bytes of a vector, which has a length of `size` bytes in front."""
        return self.read(self.number(size))

    def check_end(self) -> None:
        if self:
            raise WireError("bytes behind the end")


def parse_client_hello(body: bytes) -> ClientHello:
    """Raises WireError."""
    cursor = Cursor(body)
    check_version(cursor)
    cursor.read(32)
    cursor.vector(1)  # session
    cursor.vector(1)  # cookie
    offered = numbers(cursor.vector(2))
    cursor.vector(1)  # compression
    extensions = read_extensions(cursor)
    profiles = read_profiles(extensions)
    return ClientHello(offered & (SUITES_12 | SUITES_13), profiles[0] & KNOWN_PROFILES if profiles else None)


def parse_server_hello(body: bytes) -> ServerHello:
    """Raises WireError, also for more than one profile and for a master key identifier (RFC 8827 §6.5)."""
    cursor = Cursor(body)
    check_version(cursor)
    random = cursor.read(32)
    cursor.vector(1)  # session
    suite = cursor.number(2)
    if cursor.number(1):
        raise WireError("compression")
    extensions = read_extensions(cursor)
    profiles = read_profiles(extensions)
    if profiles and (len(profiles[0]) != 1 or profiles[1]):
        raise WireError("no single profile")
    version_13 = extensions.get(SUPPORTED_VERSIONS) == VERSION_13
    return ServerHello(suite, version_13, min(profiles[0]) if profiles else None, random == RETRY)


def check_version(cursor: Cursor) -> None:
    """The version must be DTLS 1.2, which DTLS 1.3 says here too; less is not allowed (RFC 8827 §6.5)."""
    if cursor.number(2) != VERSION_12:
        raise WireError("another version")


def numbers(vector: bytes) -> frozenset[int]:
    if len(vector) % 2:
        raise WireError("half a number")
    return frozenset(number for (number,) in NUMBER.iter_unpack(vector))


def read_extensions(cursor: Cursor) -> dict[int, bytes]:
    """The extensions up to the end of the hello, each at most once (RFC 8446 §4.2); DTLS 1.2 needs none."""
    if not cursor:
        return {}
    inner = Cursor(cursor.vector(2))
    cursor.check_end()
    extensions: dict[int, bytes] = {}
    while inner:
        kind = inner.number(2)
        if kind in extensions or len(extensions) == MOST_EXTENSIONS:
            raise WireError("too many extensions")
        extensions[kind] = inner.vector(2)
    return extensions


def read_profiles(extensions: dict[int, bytes]) -> tuple[frozenset[int], bytes] | None:
    """The profiles of use_srtp, and the master key identifier (RFC 5764 §4.1.1)."""
    value = extensions.get(USE_SRTP)
    if value is None:
        return None
    cursor = Cursor(value)
    profiles, identifier = numbers(cursor.vector(2)), cursor.vector(1)
    cursor.check_end()
    return profiles, identifier
