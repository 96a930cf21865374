"""What passes between two participants: types and states, descriptions, candidates and pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.signalling.effects import CallVouched, DropPicture, Effect, SendTo
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
)
from server.signalling.rooms import GENERATIONS, MAX_VOUCHED, PASSES, Negotiation, Room
from server.signalling.sdp import MAX_CANDIDATES
from server.signalling.vocabulary import CHUNK_TAG, parse_chunk
from tests.server.signalling.descriptions import CANDIDATES, HOST, PRINT, RELAY, sdp
from tests.server.signalling.picture_heads import HEADS
from turn.gate.vouched import MAX_OF_USER

ANNA, BEN = "anna", "ben"
USERS = ("user of anna", "user of ben")
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
    return Room("c", (ANNA, BEN), USERS, hidden=hidden, now=0.0)


def words(effects: list[Effect], visitor: str) -> list[Any]:
    return [
        json.loads(effect.data)
        for effect in effects
        if isinstance(effect, SendTo) and effect.visitor == visitor and isinstance(effect.data, str)
    ]


def code_of(place: Room, visitor: str, message: InCall | Chunk) -> str:
    with pytest.raises(MessageError) as refused:
        place.receive(visitor, message)
    return refused.value.code


def vouched(effects: list[Effect]) -> list[CallVouched]:
    return [effect for effect in effects if isinstance(effect, CallVouched)]


def with_ufrags(*names: str) -> str:
    """A description with so many m-lines, each with its ufrag; an empty name: with none."""
    more = (
        f"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{f'a=ice-ufrag:{name}' if name else 'a=mid:1'}"
        for name in names[1:]
    )
    return sdp(*more, f"a=fingerprint:{PRINT}", replace=("abcd", names[0]))


@pytest.mark.parametrize(
    ("offered", "answered", "pairs"),
    [
        (("AAAA",), ("BBBB",), [("AAAA", "BBBB")]),
        (("AAAA", "AAAA"), ("BBBB", "BBBB"), [("AAAA", "BBBB")]),
        (("AAAA", "A222"), ("BBBB", "BBBB"), [("AAAA", "BBBB"), ("A222", "BBBB")]),
        (("AAAA", ""), ("BBBB", "B222"), [("AAAA", "BBBB")]),
        (("AAAA", "A222"), ("BBBB",), [("AAAA", "BBBB")]),
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_an_answer_vouches_for_both_ends(
    offered: tuple[str, ...], answered: tuple[str, ...], pairs: list[tuple[str, str]], hidden: bool
) -> None:
    place = room(hidden)
    assert not vouched(place.receive(BEN, Offer(call="c", sdp=with_ufrags(*offered))))
    effects = place.receive(ANNA, Answer(call="c", sdp=with_ufrags(*answered)))
    assert vouched(effects) == [CallVouched(USERS, tuple((anna, ben) for ben, anna in pairs))]


def test_after_a_restart_of_ice_the_ufrags_of_before_may_meet_the_new_ones() -> None:
    """Browsers send from an old port to a new one, also before the partner has answered."""
    place = room()
    place.receive(ANNA, Offer(call="c", sdp=with_ufrags("ann1")))
    (effect,) = vouched(place.receive(BEN, Answer(call="c", sdp=with_ufrags("ben1"))))
    assert effect == CallVouched(USERS, (("ann1", "ben1"),))
    (effect,) = vouched(place.receive(BEN, Offer(call="c", sdp=with_ufrags("ben2"))))
    assert effect == CallVouched(USERS, (("ann1", "ben1"), ("ann1", "ben2")))
    (effect,) = vouched(place.receive(ANNA, Answer(call="c", sdp=with_ufrags("ann2"))))
    assert set(effect.ufrags) == {(anna, ben) for anna in ("ann1", "ann2") for ben in ("ben1", "ben2")}
    assert effect.ufrags[-1] == ("ann2", "ben2")


def test_the_latest_ufrags_count() -> None:
    place = room()
    for number in range(GENERATIONS + 2):
        place.receive(ANNA, Offer(call="c", sdp=with_ufrags(f"ann{number}")))
        (effect,) = vouched(place.receive(BEN, Answer(call="c", sdp=with_ufrags(f"ben{number}"))))
    latest = range(2, GENERATIONS + 2)
    assert effect.ufrags == tuple((f"ann{one}", f"ben{other}") for one in latest for other in latest)


def test_the_same_ufrags_said_again_are_no_other_generation() -> None:
    place = room()
    for _ in range(GENERATIONS + 1):
        place.receive(ANNA, Offer(call="c", sdp=with_ufrags("anna")))
        (effect,) = vouched(place.receive(BEN, Answer(call="c", sdp=with_ufrags("benn"))))
    assert effect.ufrags == (("anna", "benn"),)


def test_pairs_of_one_call_are_bounded_and_the_newest_are_kept() -> None:
    place = room()
    for number in range(GENERATIONS):
        names = [f"{number}voice", f"{number}data"]
        place.receive(ANNA, Offer(call="c", sdp=with_ufrags(*names)))
        (effect,) = vouched(place.receive(BEN, Answer(call="c", sdp=with_ufrags(*names[::-1]))))
    assert len(effect.ufrags) == MAX_VOUCHED <= MAX_OF_USER
    assert effect.ufrags[-2:] == tuple(zip(names, names[::-1], strict=True))


def test_where_both_offer_at_once_both_count() -> None:
    """The polite side takes its own one back, which nobody answers."""
    place = room()
    place.receive(BEN, Offer(call="c", sdp=with_ufrags("benn")))
    place.receive(ANNA, Offer(call="c", sdp=with_ufrags("anna")))
    (effect,) = vouched(place.receive(BEN, Answer(call="c", sdp=with_ufrags("ben2"))))
    assert effect == CallVouched(USERS, (("anna", "benn"), ("anna", "ben2")))


def test_without_ufrags_there_is_nothing_to_vouch_for() -> None:
    place = room()
    place.receive(ANNA, Offer(call="c", sdp=sdp(drop="a=ice-ufrag")))
    assert not vouched(place.receive(BEN, ANSWER))


@pytest.mark.parametrize("bad", ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", "m=audio 9 RTP/AVP 0"])
def test_what_is_refused_vouches_for_nothing(bad: str) -> None:
    place = room()
    place.receive(ANNA, OFFER)
    assert code_of(place, BEN, Answer(call="c", sdp=sdp(bad))) == "bad_sdp"
    assert code_of(place, ANNA, Offer(call="c", sdp=with_ufrags("evil") + bad + "\r\n")) == "bad_sdp"
    (effect,) = vouched(place.receive(BEN, ANSWER))
    assert effect.ufrags == (("abcd", "abcd"),)


def test_sides() -> None:
    place = room()
    assert [one.visitor for one in place.sides(BEN)] == [BEN, ANNA]
    assert [place.partner_of(name) for name in (ANNA, BEN)] == [BEN, ANNA]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", Negotiation, ids=lambda state: state.name)
def test_the_table_decides(kind: type, state: Negotiation) -> None:
    place = room()
    place.participants[0].negotiation = state
    if kind is Chunk:
        place.receive(ANNA, PICTURE)
    if state in PASSES[kind]:
        effects = place.receive(ANNA, EXAMPLES[kind])
        assert all(isinstance(one, SendTo | DropPicture) and one.visitor in (ANNA, BEN) for one in effects)
    else:
        assert code_of(place, ANNA, EXAMPLES[kind]) == "wrong_state"


def test_an_offer_asks_for_one_answer() -> None:
    place = room()
    assert code_of(place, BEN, ANSWER) == "wrong_state"
    assert words(place.receive(ANNA, OFFER), BEN) == [
        {"type": "offer", "from": "partner", "call": "c", "sdp": sdp()}
    ]
    assert code_of(place, ANNA, ANSWER) == "wrong_state"
    assert words(place.receive(BEN, ANSWER), ANNA)[0]["type"] == "answer"
    assert code_of(place, BEN, ANSWER) == "wrong_state"


@pytest.mark.parametrize("polite", [ANNA, BEN])
@pytest.mark.parametrize("first", [ANNA, BEN])
def test_offers_may_cross_and_either_may_offer_again(polite: str, first: str) -> None:
    """In either order: the polite side takes its own back, and answers the partner's."""
    place = room()
    other = BEN if polite == ANNA else ANNA
    for visitor in (first, BEN if first == ANNA else ANNA):
        place.receive(visitor, OFFER)
    assert words(place.receive(polite, ANSWER), other)[0]["type"] == "answer"
    assert code_of(place, other, ANSWER) == "wrong_state"
    place.receive(polite, OFFER)
    assert words(place.receive(other, ANSWER), polite)[0]["type"] == "answer"


def test_the_polite_side_answers_after_its_own_offer_crossed() -> None:
    place = room()
    place.receive(BEN, OFFER)
    place.receive(ANNA, OFFER)
    assert words(place.receive(BEN, ANSWER), ANNA)[0]["type"] == "answer"


def test_a_bad_description_goes_nowhere() -> None:
    place = room()
    assert code_of(place, ANNA, Offer(call="c", sdp=sdp(drop="a=fingerprint"))) == "bad_sdp"
    assert place.participants[1].negotiation is Negotiation.NEW


@pytest.mark.parametrize("line", CANDIDATES)
def test_candidates_in_both_kinds_of_room(line: str) -> None:
    message = Candidate(call="c", candidate={"candidate": line, "sdpMid": "0"})
    for hidden in (False, True):
        place = room(hidden)
        place.receive(ANNA, OFFER)
        expected = CANDIDATES[line] if hidden else line
        received = words(place.receive(ANNA, message), BEN)
        assert [word["candidate"] for word in received] == (
            [] if expected is None else [{"candidate": expected, "sdpMid": "0"}]
        )


def test_a_hidden_room_hides_in_descriptions_too() -> None:
    place = room(hidden=True)
    [offer] = words(place.receive(ANNA, Offer(call="c", sdp=sdp(f"a={HOST}", f"a={RELAY}"))), BEN)
    assert "192.168" not in offer["sdp"]
    assert "203.0.113" not in offer["sdp"]
    assert PRINT in offer["sdp"]


def test_candidates_are_counted_for_each_description() -> None:
    place = room()
    message = Candidate(call="c", candidate={"candidate": HOST})
    end = Candidate(call="c", candidate=None)
    for _ in range(2):
        place.receive(ANNA, OFFER)
        for _ in range(MAX_CANDIDATES):
            place.receive(ANNA, message)
        assert code_of(place, ANNA, message) == "bad_candidate"
        assert words(place.receive(ANNA, end), BEN)[0]["candidate"] is None


def test_text_is_passed_on_and_confirmed() -> None:
    outcome = room().receive(BEN, Text(call="c", text="<b>&", id="a1"))
    assert words(outcome, ANNA) == [{"type": "text", "from": "partner", "call": "c", "text": "<b>&"}]
    assert words(outcome, BEN) == [{"type": "sent", "id": "a1"}]


def test_a_picture_passes_and_its_acknowledgements_come_back() -> None:
    place = room()
    [received] = words(place.receive(ANNA, PICTURE), BEN)
    assert received == {
        "type": "picture",
        "from": "partner",
        "call": "c",
        "picture": 7,
        "size": 100,
        "mime": "image/png",
    }
    piece = chunk()
    assert place.receive(ANNA, piece) == [SendTo(BEN, piece.frame, 7)]
    assert code_of(place, ANNA, PICTURE) == "bad_picture"
    ack = place.receive(BEN, PictureAck(call="c", picture=7, bytes=50))
    assert words(ack, ANNA) == [
        {"type": "picture-ack", "from": "partner", "call": "c", "picture": 7, "bytes": 50}
    ]
    place.receive(ANNA, chunk())
    place.receive(BEN, PictureAck(call="c", picture=7, bytes=100))
    assert words(place.receive(ANNA, PICTURE), BEN)[0]["type"] == "picture"


@pytest.mark.parametrize("sender", [ANNA, BEN])
def test_both_may_send_pictures_of_the_same_number(sender: str) -> None:
    place = room()
    for visitor in (ANNA, BEN):
        place.receive(visitor, PICTURE)
        partner = place.partner_of(visitor)
        assert place.receive(visitor, chunk()) == [SendTo(partner, chunk().frame, 7)]
    place.receive(sender, PictureCancel(call="c", picture=7))
    mine, theirs = place.sides(sender)
    assert mine.transfer is None
    assert theirs.transfer is not None


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
    place.receive(ANNA, PICTURE)
    for piece in chunks[:-1]:
        place.receive(ANNA, piece)
    outcome = place.receive(ANNA, chunks[-1])
    assert DropPicture(BEN, 7) in outcome
    cancelled = {"type": "picture-cancel", "from": "partner", "call": "c", "picture": 7}
    assert words(outcome, BEN) == [cancelled]
    assert [word["type"] for word in words(outcome, ANNA)] == ["error", "picture-cancel"]
    assert words(outcome, ANNA)[0]["code"] == code
    assert place.receive(ANNA, chunk()) == []
    assert place.receive(BEN, PictureAck(call="c", picture=7, bytes=20)) == []
    assert words(place.receive(ANNA, PICTURE), BEN)[0]["type"] == "picture"


@pytest.mark.parametrize("who", [ANNA, BEN])
def test_either_side_may_cancel(who: str) -> None:
    place = room()
    place.receive(ANNA, PICTURE)
    outcome = place.receive(who, PictureCancel(call="c", picture=7))
    assert DropPicture(BEN, 7) in outcome
    assert words(outcome, place.partner_of(who))[0]["type"] == "picture-cancel"
    assert place.receive(who, PictureCancel(call="c", picture=7)) == []


def test_a_chunk_of_nothing_is_refused() -> None:
    assert code_of(room(), ANNA, chunk()) == "bad_picture"


def test_refusing_when_nothing_is_sent() -> None:
    assert room().cancel_picture(ANNA) == []
