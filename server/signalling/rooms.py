"""Two seats and what may pass between them: a table of message type and state; everything else is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from server.signalling.messages import (
    Answer,
    Candidate,
    Chunk,
    Connected,
    InCall,
    MessageError,
    Offer,
    Picture,
    PictureAck,
    PictureCancel,
    Text,
    error,
    relay,
    say,
)
from server.signalling.pictures import PictureError, Transfer
from server.signalling.sdp import (
    MAX_CANDIDATES,
    SdpError,
    check,
    check_candidate,
    relay_candidate,
    relay_only,
)


class State(Enum):
    """How far the description of the call has come, as one seat sees it."""

    NEW = "no offer has passed yet"
    ASKED = "the partner's offer waits for an answer"
    OPEN = "an offer of one's own is out, or all are answered"


ALWAYS = frozenset(State)
BEGUN = frozenset({State.ASKED, State.OPEN})

# Message type -> the states of the sender's seat in which it may pass.
PASSES: Mapping[type, frozenset[State]] = {
    Offer: ALWAYS,
    Answer: frozenset({State.ASKED}),
    Candidate: BEGUN,
    Connected: BEGUN,
    Text: ALWAYS,
    Picture: ALWAYS,
    PictureAck: ALWAYS,
    PictureCancel: ALWAYS,
    Chunk: ALWAYS,
}


class Ending(NamedTuple):
    """What the partner, and who caused it, are told about an end (None: nothing)."""

    partner: str
    mover: str | None = None


ENDINGS: Mapping[str, Ending] = {
    "left": Ending("left"),
    "next": Ending("next"),
    "blocked": Ending("left", "blocked"),
    "vanished": Ending("vanished"),
    "banned": Ending("banned"),
    "drained": Ending("drained", "drained"),
}


class Out(NamedTuple):
    """Something for one seat. `picture` is the number of the picture that a chunk belongs to."""

    seat: int
    data: str | bytes
    picture: int | None = None


class Forget(NamedTuple):
    """What waits of this picture for this seat is not to be sent any more."""

    seat: int
    picture: int


Outcome = list[Out | Forget]


class Seat:
    """One of the two: whose it is, and what it has said."""

    __slots__ = ("candidates", "connected", "refused", "sending", "state", "visitor")

    def __init__(self, visitor: str) -> None:
        self.visitor = visitor
        self.state = State.NEW
        self.candidates = 0
        self.connected = False
        self.sending: Transfer | None = None
        self.refused = -1  # the picture last cancelled: its late chunks are no mistake


class Room:
    """One call. `hidden`: only relayed paths, and no address of one reaches the other."""

    def __init__(self, call: str, visitors: tuple[str, str], *, hidden: bool, now: float) -> None:
        self.call = call
        self.seats = (Seat(visitors[0]), Seat(visitors[1]))
        self.hidden = hidden
        self.since = now

    def seat_of(self, visitor: str) -> int:
        return 0 if self.seats[0].visitor == visitor else 1

    def partner_of(self, visitor: str) -> str:
        return self.seats[1 - self.seat_of(visitor)].visitor

    def receive(self, seat: int, message: InCall | Chunk) -> Outcome:
        """What follows from a message of one seat. Raises MessageError with the code for its sender."""
        kind = type(message)
        if self.seats[seat].state not in PASSES.get(kind, ()):
            raise MessageError("wrong_state", getattr(message, "id", None))
        try:
            return RECEIVERS[kind](self, seat, message)
        except SdpError as wrong:
            raise MessageError(wrong.code, getattr(message, "id", None)) from None
        except PictureError as wrong:
            return [Out(seat, error(wrong.code)), *self.refuse(seat)]

    def description(self, seat: int, message: Offer | Answer) -> Outcome:
        check(message.sdp)
        mine, theirs = self.seats[seat], self.seats[1 - seat]
        mine.candidates = 0
        mine.state = State.OPEN
        theirs.state = State.ASKED if isinstance(message, Offer) else State.OPEN
        sdp = relay_only(message.sdp) if self.hidden else message.sdp
        return [Out(1 - seat, relay(message, sdp=sdp))]

    def candidate(self, seat: int, message: Candidate) -> Outcome:
        if message.candidate is None:
            return [Out(1 - seat, relay(message))]
        check_candidate(message.candidate["candidate"])
        self.seats[seat].candidates += 1
        if self.seats[seat].candidates > MAX_CANDIDATES:
            raise MessageError("bad_candidate", message.id)
        if not self.hidden:
            return [Out(1 - seat, relay(message))]
        line = relay_candidate(message.candidate["candidate"])
        if line is None:
            return []
        return [Out(1 - seat, relay(message, candidate={**message.candidate, "candidate": line}))]

    def text(self, seat: int, message: Text) -> Outcome:
        return [Out(1 - seat, relay(message)), Out(seat, say("sent", id=message.id))]

    def connected(self, seat: int, message: Connected) -> Outcome:
        return []

    def picture(self, seat: int, message: Picture) -> Outcome:
        if self.seats[seat].sending is not None:
            raise MessageError("bad_picture", message.id)
        self.seats[seat].sending = Transfer(message.picture, message.size, message.mime)
        return [Out(1 - seat, relay(message))]

    def chunk(self, seat: int, chunk: Chunk) -> Outcome:
        mine = self.seats[seat]
        if mine.sending is None or mine.sending.number != chunk.picture:
            if mine.refused == chunk.picture:
                return []
            raise MessageError("bad_picture")
        mine.sending.take(chunk.data)
        return [Out(1 - seat, chunk.frame, chunk.picture)]

    def acknowledged(self, seat: int, message: PictureAck) -> Outcome:
        theirs = self.seats[1 - seat]
        transfer = theirs.sending
        if transfer is None or transfer.number != message.picture or not transfer.acknowledge(message.bytes):
            return []  # of a picture that was cancelled meanwhile, or said twice
        if transfer.done:
            theirs.sending = None
        return [Out(1 - seat, relay(message))]

    def cancelled(self, seat: int, message: PictureCancel) -> Outcome:
        """Either side may stop a picture; a number that both use means the sender's own."""
        for sender in (seat, 1 - seat):
            transfer = self.seats[sender].sending
            if transfer is not None and transfer.number == message.picture:
                self.stop(sender)
                return [Forget(1 - sender, message.picture), Out(1 - seat, relay(message))]
        return []

    def stop(self, sender: int) -> int | None:
        """Forget the picture that a seat is sending; its number."""
        seat = self.seats[sender]
        if seat.sending is None:
            return None
        seat.refused, seat.sending = seat.sending.number, None
        return seat.refused

    def refuse(self, sender: int) -> Outcome:
        """Cancel, on both sides, the picture that a seat is sending."""
        number = self.stop(sender)
        if number is None:
            return []
        word = say("picture-cancel", **{"from": "partner"}, call=self.call, picture=number)
        return [Forget(1 - sender, number), Out(sender, word), Out(1 - sender, word)]


RECEIVERS: Mapping[type, Callable[..., Outcome]] = {
    Offer: Room.description,
    Answer: Room.description,
    Candidate: Room.candidate,
    Connected: Room.connected,
    Text: Room.text,
    Picture: Room.picture,
    PictureAck: Room.acknowledged,
    PictureCancel: Room.cancelled,
    Chunk: Room.chunk,
}
