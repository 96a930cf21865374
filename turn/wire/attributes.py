"""The attributes of STUN and TURN, one row each: number, name, pack, unpack.

Values are typed, and addresses stay bytes. The rows that aioice's tables lack are added to them, so that its
message classes know every attribute that we know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from struct import Struct
from typing import Any, Generic, TypeVar

from aioice.stun import ATTRIBUTES_BY_NAME, ATTRIBUTES_BY_TYPE

from turn.errors import BadRequest
from turn.flows import Address

COOKIE = 0x2112A442
REQUIRED_BELOW = 0x8000  # types below must be understood, types from here on may be ignored (RFC 8489 §14)

IPV4, IPV6 = 1, 2  # address families (RFC 8489 §14.1)
SIZES = {IPV4: 4, IPV6: 16}
FAMILIES = {4: IPV4, 16: IPV6}
ADDRESS = Struct("!BBH")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attribute(Generic[T]):
    """One row. Both functions also take the transaction id, which XOR addresses need.

    `unpack` raises BadRequest for a malformed value.
    """

    type: int
    name: str
    pack: Callable[[T, bytes], bytes]
    unpack: Callable[[bytes, bytes], T]


def sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise BadRequest(f"{len(value)} bytes instead of {size}")
    return value


def pack_bytes(value: bytes, transaction: bytes) -> bytes:
    return value


def unpack_bytes(value: bytes, transaction: bytes) -> bytes:
    return value


def unpack_token(value: bytes, transaction: bytes) -> bytes:
    return sized(value, 8)


def pack_text(value: str, transaction: bytes) -> bytes:
    return value.encode()


def unpack_text(value: bytes, transaction: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadRequest("no UTF-8") from None


def pack_number(value: int, transaction: bytes) -> bytes:
    return value.to_bytes(4, "big")


def unpack_number(value: bytes, transaction: bytes) -> int:
    return int.from_bytes(sized(value, 4), "big")


def pack_channel(value: int, transaction: bytes) -> bytes:
    """A channel number or port in the first two of four bytes (RFC 8656 §18.1, RFC 5780 §7.5)."""
    return value.to_bytes(2, "big") + b"\0\0"


def unpack_channel(value: bytes, transaction: bytes) -> int:
    return int.from_bytes(sized(value, 4)[:2], "big")


def pack_first(value: int, transaction: bytes) -> bytes:
    """A transport protocol or an address family in the first of four bytes (RFC 8656 §18.6, §18.8)."""
    return bytes((value, 0, 0, 0))


def unpack_first(value: bytes, transaction: bytes) -> int:
    return sized(value, 4)[0]


def pack_flag(value: bool, transaction: bytes) -> bytes:
    """The R bit of EVEN-PORT (RFC 8656 §18.5)."""
    return b"\x80" if value else b"\0"


def unpack_flag(value: bytes, transaction: bytes) -> bool:
    return bool(sized(value, 1)[0] & 0x80)


def pack_nothing(value: None, transaction: bytes) -> bytes:
    return b""


def unpack_nothing(value: bytes, transaction: bytes) -> None:
    sized(value, 0)


def pack_types(value: tuple[int, ...], transaction: bytes) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in value)


def unpack_types(value: bytes, transaction: bytes) -> tuple[int, ...]:
    if len(value) % 2:
        raise BadRequest("half a number")
    return tuple(int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2))


def pack_code(value: int, transaction: bytes) -> bytes:
    """Without a reason phrase, so that replies to strangers are small (RFC 8489 §14.8 allows this)."""
    return bytes((0, 0, value // 100, value % 100))


def unpack_code(value: bytes, transaction: bytes) -> int:
    if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
        raise BadRequest("no error code")
    return (value[2] & 7) * 100 + value[3]


def pack_family_code(value: tuple[int, int], transaction: bytes) -> bytes:
    family, code = value
    return bytes((family, 0, code // 100, code % 100))


def unpack_family_code(value: bytes, transaction: bytes) -> tuple[int, int]:
    return value[:1][0] if value else 0, unpack_code(value, transaction)


def pack_icmp(value: tuple[int, int, bytes], transaction: bytes) -> bytes:
    """ICMP type and code, one byte each as in ICMP itself, and four bytes of data (RFC 8656 §18.13)."""
    kind, code, data = value
    return bytes((0, 0, kind, code)) + data


def unpack_icmp(value: bytes, transaction: bytes) -> tuple[int, int, bytes]:
    sized(value, 8)
    return value[2], value[3], value[4:]


def pack_address(value: Address, transaction: bytes) -> bytes:
    return ADDRESS.pack(0, FAMILIES[len(value.ip)], value.port) + value.ip


def unpack_address(value: bytes, transaction: bytes) -> Address:
    if len(value) < 4 or SIZES.get(value[1]) != len(value) - 4:
        raise BadRequest("no address")
    return Address(value[4:], value[2] << 8 | value[3])


def mask(ip: bytes, transaction: bytes) -> bytes:
    """An address XORed with the cookie and, for IPv6, with the transaction id (RFC 8489 §14.2)."""
    if len(ip) == 4:
        return (int.from_bytes(ip, "big") ^ COOKIE).to_bytes(4, "big")
    over = COOKIE << 96 | int.from_bytes(transaction, "big")
    return (int.from_bytes(ip, "big") ^ over).to_bytes(16, "big")


def pack_xor_address(value: Address, transaction: bytes) -> bytes:
    ip = value.ip
    return ADDRESS.pack(0, FAMILIES[len(ip)], value.port ^ COOKIE >> 16) + mask(ip, transaction)


def unpack_xor_address(value: bytes, transaction: bytes) -> Address:
    ip, port, transport = unpack_address(value, transaction)
    return Address(mask(ip, transaction), port ^ COOKIE >> 16, transport)


MAPPED_ADDRESS = Attribute(0x0001, "MAPPED-ADDRESS", pack_address, unpack_address)
CHANGE_REQUEST = Attribute(0x0003, "CHANGE-REQUEST", pack_number, unpack_number)
SOURCE_ADDRESS = Attribute(0x0004, "SOURCE-ADDRESS", pack_address, unpack_address)
CHANGED_ADDRESS = Attribute(0x0005, "CHANGED-ADDRESS", pack_address, unpack_address)
USERNAME = Attribute(0x0006, "USERNAME", pack_text, unpack_text)
MESSAGE_INTEGRITY = Attribute(0x0008, "MESSAGE-INTEGRITY", pack_bytes, unpack_bytes)
ERROR_CODE = Attribute(0x0009, "ERROR-CODE", pack_code, unpack_code)
UNKNOWN_ATTRIBUTES = Attribute(0x000A, "UNKNOWN-ATTRIBUTES", pack_types, unpack_types)
CHANNEL_NUMBER = Attribute(0x000C, "CHANNEL-NUMBER", pack_channel, unpack_channel)
LIFETIME = Attribute(0x000D, "LIFETIME", pack_number, unpack_number)
XOR_PEER_ADDRESS = Attribute(0x0012, "XOR-PEER-ADDRESS", pack_xor_address, unpack_xor_address)
DATA = Attribute(0x0013, "DATA", pack_bytes, unpack_bytes)
REALM = Attribute(0x0014, "REALM", pack_text, unpack_text)
NONCE = Attribute(0x0015, "NONCE", pack_bytes, unpack_bytes)
XOR_RELAYED_ADDRESS = Attribute(0x0016, "XOR-RELAYED-ADDRESS", pack_xor_address, unpack_xor_address)
REQUESTED_ADDRESS_FAMILY = Attribute(0x0017, "REQUESTED-ADDRESS-FAMILY", pack_first, unpack_first)
EVEN_PORT = Attribute(0x0018, "EVEN-PORT", pack_flag, unpack_flag)
REQUESTED_TRANSPORT = Attribute(0x0019, "REQUESTED-TRANSPORT", pack_first, unpack_first)
DONT_FRAGMENT = Attribute(0x001A, "DONT-FRAGMENT", pack_nothing, unpack_nothing)
MESSAGE_INTEGRITY_SHA256 = Attribute(0x001C, "MESSAGE-INTEGRITY-SHA256", pack_bytes, unpack_bytes)
PASSWORD_ALGORITHM = Attribute(0x001D, "PASSWORD-ALGORITHM", pack_bytes, unpack_bytes)
USERHASH = Attribute(0x001E, "USERHASH", pack_bytes, unpack_bytes)
XOR_MAPPED_ADDRESS = Attribute(0x0020, "XOR-MAPPED-ADDRESS", pack_xor_address, unpack_xor_address)
RESERVATION_TOKEN = Attribute(0x0022, "RESERVATION-TOKEN", pack_bytes, unpack_token)
PADDING = Attribute(0x0026, "PADDING", pack_bytes, unpack_bytes)
RESPONSE_PORT = Attribute(0x0027, "RESPONSE-PORT", pack_channel, unpack_channel)
ADDITIONAL_ADDRESS_FAMILY = Attribute(0x8000, "ADDITIONAL-ADDRESS-FAMILY", pack_first, unpack_first)
ADDRESS_ERROR_CODE = Attribute(0x8001, "ADDRESS-ERROR-CODE", pack_family_code, unpack_family_code)
PASSWORD_ALGORITHMS = Attribute(0x8002, "PASSWORD-ALGORITHMS", pack_bytes, unpack_bytes)
ICMP = Attribute(0x8004, "ICMP", pack_icmp, unpack_icmp)
SOFTWARE = Attribute(0x8022, "SOFTWARE", pack_text, unpack_text)
ALTERNATE_SERVER = Attribute(0x8023, "ALTERNATE-SERVER", pack_address, unpack_address)
FINGERPRINT = Attribute(0x8028, "FINGERPRINT", pack_number, unpack_number)
RESPONSE_ORIGIN = Attribute(0x802B, "RESPONSE-ORIGIN", pack_address, unpack_address)
OTHER_ADDRESS = Attribute(0x802C, "OTHER-ADDRESS", pack_address, unpack_address)
MOBILITY_TICKET = Attribute(0x8030, "MOBILITY-TICKET", pack_bytes, unpack_bytes)

TABLE: dict[int, Attribute[Any]] = {
    row.type: row for row in list(globals().values()) if isinstance(row, Attribute)
}


def extend_aioice() -> None:
    """Add to aioice the rows that it lacks; none of them needs the transaction id."""
    for row in TABLE.values():
        if row.type not in ATTRIBUTES_BY_TYPE:
            entry = (
                row.type,
                row.name,
                partial(without_transaction, row.pack),
                partial(without_transaction, row.unpack),
            )
            ATTRIBUTES_BY_TYPE[row.type] = ATTRIBUTES_BY_NAME[row.name] = entry


def without_transaction(function: Callable[[Any, bytes], Any], value: Any) -> Any:
    return function(value, b"")


extend_aioice()
