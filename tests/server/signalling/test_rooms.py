"""What passes between two seats: the table of types and states, descriptions, candidates and pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.signalling.messages import (
    CHUNK_TAG,
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
    parse_chunk,
)
from server.signalling.rooms import PASSES, Forget, Out, Outcome, Room, State
from server.signalling.sdp import MAX_CANDIDATES
from tests.server.signalling.test_pictures import HEADS
from tests.server.signalling.test_sdp import CANDIDATES, HOST, PRINT, RELAY, sdp

OFFER, ANSWER = Offer(call="c", sdp=sdp()), Answer(call="c", sdp=sdp())
PICTURE = Picture(call="c", picture=7, size=100, mime="image/png")


def chunk(number: int = 7, size: int = 50, head: bytes = HEADS["image/png"]) -> Chunk:
    return parse_chunk(bytes([CHUNK_TAG]) + number.to_bytes(4, "big") + head.ljust(size, b"x"))


EXAMPLES: dict[type, InCall | Chunk] = {
    Offer: OFFER,
    Answer: ANSWER,
    Candidate: Candidate(call="c", candidate={"candidate": HOST}),
    Connected: Connected(call="c", path="relay"),
    Text: Text(call="c", text="hello"),
    Picture: PICTURE,
    PictureAck: PictureAck(call="c", picture=7, bytes=50),
    PictureCancel: PictureCancel(call="c", picture=7),
    Chunk: chunk(),
}


def room(hidden: bool = False) -> Room:
    return Room("c", ("anna", "ben"), hidden=hidden, now=0.0)


def words(outcome: Outcome, seat: int) -> list[Any]:
    return [
        json.loads(step.data)
        for step in outcome
        if isinstance(step, Out) and step.seat == seat and isinstance(step.data, str)
    ]


def code_of(place: Room, seat: int, message: InCall | Chunk) -> str:
    with pytest.raises(MessageError) as refused:
        place.receive(seat, message)
    return refused.value.code


def test_seats() -> None:
    assert [room().seat_of(name) for name in ("anna", "ben")] == [0, 1]
    assert [room().partner_of(name) for name in ("anna", "ben")] == ["ben", "anna"]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_the_table_decides(kind: type, state: State) -> None:
    place = room()
    place.seats[0].state = state
    if kind is Chunk:
        place.receive(0, PICTURE)
    if state in PASSES[kind]:
        assert all(step.seat in (0, 1) for step in place.receive(0, EXAMPLES[kind]))
    else:
        assert code_of(place, 0, EXAMPLES[kind]) == "wrong_state"


def test_an_offer_asks_for_one_answer() -> None:
    place = room()
    assert code_of(place, 1, ANSWER) == "wrong_state"
    assert words(place.receive(0, OFFER), 1) == [
        {"type": "offer", "from": "partner", "call": "c", "sdp": sdp()}
    ]
    assert code_of(place, 0, ANSWER) == "wrong_state"
    assert words(place.receive(1, ANSWER), 0)[0]["type"] == "answer"
    assert code_of(place, 1, ANSWER) == "wrong_state"


def test_offers_may_cross_and_either_may_offer_again() -> None:
    place = room()
    place.receive(0, OFFER)
    place.receive(1, OFFER)
    place.seats[1].state = State.ASKED  # the polite side rolls its own back
    place.receive(1, ANSWER)
    place.receive(1, OFFER)
    assert words(place.receive(0, ANSWER), 1)[0]["type"] == "answer"


def test_the_polite_side_answers_after_its_own_offer_crossed() -> None:
    place = room()
    place.receive(1, OFFER)
    place.receive(0, OFFER)
    assert words(place.receive(1, ANSWER), 0)[0]["type"] == "answer"


def test_a_bad_description_goes_nowhere() -> None:
    place = room()
    assert code_of(place, 0, Offer(call="c", sdp=sdp(drop="a=fingerprint"))) == "bad_sdp"
    assert place.seats[1].state is State.NEW


@pytest.mark.parametrize("line", CANDIDATES)
def test_candidates_in_both_kinds_of_room(line: str) -> None:
    message = Candidate(call="c", candidate={"candidate": line, "sdpMid": "0"})
    for hidden in (False, True):
        place = room(hidden)
        place.receive(0, OFFER)
        expected = CANDIDATES[line] if hidden else line
        told = words(place.receive(0, message), 1)
        assert [word["candidate"] for word in told] == (
            [] if expected is None else [{"candidate": expected, "sdpMid": "0"}]
        )


def test_a_hidden_room_hides_in_descriptions_too() -> None:
    place = room(hidden=True)
    [offer] = words(place.receive(0, Offer(call="c", sdp=sdp(f"a={HOST}", f"a={RELAY}"))), 1)
    assert "192.168" not in offer["sdp"]
    assert "203.0.113" not in offer["sdp"]
    assert PRINT in offer["sdp"]


def test_candidates_are_counted_for_each_description() -> None:
    place = room()
    message = Candidate(call="c", candidate={"candidate": HOST})
    end = Candidate(call="c", candidate=None)
    for _ in range(2):
        place.receive(0, OFFER)
        for _ in range(MAX_CANDIDATES):
            place.receive(0, message)
        assert code_of(place, 0, message) == "bad_candidate"
        assert words(place.receive(0, end), 1)[0]["candidate"] is None


def test_text_is_passed_on_and_confirmed() -> None:
    outcome = room().receive(1, Text(call="c", text="<b>&", id="a1"))
    assert words(outcome, 0) == [{"type": "text", "from": "partner", "call": "c", "text": "<b>&"}]
    assert words(outcome, 1) == [{"type": "sent", "id": "a1"}]


def test_a_picture_passes_and_its_acknowledgements_come_back() -> None:
    place = room()
    [told] = words(place.receive(0, PICTURE), 1)
    assert told == {
        "type": "picture",
        "from": "partner",
        "call": "c",
        "picture": 7,
        "size": 100,
        "mime": "image/png",
    }
    piece = chunk()
    assert place.receive(0, piece) == [Out(1, piece.frame, 7)]
    assert code_of(place, 0, PICTURE) == "bad_picture"
    ack = place.receive(1, PictureAck(call="c", picture=7, bytes=50))
    assert words(ack, 0) == [
        {"type": "picture-ack", "from": "partner", "call": "c", "picture": 7, "bytes": 50}
    ]
    place.receive(0, chunk())
    place.receive(1, PictureAck(call="c", picture=7, bytes=100))
    assert words(place.receive(0, PICTURE), 1)[0]["type"] == "picture"


@pytest.mark.parametrize("both", [0, 1])
def test_both_may_send_pictures_of_the_same_number(both: int) -> None:
    place = room()
    for seat in (0, 1):
        place.receive(seat, PICTURE)
        assert place.receive(seat, chunk()) == [Out(1 - seat, chunk().frame, 7)]
    place.receive(both, PictureCancel(call="c", picture=7))
    assert place.seats[both].sending is None
    assert place.seats[1 - both].sending is not None


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([chunk(head=b"GIF89a")], "bad_picture"),
        ([chunk(size=101)], "bad_picture"),
        ([chunk(size=20), chunk(size=20), chunk(size=20)], "too_fast"),
    ],
)
def test_a_bad_picture_is_cancelled_on_both_sides(chunks: list[Chunk], code: str) -> None:
    place = room()
    place.receive(0, PICTURE)
    for piece in chunks[:-1]:
        place.receive(0, piece)
    outcome = place.receive(0, chunks[-1])
    assert Forget(1, 7) in outcome
    cancelled = {"type": "picture-cancel", "from": "partner", "call": "c", "picture": 7}
    assert words(outcome, 1) == [cancelled]
    assert [word["type"] for word in words(outcome, 0)] == ["error", "picture-cancel"]
    assert words(outcome, 0)[0]["code"] == code
    assert place.receive(0, chunk()) == []
    assert place.receive(1, PictureAck(call="c", picture=7, bytes=20)) == []
    assert words(place.receive(0, PICTURE), 1)[0]["type"] == "picture"


@pytest.mark.parametrize("who", [0, 1])
def test_either_side_may_cancel(who: int) -> None:
    place = room()
    place.receive(0, PICTURE)
    outcome = place.receive(who, PictureCancel(call="c", picture=7))
    assert Forget(1, 7) in outcome
    assert words(outcome, 1 - who)[0]["type"] == "picture-cancel"
    assert place.receive(who, PictureCancel(call="c", picture=7)) == []


def test_a_chunk_of_nothing_is_refused() -> None:
    assert code_of(room(), 0, chunk()) == "bad_picture"


def test_refusing_when_nothing_is_sent() -> None:
    assert room().refuse(0) == []
