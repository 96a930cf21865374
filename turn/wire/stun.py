"""STUN and TURN messages: those of strangers are parsed strictly, and our answers are built."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from turn.flows import Address
from turn.wire.attributes import (
    COOKIE,
    DATA,
    ERROR_CODE,
    FINGERPRINT,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    PASSWORD_ALGORITHMS,
    REALM,
    REQUIRED_BELOW,
    XOR_PEER_ADDRESS,
    Attribute,
    mask,
    pack_code,
    pack_xor_address,
)
from turn.wire.integrity import (
    FINGERPRINT_HEADER,
    INTEGRITY_BYTES,
    SHA256_BYTES,
    add_fingerprint,
    has_fingerprint,
    sign,
    sign_sha256,
    verify,
    verify_sha256,
)

HEADER_BYTES = 20
COOKIE_BYTES = COOKIE.to_bytes(4, "big")
HEADER = Struct("!HH4s12s")
TLV = Struct("!HH")

# Besides peers, of which a CreatePermission has many: requests have up to ten. It bounds the work for one
# datagram, which could have 375.
MAX_ATTRIBUTES = 32
MAX_UNKNOWN = 8  # types that an answer 420 lists: keeps it smaller than the request
MAX_DATAGRAM = 65507  # bytes that UDP over IPv4 carries

# The message types that this relay knows: method and class in one number (RFC 8489 §5, RFC 8656 §17).
BINDING_REQUEST = 0x0001
ALLOCATE_REQUEST = 0x0003
REFRESH_REQUEST = 0x0004
CREATE_PERMISSION_REQUEST = 0x0008
CHANNEL_BIND_REQUEST = 0x0009
SEND_INDICATION = 0x0016
DATA_INDICATION = 0x0017
REQUEST, INDICATION, SUCCESS, ERROR = 0x0000, 0x0010, 0x0100, 0x0110

FIRST_CHANNEL, LAST_CHANNEL = 0x4000, 0x7FFE  # some clients use numbers above 0x4FFF, the last of RFC 8656

T = TypeVar("T")


class WireError(ValueError):
    """The bytes are not a valid message. It is dropped without a reply."""


class StunMessage(NamedTuple):
    """One well-formed message.

    `attributes` are in order, up to MESSAGE-INTEGRITY or its SHA-256 form; `integrity` and `sha256` are
    where these begin in `data` (0 if there is none). What follows the first of them is not authenticated,
    and is ignored (RFC 8489 §14.5, §14.6).
    """

    type: int
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...]
    integrity: int
    fingerprint: bool
    data: bytes
    sha256: int = 0

    def raw(self, attribute: Attribute[Any]) -> bytes | None:
        """The bytes of the first attribute of this type; later ones are ignored (RFC 8489 §14)."""
        number = attribute.type
        for kind, value in self.attributes:
            if kind == number:
                return value
        return None

    def get(self, attribute: Attribute[T]) -> T | None:
        """The value of the first attribute of this type, or None. Raises BadRequest if it is malformed."""
        value = self.raw(attribute)
        return None if value is None else attribute.unpack(value, self.transaction)

    def has(self, attribute: Attribute[Any]) -> bool:
        return self.raw(attribute) is not None

    def each(self, attribute: Attribute[T]) -> list[T]:
        """The values of all attributes of this type. Raises BadRequest if one is malformed."""
        number = attribute.type
        return [
            attribute.unpack(value, self.transaction) for kind, value in self.attributes if kind == number
        ]

    def count(self, attribute: Attribute[Any]) -> int:
        """How many attributes of this type there are."""
        return sum(kind == attribute.type for kind, _ in self.attributes)

    def verify(self, key: bytes) -> bool:
        """Whether its MESSAGE-INTEGRITY was made with this key."""
        return bool(self.integrity) and verify(self.data, self.integrity, key)

    def verify_sha256(self, key: bytes) -> bool:
        """Whether its MESSAGE-INTEGRITY-SHA256 was made with this key."""
        return bool(self.sha256) and verify_sha256(self.data, self.sha256, key)

    def unknown(self, known: frozenset[int]) -> tuple[int, ...]:
        """The comprehension-required types that are not among the known ones."""
        return tuple(kind for kind, _ in self.attributes if kind < REQUIRED_BELOW and kind not in known)


def parse(data: bytes) -> StunMessage:
    """Parse a message. Raises WireError unless the bytes are exactly one well-formed message."""
    kind, transaction = parse_header(data)
    attributes: list[tuple[int, bytes]] = []
    integrity, sha256, fingerprint, count = 0, 0, False, 0
    for at, number, value in walk(data):
        count += number != XOR_PEER_ADDRESS.type
        if count > MAX_ATTRIBUTES:
            raise WireError("too many attributes")
        if number == FINGERPRINT.type:
            check_fingerprint(data, at, value)
            fingerprint = True
        elif sha256 or (integrity and number != MESSAGE_INTEGRITY_SHA256.type):
            continue
        elif number == MESSAGE_INTEGRITY.type:
            integrity = check_integrity_size(at, value, INTEGRITY_BYTES)
        elif number == MESSAGE_INTEGRITY_SHA256.type:
            sha256 = check_integrity_size(at, value, SHA256_BYTES)
        else:
            attributes.append((number, value))
    return StunMessage(kind, transaction, tuple(attributes), integrity, fingerprint, data, sha256)


def parse_header(data: bytes) -> tuple[int, bytes]:
    if len(data) < HEADER_BYTES:
        raise WireError("shorter than a header")
    kind, length, cookie, transaction = HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != COOKIE_BYTES or length & 3 or length != len(data) - HEADER_BYTES:
        raise WireError("no header of a message")
    return kind, transaction


def walk(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each attribute: where it begins, its type, its value. The length must be a multiple of four."""
    at, end = HEADER_BYTES, len(data)
    while at < end:
        number, size = TLV.unpack_from(data, at)
        after = at + 4 + (size + 3 & ~3)
        if after > end:
            raise WireError("an attribute passes the end")
        yield at, number, data[at + 4 : at + 4 + size]
        at = after


def check_fingerprint(data: bytes, at: int, value: bytes) -> None:
    if len(value) != 4 or at + 8 != len(data) or not has_fingerprint(data, at):
        raise WireError("a wrong fingerprint")


def check_integrity_size(at: int, value: bytes, size: int) -> int:
    """TURN does not allow the truncated form (RFC 8489 §14.6)."""
    if len(value) != size:
        raise WireError("no message integrity of this size")
    return at


def tlv(number: int, value: bytes) -> bytes:
    """The bytes of one attribute; the padding is zero."""
    return TLV.pack(number, len(value)) + value + bytes(-len(value) & 3)


def build(
    kind: int,
    transaction: bytes,
    attributes: list[tuple[Attribute[Any], Any]],
    key: bytes | None = None,
    *,
    fingerprint: bool = False,
    sha256: bool = False,
) -> bytes:
    """The bytes of a message, signed with `key` if there is one, and with a FINGERPRINT if asked for."""
    body = b"".join(tlv(row.type, row.pack(value, transaction)) for row, value in attributes)
    message = HEADER.pack(kind, len(body), COOKIE_BYTES, transaction) + body
    if key is not None:
        message = sign_sha256(message, key) if sha256 else sign(message, key)
    return add_fingerprint(message) if fingerprint else message


# Answers that a flood can ask for, and messages that carry media, are packed by hand to be fast.

MAPPED_V4 = bytes.fromhex("0020 0008 0001")
MAPPED_V6 = bytes.fromhex("0020 0014 0002")
BOUND_V4 = bytes.fromhex("0101 000c") + COOKIE_BYTES
BOUND_V6 = bytes.fromhex("0101 0018") + COOKIE_BYTES
SEND_V4 = Struct("!HHI12sIHHIHH")  # header, XOR-PEER-ADDRESS of IPv4, the head of DATA
SENT_V4 = (SEND_INDICATION, COOKIE, 0x0012_0008, 1, DATA.type)
BARE_BINDING = bytes.fromhex("0001 0000") + COOKIE_BYTES


def is_bare_binding(data: bytes) -> bool:
    """Whether it is a Binding request without attributes, as in a flood."""
    return len(data) == HEADER_BYTES and data.startswith(BARE_BINDING)


def binding_success(transaction: bytes, client: Address) -> bytes:
    """A Binding success response with only XOR-MAPPED-ADDRESS: 32 bytes, 44 for IPv6."""
    port = (client.port ^ COOKIE >> 16).to_bytes(2, "big")
    if len(client.ip) == 4:
        return BOUND_V4 + transaction + MAPPED_V4 + port + mask(client.ip, transaction)
    return BOUND_V6 + transaction + MAPPED_V6 + port + mask(client.ip, transaction)


class Challenge:
    """The answers 401 and 438 of one realm; all but transaction and nonce is packed in advance."""

    def __init__(self, realm: str, algorithms: bytes = b"") -> None:
        self._realm = tlv(REALM.type, realm.encode())
        self._algorithms = tlv(PASSWORD_ALGORITHMS.type, algorithms) if algorithms else b""

    def build(
        self, kind: int, transaction: bytes, code: int, nonce: bytes, *, fingerprint: bool = False
    ) -> bytes:
        body = tlv(ERROR_CODE.type, pack_code(code, b"")) + self._realm + tlv(NONCE.type, nonce)
        body += self._algorithms
        message = HEADER.pack(kind | ERROR, len(body), COOKIE_BYTES, transaction) + body
        return add_fingerprint(message) if fingerprint else message


def parse_send(data: bytes) -> tuple[Address, bytes] | None:
    """Peer and data of a Send indication to an IPv4 peer in the form that browsers send.

    It has only these two attributes, and perhaps a right FINGERPRINT. None for any other form, which then
    goes through `parse`.
    """
    if len(data) < SEND_V4.size:
        return None
    kind, length, cookie, _, head, family, port, ip, after, size = SEND_V4.unpack_from(data)
    if (kind, cookie, head, family, after) != SENT_V4:
        return None
    end = SEND_V4.size + (size + 3 & ~3)
    if length != len(data) - HEADER_BYTES or not (end == len(data) or ends_with_fingerprint(data, end)):
        return None
    return Address((ip ^ COOKIE).to_bytes(4, "big"), port ^ COOKIE >> 16), data[36 : 36 + size]


def ends_with_fingerprint(data: bytes, at: int) -> bool:
    return at + 8 == len(data) and data.startswith(FINGERPRINT_HEADER, at) and has_fingerprint(data, at)


def data_indication(transaction: bytes, peer: Address, payload: bytes) -> bytes:
    """A Data indication: what a peer sent, for a client without a channel (RFC 8656 §11.3)."""
    at = pack_xor_address(peer, transaction)
    size = 8 + len(at) + len(payload) + (-len(payload) & 3)
    return b"".join(
        (
            HEADER.pack(DATA_INDICATION, size, COOKIE_BYTES, transaction),
            TLV.pack(XOR_PEER_ADDRESS.type, len(at)),
            at,
            TLV.pack(DATA.type, len(payload)),
            payload,
            bytes(-len(payload) & 3),
        )
    )


def channel_data(number: int, payload: bytes) -> bytes:
    """ChannelData: what a peer sent, for a client with a channel; without padding (RFC 8656 §12.5)."""
    return TLV.pack(number, len(payload)) + payload


def parse_channel_data(data: bytes) -> tuple[int, bytes]:
    """Channel number and payload; up to three bytes of padding may follow (RFC 8656 §12.6)."""
    if len(data) < 4:
        raise WireError("shorter than a header")
    number, size = TLV.unpack_from(data)
    if not FIRST_CHANNEL <= number <= LAST_CHANNEL or not 0 <= len(data) - 4 - size <= 3:
        raise WireError("no channel data")
    return number, data[4 : 4 + size]
