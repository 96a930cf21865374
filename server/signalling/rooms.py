"""One call, and what may pass between its participants: a table of message types and states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from server.signalling.effects import CallVouched, DropPicture, Effect, SendTo
from server.signalling.messages import (
    FAILURES,
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
)
from server.signalling.outbox import VisitorText
from server.signalling.page_candidates import for_partner
from server.signalling.pictures import PictureError, Transfer
from server.signalling.sdp import (
    MAX_CANDIDATES,
    SdpError,
    check_candidate,
    check_sdp,
    relay_candidate,
    relay_only,
    ufrag_pairs,
    ufrags_of,
)
from server.signalling.server_messages import encode, encode_error, encode_for_partner


class Negotiation(Enum):
    """How far offers and answers have come, as one participant sees it (RFC 3264)."""

    NEW = "no offer has passed"
    REMOTE_OFFER = "the partner's offer waits for my answer"
    OPEN = "my own offer is out, or all offers are answered"


GENERATIONS = 3  # descriptions of each end whose ufrags count: those before an ICE restart are used after it
MAX_VOUCHED = 16  # pairs of ufrags of one call, the newest last: a relay keeps no more of a user

ALWAYS = frozenset(Negotiation)
AFTER_FIRST_OFFER = frozenset({Negotiation.REMOTE_OFFER, Negotiation.OPEN})

# Message type -> the states of its sender in which it may pass.
PASSES: Mapping[type, frozenset[Negotiation]] = {
    Offer: ALWAYS,
    Answer: frozenset({Negotiation.REMOTE_OFFER}),
    Candidate: AFTER_FIRST_OFFER,
    Connected: AFTER_FIRST_OFFER,
    Text: ALWAYS,
    Picture: ALWAYS,
    PictureAck: ALWAYS,
    PictureCancel: ALWAYS,
    Chunk: ALWAYS,
}


class Ending(NamedTuple):
    """The reasons that are sent at the end: to the partner, and to who ended the call (None: nothing)."""

    partner: str
    own: str | None = None


ENDINGS: Mapping[str, Ending] = {
    "left": Ending("left"),
    "next": Ending("next"),
    "blocked": Ending("left", "blocked"),
    "vanished": Ending("vanished"),
    "banned": Ending("banned"),
    "drained": Ending("drained", "drained"),
    "renewed": Ending("renewed"),
    **{reason: Ending(reason) for reason in FAILURES},
}


class Participant:
    """One of the two visitors, and what it has sent so far. `user` is its name at relays for this call."""

    __slots__ = (
        "cancelled",
        "candidates",
        "connected",
        "negotiation",
        "transfer",
        "ufrags",
        "user",
        "visitor",
    )

    def __init__(self, visitor: str, user: str) -> None:
        self.visitor, self.user = visitor, user
        self.ufrags: tuple[tuple[str, ...], ...] = ()  # of its latest descriptions, the newest last
        self.negotiation = Negotiation.NEW
        self.candidates = 0
        self.connected = False
        self.transfer: Transfer | None = None  # the picture that it is sending
        self.cancelled = -1  # the last picture that was cancelled: its late chunks are not an error


class Room:
    """One call. `hidden`: only relayed paths are used, and neither browser learns the other's address.

    `users` are the names of both at relays. They are new for each call: nothing of one call counts for the
    next.
    """

    def __init__(
        self, call: str, visitors: tuple[str, str], users: tuple[str, str], *, hidden: bool, now: float
    ) -> None:
        self.call = call
        self.users = users
        self.participants = (Participant(visitors[0], users[0]), Participant(visitors[1], users[1]))
        self.hidden = hidden
        self.reported = False  # by one of the two
        self.by_link = False  # whether the two have met by an invitation
        self.started = now
        self.renewals = 0  # how often one of the two loaded its page again

    @property
    def connected(self) -> bool:
        """Whether one of the two has said that the call is connected."""
        return any(one.connected for one in self.participants)

    def sides(self, visitor: str) -> tuple[Participant, Participant]:
        """The visitor itself, then its partner."""
        first, second = self.participants
        return (first, second) if first.visitor == visitor else (second, first)

    def name(self, place: int, user: str) -> None:
        """One participant is known now: its name at relays in this call."""
        self.participants[place].user = user
        first, second = self.participants
        self.users = (first.user, second.user)

    def partner_of(self, visitor: str) -> str:
        return self.sides(visitor)[1].visitor

    def receive(self, visitor: str, message: InCall | Chunk) -> list[Effect]:
        """What follows from a message of one visitor. Raises MessageError with the code for its sender."""
        kind, (mine, theirs) = type(message), self.sides(visitor)
        if mine.negotiation not in PASSES.get(kind, ()):
            raise MessageError("wrong_state", getattr(message, "id", None))
        try:
            return HANDLERS[kind](self, mine, theirs, message)
        except SdpError as wrong:
            raise MessageError(wrong.code, getattr(message, "id", None)) from None
        except PictureError as wrong:
            return [SendTo(visitor, encode_error(wrong.code)), *self.cancel_picture(visitor)]

    def on_description(self, mine: Participant, theirs: Participant, message: Offer | Answer) -> list[Effect]:
        lines = check_sdp(message.sdp)
        mine.candidates = 0
        is_offer = isinstance(message, Offer)
        crossed = (
            is_offer and mine.negotiation is Negotiation.REMOTE_OFFER
        )  # I may still answer the partner's
        mine.negotiation = Negotiation.REMOTE_OFFER if crossed else Negotiation.OPEN
        theirs.negotiation = Negotiation.REMOTE_OFFER if is_offer else Negotiation.OPEN
        sdp = relay_only(message.sdp) if self.hidden else message.sdp
        return [
            *self.vouch(mine, ufrags_of(lines)),
            SendTo(theirs.visitor, encode_for_partner(message, sdp=sdp)),
        ]

    def vouch(self, mine: Participant, ufrags: tuple[str, ...]) -> list[Effect]:
        """Once both ends have been described, and the descriptions are checked, each ufrag of one may meet
        each of the other.

        A browser may send from a port of before an ICE restart to one that its partner has opened after it,
        and it stays with such a pair for as long as its checks are answered.
        """
        mine.ufrags = (*(before for before in mine.ufrags if before != ufrags), ufrags)[-GENERATIONS:]
        first, second = self.participants
        ways = ((one, other) for one in first.ufrags for other in second.ufrags)
        pairs = tuple(dict.fromkeys(pair for way in ways for pair in ufrag_pairs(*way)))[-MAX_VOUCHED:]
        return [CallVouched(self.users, pairs)] if pairs else []

    def on_candidate(self, mine: Participant, theirs: Participant, message: Candidate) -> list[Effect]:
        if message.candidate is None:
            return [SendTo(theirs.visitor, encode_for_partner(message))]
        line = message.candidate["candidate"]
        check_candidate(line)
        mine.candidates += 1
        if mine.candidates > MAX_CANDIDATES:
            raise MessageError("bad_candidate", message.id)
        if message.written is not None and not self.hidden:
            return [SendTo(theirs.visitor, for_partner(message))]
        if self.hidden:
            line = relay_candidate(line)
        if line is None:
            return []
        changed = {**message.candidate, "candidate": line}
        return [SendTo(theirs.visitor, encode_for_partner(message, candidate=changed))]

    def on_text(self, mine: Participant, theirs: Participant, message: Text) -> list[Effect]:
        return [
            SendTo(theirs.visitor, VisitorText(encode_for_partner(message))),
            SendTo(mine.visitor, encode("sent", id=message.id)),
        ]

    def on_connected(self, mine: Participant, theirs: Participant, message: Connected) -> list[Effect]:
        return []

    def on_picture(self, mine: Participant, theirs: Participant, message: Picture) -> list[Effect]:
        if mine.transfer is not None:
            raise MessageError("bad_picture", message.id)
        mine.transfer = Transfer(message.picture, message.size, message.mime)
        return [SendTo(theirs.visitor, encode_for_partner(message))]

    def on_chunk(self, mine: Participant, theirs: Participant, chunk: Chunk) -> list[Effect]:
        if mine.transfer is None or mine.transfer.number != chunk.picture:
            if mine.cancelled == chunk.picture:
                return []
            raise MessageError("bad_picture")
        mine.transfer.add_chunk(chunk.data)
        return [SendTo(theirs.visitor, chunk.frame, chunk.picture)]

    def on_picture_ack(self, mine: Participant, theirs: Participant, message: PictureAck) -> list[Effect]:
        transfer = theirs.transfer
        if transfer is None or transfer.number != message.picture or not transfer.acknowledge(message.bytes):
            return []  # the picture was cancelled meanwhile, or this was acknowledged before
        if transfer.is_complete:
            theirs.transfer = None
        return [SendTo(theirs.visitor, encode_for_partner(message))]

    def on_picture_cancel(
        self, mine: Participant, theirs: Participant, message: PictureCancel
    ) -> list[Effect]:
        """Either side may stop a picture. If both send one with this number, the sender's own is meant."""
        for sender, receiver in ((mine, theirs), (theirs, mine)):
            transfer = sender.transfer
            if transfer is not None and transfer.number == message.picture:
                end_transfer(sender)
                drop = DropPicture(receiver.visitor, message.picture)
                return [drop, SendTo(theirs.visitor, encode_for_partner(message))]
        return []

    def cancel_picture(self, visitor: str) -> list[Effect]:
        """Cancel, on both sides, the picture that a visitor is sending."""
        sender, receiver = self.sides(visitor)
        number = end_transfer(sender)
        if number is None:
            return []
        word = encode("picture-cancel", **{"from": "partner"}, call=self.call, picture=number)
        drop = DropPicture(receiver.visitor, number)
        return [drop, SendTo(sender.visitor, word), SendTo(receiver.visitor, word)]


def end_transfer(sender: Participant) -> int | None:
    """Forget the picture that a participant is sending, and return its number."""
    if sender.transfer is None:
        return None
    sender.cancelled, sender.transfer = sender.transfer.number, None
    return sender.cancelled


HANDLERS: Mapping[type, Callable[..., list[Effect]]] = {
    Offer: Room.on_description,
    Answer: Room.on_description,
    Candidate: Room.on_candidate,
    Connected: Room.on_connected,
    Text: Room.on_text,
    Picture: Room.on_picture,
    PictureAck: Room.on_picture_ack,
    PictureCancel: Room.on_picture_cancel,
    Chunk: Room.on_chunk,
}
