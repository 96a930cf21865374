"""DTLS as seen from outside: the records of a datagram, and the unencrypted handshake fragments in them."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from turn.wire.stun import WireError

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, ACK = 20, 21, 22, 23, 26
VERSIONS = (0xFEFF, 0xFEFD)  # of a record; the first ClientHello still says DTLS 1.0 (RFC 9147 §5.3)

RECORD = Struct("!BHH6xH")  # type, version, epoch, (sequence number), length (RFC 6347 §4.1)
FRAGMENT = Struct("!B3sH3s3s")  # type, length, message_seq, offset, length of the fragment (RFC 6347 §4.2.2)
MOST_RECORDS = 16  # in one datagram; a flight of a handshake has about five
HANDSHAKE_EPOCH = 2  # of DTLS 1.3: what follows the ServerHello (RFC 9147 §6.1)
SHORTEST_CIPHERTEXT = 17  # a byte of content type and a tag of 16 (RFC 9147 §4)
MOST_FRAGMENTS = 16  # in one record: each costs time, and a flight has five messages
MOST_ACKED = 16  # records that one unencrypted ACK names: those of a flight, some of them twice
EPOCHS = 4  # an unencrypted ACK names only epochs of the handshake, and the first one after it
ACKED = Struct("!QHHL")  # epoch of each, and the sequence number of 48 bits (RFC 9147 §7)

# The handshake messages that are not encrypted: hellos, HelloVerifyRequest, NewSessionTicket, certificates
# and what belongs to them (RFC 5246 §7.4, RFC 6066 §8). Finished, and what DTLS 1.3 encrypts, is not here.
CLIENT_HELLO, SERVER_HELLO, HELLO_DONE = 1, 2, 14
IN_CLEAR = frozenset((CLIENT_HELLO, SERVER_HELLO, 3, 4, 11, 12, 13, HELLO_DONE, 15, 16, 22))


class Record(NamedTuple):
    """One record. Epoch 0 is not encrypted. A `unified` header, of DTLS 1.3, shows only its lowest bits."""

    kind: int
    epoch: int
    content: bytes
    unified: bool = False

    @property
    def encrypted(self) -> bool:
        return self.unified or self.epoch > 0


class Fragment(NamedTuple):
    """A part of a handshake message; `length` is the whole message's."""

    kind: int
    number: int
    length: int
    offset: int
    data: bytes


def parse_records(datagram: bytes) -> list[Record]:
    """The records of a datagram. Raises WireError unless they fill it exactly and WebRTC uses each."""
    records: list[Record] = []
    at = 0
    while at < len(datagram):
        if len(records) == MOST_RECORDS:
            raise WireError("too many records")
        read = read_unified if datagram[at] & 0xE0 == 0x20 else read_plain
        record, at = read(datagram, at)
        records.append(record)
    if len(records) > 1 and [record.kind for record in records].count(ACK) > 1:
        raise WireError("too many acknowledgements")
    return records


def read_plain(datagram: bytes, at: int) -> tuple[Record, int]:
    """A record with the header of DTLS 1.2, and where the next one begins."""
    if len(datagram) - at < RECORD.size:
        raise WireError("shorter than a header")
    kind, version, epoch, length = RECORD.unpack_from(datagram, at)
    start = at + RECORD.size
    content = datagram[start : start + length]
    if version not in VERSIONS or not length or len(content) != length:
        raise WireError("no record")
    if kind not in (SHAPES if epoch == 0 else ENCRYPTED):
        raise WireError("no record of this type")
    if not (SHAPES[kind](content) if epoch == 0 else length >= SHORTEST_CIPHERTEXT):
        raise WireError("no record of this size")
    return Record(kind, epoch, content), start + length


def read_unified(datagram: bytes, at: int) -> tuple[Record, int]:
    """A record with the header of DTLS 1.3 (RFC 9147 §4): 001CSLEE, sequence number, length if L is set."""
    first = datagram[at]
    if first & 0x10:
        raise WireError("a connection id, which WebRTC does not use")
    start = at + (3 if first & 0x08 else 2)
    if first & 0x04:
        end = start + 2 + int.from_bytes(datagram[start : start + 2], "big")
        start += 2
    else:
        end = len(datagram)
    if end > len(datagram) or end - start < SHORTEST_CIPHERTEXT:
        raise WireError("no record of this size")
    return Record(DATA, first & 0x03, datagram[start:end], unified=True), end


def is_change(content: bytes) -> bool:
    return content == b"\x01"


def is_alert(content: bytes) -> bool:
    return len(content) == 2


def is_ack(content: bytes) -> bool:
    """An unencrypted ACK (RFC 9147 §7). Firefox sends it also for records that it cannot decrypt yet."""
    size = len(content) - 2
    if not 0 <= size <= ACKED.size * MOST_ACKED or size % ACKED.size:
        return False
    named = ACKED.iter_unpack(content[2:])
    return int.from_bytes(content[:2], "big") == size and all(
        epoch < EPOCHS and not high for epoch, high, *_ in named
    )


def is_handshake(content: bytes) -> bool:
    return bool(parse_fragments(content))


SHAPES = {CHANGE_CIPHER_SPEC: is_change, ALERT: is_alert, HANDSHAKE: is_handshake, ACK: is_ack}
ENCRYPTED = frozenset((CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA))


def parse_fragments(content: bytes) -> list[Fragment]:
    """The fragments of an unencrypted record. Raises WireError unless they fill it exactly."""
    fragments: list[Fragment] = []
    at = 0
    while at < len(content):
        if len(content) - at < FRAGMENT.size or len(fragments) == MOST_FRAGMENTS:
            raise WireError("no fragments")
        kind, whole, number, *place = FRAGMENT.unpack_from(content, at)
        length, offset, size = [int.from_bytes(each, "big") for each in (whole, *place)]
        start = at + FRAGMENT.size
        at = start + size
        idle = length > 0 if kind == HELLO_DONE else not size  # the one message without content
        if kind not in IN_CLEAR or offset + size > length or at > len(content) or idle:
            raise WireError("no fragment of a handshake in clear")
        fragments.append(Fragment(kind, number, length, offset, content[start:at]))
    return fragments
