"""The STUN messages of ICE among the data of a relay, read so strictly that no data can hide in them."""

from __future__ import annotations

from typing import NamedTuple

from turn.wire.attributes import (
    ERROR_CODE,
    FINGERPRINT,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from turn.wire.stun import BINDING_REQUEST, WireError, check_fingerprint, parse_header, walk

LONGEST = 1280  # bytes: requests that carry a DTLS flight have a thousand
MAX_UNKNOWN = 8  # attributes that the tables below do not name
MAX_UNKNOWN_BYTES = 64  # of their values together: with more, they could carry data

BINDING_INDICATION, BINDING_SUCCESS, BINDING_ERROR = 0x0011, 0x0101, 0x0111
PING_REQUEST, PING_SUCCESS, PING_ERROR = 0x0200, 0x0300, 0x0310  # GOOG_PING, Chromium's short check
REQUESTS = frozenset((BINDING_REQUEST, PING_REQUEST))
ANSWERS = {
    BINDING_SUCCESS: BINDING_REQUEST,
    BINDING_ERROR: BINDING_REQUEST,
    PING_SUCCESS: PING_REQUEST,
    PING_ERROR: PING_REQUEST,
}
SUCCESSES = frozenset((BINDING_SUCCESS, PING_SUCCESS))
PINGS = frozenset((PING_REQUEST, PING_SUCCESS, PING_ERROR))

PRIORITY, USE_CANDIDATE, CONTROLLED, CONTROLLING = 0x0024, 0x0025, 0x8029, 0x802A  # RFC 8445 §16.1
SHORT_INTEGRITY = 0xC060  # MESSAGE-INTEGRITY-32, of GOOG_PING
# A DTLS datagram within a check, and which ones have arrived (draft-hancke-webrtc-sped).
DTLS, DTLS_ACKS = 0xC070, 0xC071

# The attributes that a message must have (RFC 8445 §7.1, §7.3), beside the FINGERPRINT of NEEDS_FINGERPRINT.
NEEDED: dict[int, frozenset[int]] = {
    BINDING_REQUEST: frozenset((USERNAME.type, MESSAGE_INTEGRITY.type)),
    BINDING_INDICATION: frozenset(),
    BINDING_SUCCESS: frozenset((XOR_MAPPED_ADDRESS.type, MESSAGE_INTEGRITY.type)),
    BINDING_ERROR: frozenset((ERROR_CODE.type,)),
    PING_REQUEST: frozenset((SHORT_INTEGRITY,)),
    PING_SUCCESS: frozenset((SHORT_INTEGRITY,)),
    PING_ERROR: frozenset((SHORT_INTEGRITY,)),
}
NEEDS_FINGERPRINT = frozenset((BINDING_REQUEST, BINDING_SUCCESS, BINDING_ERROR))

# The least and most bytes of each known attribute. Two ufrags may have 513 bytes (RFC 8445 §5.3), but those
# of clients have 8 to 65, and the rest could carry data.
SIZES: dict[int, tuple[int, int]] = {
    USERNAME.type: (3, 128),
    MESSAGE_INTEGRITY.type: (20, 20),
    MESSAGE_INTEGRITY_SHA256.type: (32, 32),
    ERROR_CODE.type: (4, 64),
    UNKNOWN_ATTRIBUTES.type: (0, 16),
    XOR_MAPPED_ADDRESS.type: (8, 20),
    PRIORITY: (4, 4),
    USE_CANDIDATE: (0, 0),
    CONTROLLED: (8, 8),
    CONTROLLING: (8, 8),
    FINGERPRINT.type: (4, 4),
    SHORT_INTEGRITY: (4, 4),
    DTLS: (0, LONGEST),
    DTLS_ACKS: (0, 16),
}

# The messages in which some of these attributes have a meaning; in others they count as unknown.
ERRORS = frozenset((BINDING_ERROR, PING_ERROR))
NAMED_ANSWERS = frozenset((BINDING_SUCCESS, BINDING_ERROR))  # libnice repeats the username of the request
KINDS: dict[int, frozenset[int]] = {
    USERNAME.type: NAMED_ANSWERS | {BINDING_REQUEST},
    ERROR_CODE.type: ERRORS,
    UNKNOWN_ATTRIBUTES.type: ERRORS,
    XOR_MAPPED_ADDRESS.type: frozenset((BINDING_SUCCESS,)),
    PRIORITY: frozenset((BINDING_REQUEST,)),
    USE_CANDIDATE: frozenset((BINDING_REQUEST,)),
    CONTROLLED: frozenset((BINDING_REQUEST,)),
    CONTROLLING: frozenset((BINDING_REQUEST,)),
    DTLS: frozenset((BINDING_REQUEST, BINDING_SUCCESS)),
    DTLS_ACKS: frozenset((BINDING_REQUEST, BINDING_SUCCESS)),
}
INTEGRITIES = frozenset((MESSAGE_INTEGRITY.type, MESSAGE_INTEGRITY_SHA256.type, SHORT_INTEGRITY))
BEHIND_INTEGRITY = INTEGRITIES | {FINGERPRINT.type}


class IceMessage(NamedTuple):
    """One message of ICE.

    `ufrags` are those of sender and receiver, in a Binding request. `dtls` is a DTLS datagram within the
    message, which is judged like any other. `repeated`: an answer names these two ufrags, and may name no
    others than its request.
    """

    kind: int
    transaction: bytes
    ufrags: tuple[bytes, bytes] | None = None
    dtls: bytes = b""
    repeated: tuple[bytes, bytes] | None = None


def parse_ice(data: bytes) -> IceMessage:
    """Read a message of ICE. Raises WireError for anything else, also for TURN's own messages."""
    kind, transaction = parse_header(data)
    needed = NEEDED.get(kind)
    if needed is None or len(data) > LONGEST:
        raise WireError("no message of ICE")
    values = read_values(data, kind)
    if not needed <= values.keys() or (kind in NEEDS_FINGERPRINT and FINGERPRINT.type not in values):
        raise WireError("an attribute is missing")
    dtls = values.get(DTLS, b"") if is_known(DTLS, kind) else b""
    if kind == BINDING_REQUEST:
        return IceMessage(kind, transaction, read_ufrags(values[USERNAME.type]), dtls)
    name = values.get(USERNAME.type) if kind in NAMED_ANSWERS else None
    return IceMessage(kind, transaction, None, dtls, read_ufrags(name) if name is not None else None)


def read_values(data: bytes, kind: int) -> dict[int, bytes]:
    """The attributes by number. Raises WireError.

    Each may come once; only FINGERPRINT or another integrity may follow an integrity (RFC 8489 §14.5).
    """
    values: dict[int, bytes] = {}
    unknown: list[int] = []
    for at, number, value in walk(data):
        if number in values or (values.keys() & INTEGRITIES and number not in BEHIND_INTEGRITY):
            raise WireError("an attribute that must not be there")
        if not is_known(number, kind):
            unknown.append(len(value))
        elif not SIZES[number][0] <= len(value) <= SIZES[number][1]:
            raise WireError("an attribute of a wrong size")
        if number == FINGERPRINT.type:
            check_fingerprint(data, at, value)
        values[number] = value
    if len(unknown) > MAX_UNKNOWN or sum(unknown) > MAX_UNKNOWN_BYTES:
        raise WireError("too many unknown attributes")
    return values


def is_known(number: int, kind: int) -> bool:
    return number in SIZES and (number not in KINDS or kind in KINDS[number])


def read_ufrags(username: bytes) -> tuple[bytes, bytes]:
    """The ufrags of sender and receiver; in a username the receiver's comes first (RFC 8445 §7.2.2)."""
    receiver, _, sender = username.partition(b":")
    if not receiver or not sender:
        raise WireError("no two ufrags")
    return sender, receiver
