"""The messages of `calln.v1` that a client may send, and the limits that both sides keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PROTOCOL = "calln.v1"
CHANNEL = "calln-channel.v1"  # what two pages say to each other over their data channel
PAGE_FEATURES = frozenset({CHANNEL})  # what a client can say in `hello` that it can do

MAX_MESSAGE = 64 << 10  # a two-party SDP stays below 10 KiB; larger frames only cost memory
MAX_TEXT = 4000  # characters of one chat line
MAX_PICTURE = 2 << 20  # bytes of one picture
MAX_CHUNK = 48 << 10  # bytes of a picture in one binary frame: signalling never waits long behind one
HELLO_SECONDS = 10  # until the first message: a silent socket uses a place
PING_SECONDS = 20  # between two pings of a page: proxies cut a silent connection after 60 s

# Code of an error, which never changes -> what it says to a person.
ERRORS = {
    "bad_json": "this is no JSON object that can be read",
    "bad_message": "a field is missing or has a value that it cannot have",
    "unknown_type": "this type of message is not known",
    "wrong_state": "this cannot be said now",
    "wrong_call": "you are not in this call",
    "link_taken": "two others use this link already",
    "link_only": "this site has calls by link only",
    "no_links": "this site has no calls by link",
    "too_many": "there is no more room for this",
    "too_fast": "slow down",
    "bad_sdp": "this session description is not accepted",
    "bad_candidate": "this candidate is not accepted",
    "bad_text": "a text has 1 to 4000 characters",
    "bad_picture": "this picture is not accepted",
    "internal": "the server made a mistake",
}
MALFORMED = frozenset({"bad_json", "bad_message", "unknown_type"})  # our page never sends these


# Why a page gives a call up that nobody wanted to end: its partner is told.
FAILURES = ("unreachable", "relay", "broken", "changed", "unable")


class MessageError(Exception):
    """A message that is refused.

    Args:
        code: a key of ERRORS.
        id: the client's own; None if there is none that can be read.
    """

    def __init__(self, code: str, id: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.id = id


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """Any message of a client.

    Args:
        id: chosen by the client; the reply or the error has the same. At most 64 characters.
    """

    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(ClientMessage):
    """The first message on every socket.

    Args:
        token: 16 to 64 characters that the browser keeps. Two pages with the same token never meet.
        resume: the secret of the last `hello` reply, to go on after a lost connection.
        heard: how many of the server's messages the page has heard in its visit. What was sent and not heard
            is sent again. None: the page does not count.
        features: what the client can do, of PAGE_FEATURES. Its partner is told what both can.
        ticket: that of `matched`, to come back into the call after a crash of the server.
    """

    token: str
    resume: str | None = None
    heard: int | None = None
    features: frozenset[str] = frozenset()
    ticket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(ClientMessage):
    """Look for a partner.

    Args:
        want: countries of the partner, as two small letters (ISO 3166-1). Empty or None: any country.
        hide_address: whether the call may use only relayed paths.
        link: the hash of a secret: meet the one who knows it, and nobody else. None: anybody who suits.
    """

    want: frozenset[str] | None = None
    hide_address: bool | None = None
    link: str | None = None


class Next(Start):
    """Leave the call, if there is one, and look for another partner. What is None stays as it was."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reunite(ClientMessage):
    """While waiting: whether one would meet a recent partner again.

    Args:
        agree: yes or no.
    """

    agree: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(ClientMessage):
    """Leave the call or the queue.

    Args:
        reason: one of FAILURES where the call did not come to be or broke, for the partner; None: it was
            wanted.
    """

    reason: str | None = None


class Ice(ClientMessage):
    """Ask for ICE servers with new credentials."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(ClientMessage):
    """Say that the page is alive.

    Args:
        heard: how many of the server's messages the page has heard in its visit; None: it does not count.
    """

    heard: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InCall(ClientMessage):
    """Any message that belongs to a call.

    Args:
        call: the name of the call, from `matched`. At most 64 characters.
    """

    call: str


class CallBack(InCall):
    """After a call: ask for its other visitor. When both have asked, they are in a call again."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(InCall):
    """A session description for the partner to answer.

    Args:
        sdp: the description, at most 64 KiB.

    See: RFC 3264 §5, RFC 8866.
    """

    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(InCall):
    """The answer to the partner's offer.

    Args:
        sdp: the description, at most 64 KiB.

    See: RFC 3264 §6, RFC 8866.
    """

    sdp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(InCall):
    """One ICE candidate.

    Args:
        candidate: an RTCIceCandidateInit, or None at the end of the candidates.
        written: the candidate as JSON, where it came just as it goes on to the partner.

    See: RFC 8838, RFC 8839 §5.1.
    """

    candidate: Mapping[str, Any] | None
    written: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(InCall):
    """A line of chat.

    Args:
        text: 1 to 4000 characters.
    """

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture(InCall):
    """Announce a picture; its chunks follow as binary frames.

    Args:
        picture: a number that the client chooses.
        size: bytes of the whole picture, at most 2 MiB.
        mime: `image/png`, `image/jpeg` or `image/webp`.
    """

    picture: int
    size: int
    mime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAck(InCall):
    """Say how much of a picture has arrived: at most two chunks may be on their way.

    Args:
        picture: the number of the partner's picture.
        bytes: bytes that have arrived, counted from its beginning.
    """

    picture: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCancel(InCall):
    """Stop sending or receiving a picture.

    Args:
        picture: its number.
    """

    picture: int


class Block(InCall):
    """End the call. The two are not matched again as long as one of them stays connected."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(InCall):
    """Report the partner to the operator, during the call or shortly after it.

    Args:
        reason: `abuse`, `sexual`, `minor`, `spam` or `other`.
    """

    reason: str


class Again(InCall):
    """The page was loaded again in the middle of a call, and has no connection any more."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(InCall):
    """Say that the voice flows.

    Args:
        path: `direct` or `relay`.
    """

    path: str


class Chunk(NamedTuple):
    """A binary frame: one piece of a picture.

    Args:
        picture: the number of the picture that it belongs to.
        data: the piece, at most 48 KiB.
        frame: the whole frame, which the partner gets unchanged.
    """

    picture: int
    data: memoryview
    frame: bytes
