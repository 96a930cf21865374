"""The STUN of RFC 3489: no cookie, a transaction id of 128 bits, and addresses that are not XORed."""

from __future__ import annotations

from turn.flows import Address
from turn.wire.attributes import CHANGE_REQUEST, CHANGED_ADDRESS, MAPPED_ADDRESS, SOURCE_ADDRESS
from turn.wire.stun import BINDING_REQUEST, HEADER, HEADER_BYTES, SUCCESS, WireError, tlv, walk


def parse_classic(data: bytes) -> int:
    """The flags of CHANGE-REQUEST in a Binding request, 0 if there are none. Raises WireError.

    RESPONSE-ADDRESS is refused too: it asks for a packet to another address, and nothing here is signed.
    """
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
    """The client's address, the source of the answer, and the alternate address (RFC 3489 §8.1)."""
    rows = ((MAPPED_ADDRESS, mapped), (SOURCE_ADDRESS, source), (CHANGED_ADDRESS, changed))
    body = b"".join(tlv(row.type, row.pack(value, b"")) for row, value in rows if value)
    return HEADER.pack(BINDING_REQUEST | SUCCESS, len(body), request[4:8], request[8:20]) + body
