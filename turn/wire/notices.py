"""What our server tells a relay: the value of NOTICES in a Notify request, which is a method of our own.

A notice says how long it holds, so to repeat one is harmless, and a lost one comes again. Kinds that a relay
does not know are skipped: its server may be newer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from typing import Any, NamedTuple

from turn.errors import BadRequest
from turn.wire.attributes import FAMILIES, Attribute

# A method and an attribute that IANA has given to nobody (RFC 8489 §18). Both are in the ranges for experts.
NOTIFY_REQUEST = 0x028A
LONGEST = 1280  # bytes of a request: it goes over any network in one piece, and bounds what it makes us do
MAX_VALUE = 1100  # bytes of NOTICES
VERSION = 1
SERVER_BYTES = 8
HEAD = Struct(f"!B{SERVER_BYTES}sQ")  # version, the server, the number of its request
NOTICE = Struct("!BHI")  # kind, bytes of the body, seconds
BANNED = Struct("!4sBB12s")  # key, bytes of an address, bits of the prefix, tag
MAX_USER = 64  # bytes of a user's name
MAX_UFRAG = 126  # bytes: the gate reads two of them and a colon in at most 128


class PairVouched(NamedTuple):
    """These two users, with these two ufrags, have descriptions of a call that passed the server's checks."""

    seconds: int
    users: tuple[str, str]
    ufrags: tuple[bytes, bytes]


class UserEnded(NamedTuple):
    """What this user has is to end, and it gets nothing any more."""

    seconds: int
    user: str


class NetworkBanned(NamedTuple):
    """Clients of a network are to be refused; 0 seconds: no longer.

    The network is named by a tag under a key that server and relay share, with that key's name; `size` is the
    bytes of its addresses, `prefix` the bits that they have in common.
    """

    seconds: int
    key_name: bytes
    size: int
    prefix: int
    tag: bytes


Notice = PairVouched | UserEnded | NetworkBanned


class Notification(NamedTuple):
    """One request: which server it is from (random at its start), and its number, which always grows."""

    server: bytes
    number: int
    notices: tuple[Notice, ...] = ()


def pack_notification(value: Notification, transaction: bytes = b"") -> bytes:
    return HEAD.pack(VERSION, value.server, value.number) + pack_notices(value.notices)


def unpack_notification(value: bytes, transaction: bytes = b"") -> Notification:
    """Raises BadRequest."""
    if not HEAD.size <= len(value) <= MAX_VALUE:
        raise BadRequest("size of the notices")
    version, server, number = HEAD.unpack_from(value)
    if version != VERSION:
        raise BadRequest("version of the notices")
    return Notification(server, number, unpack_notices(value[HEAD.size :]))


def pack_notices(notices: Iterable[Notice]) -> bytes:
    return b"".join(map(pack_notice, notices))


def pack_notice(notice: Notice) -> bytes:
    kind, pack, _ = KINDS[type(notice)]
    body = pack(notice)
    return NOTICE.pack(kind, len(body), notice.seconds) + body


def unpack_notices(data: bytes) -> tuple[Notice, ...]:
    """Raises BadRequest."""
    return tuple(READERS[kind](seconds, body) for kind, seconds, body in split(data) if kind in READERS)


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, seconds and body of each notice. Raises BadRequest."""
    at = 0
    while at < len(data):
        if at + NOTICE.size > len(data):
            raise BadRequest("half a notice")
        kind, size, seconds = NOTICE.unpack_from(data, at)
        at += NOTICE.size + size
        if at > len(data):
            raise BadRequest("half a notice")
        yield kind, seconds, data[at - size : at]


def pack_vouched(notice: PairVouched) -> bytes:
    texts = (*(user.encode() for user in notice.users), *notice.ufrags)
    return b"".join(bytes((len(text),)) + text for text in texts)


def read_vouched(seconds: int, body: bytes) -> PairVouched:
    one, other, *ufrags = read_texts(body, 4)
    if not all(len(ufrag) <= MAX_UFRAG for ufrag in ufrags):
        raise BadRequest("length of a ufrag")
    return PairVouched(seconds, (read_user(one), read_user(other)), (ufrags[0], ufrags[1]))


def read_texts(body: bytes, count: int) -> list[bytes]:
    """So many texts of one byte or more, each behind its length, and nothing else. Raises BadRequest."""
    texts, at = [], 0
    for _ in range(count):
        size = body[at] if at < len(body) else 0
        texts.append(body[at + 1 : at + 1 + size])
        at += 1 + size
        if not size or at > len(body):
            raise BadRequest("a text is missing")
    if at != len(body):
        raise BadRequest("more than the texts")
    return texts


def read_user(name: bytes) -> str:
    if not 1 <= len(name) <= MAX_USER:
        raise BadRequest("length of a user")
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadRequest("no UTF-8") from None


def read_banned(seconds: int, body: bytes) -> NetworkBanned:
    """A network of everybody is refused."""
    if len(body) != BANNED.size:
        raise BadRequest("no network")
    key_name, size, prefix, tag = BANNED.unpack(body)
    if size not in FAMILIES or not 1 <= prefix <= 8 * size:
        raise BadRequest("no network")
    return NetworkBanned(seconds, key_name, size, prefix, tag)


KINDS: dict[type, tuple[int, Callable[[Any], bytes], Callable[[int, bytes], Notice]]] = {
    PairVouched: (1, pack_vouched, read_vouched),
    UserEnded: (2, lambda notice: notice.user.encode(), lambda s, body: UserEnded(s, read_user(body))),
    NetworkBanned: (3, lambda notice: BANNED.pack(*notice[1:]), read_banned),
}
READERS = {kind: read for kind, _, read in KINDS.values()}

NOTICES = Attribute(0x7CA1, "CALLN-NOTICES", pack_notification, unpack_notification)
