"""The STUN of RFC 3489: no cookie, 128 bits of transaction id, and addresses as they are."""

from __future__ import annotations

from turn.flows import Address
from turn.wire.attributes import CHANGE_REQUEST, CHANGED_ADDRESS, MAPPED_ADDRESS, SOURCE_ADDRESS
from turn.wire.stun import BINDING_REQUEST, HEADER, HEADER_BYTES, SUCCESS, WireError, tlv, walk


def parse_classic(data: bytes) -> int:
    """What a Binding request asks to be changed (0: nothing). Raises WireError for everything else: who sends
    RESPONSE-ADDRESS asks for a packet to somebody else, and nobody signs here."""
    if len(data) < HEADER_BYTES:
        raise WireError("shorter than a header")
    kind, length, _, _ = HEADER.unpack_from(data)
    if kind != BINDING_REQUEST or length & 3 or length != len(data) - HEADER_BYTES:
        raise WireError("no Binding request")
    change = 0
    for _, number, value in walk(data):
        if number != CHANGE_REQUEST.type or len(value) != 4:
            raise WireError("an attribute that is not answered")
        change = int.from_bytes(value, "big")
    return change


def classic_success(request: bytes, mapped: Address, source: Address, changed: Address | None) -> bytes:
    """Who asked, where the answer leaves from, and the address that differs in both parts (RFC 3489 §8.1)."""
    rows = ((MAPPED_ADDRESS, mapped), (SOURCE_ADDRESS, source), (CHANGED_ADDRESS, changed))
    body = b"".join(tlv(row.type, row.pack(value, b"")) for row, value in rows if value)
    return HEADER.pack(BINDING_REQUEST | SUCCESS, len(body), request[4:8], request[8:20]) + body
