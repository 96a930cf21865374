"""Visits over real WebSockets: meeting, everything that passes, being cut off, coming back, limits, bans."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from server.signalling.messages import HELLO_SECONDS, MAX_CHUNK, MAX_PICTURE
from server.signalling.rates import (
    CHUNK_RATE,
    LARGE_RATE,
    MAX_REFUSALS,
    MESSAGE_RATE,
    SIZE_RATE,
    TEXT_RATE,
)
from server.signalling.returning import RESUME_SECONDS
from server.store.bans import Bans, network_of
from server.store.geo import Mmdb, open_database
from server.store.sqlite import open_store
from server.web.websocket import SILENCE_SECONDS
from tests.server.mmdb import write as write_mmdb
from tests.server.serving import Service, serving
from tests.server.signalling.descriptions import HOST, RELAY, sdp
from tests.server.signalling.picture_heads import HEADS

LONG = sdp("a=x:" + "x" * 50_000)  # large enough to fill what the kernel holds for a reader that sleeps

ORIGINS = [
    None,
    "null",
    "",
    "http://127.0.0.1",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}.evil.example",
    "http://127.0.0.1:{port}/",
    "http://evil.example/127.0.0.1:{port}",
    "http://evil.example",
    "HTTP://127.0.0.1:{port}",
    "http://LOCALHOST:{port}",
    "http://localhost.:{port}",
    "http://127.0.0.1.:{port}",
    "http://127.0.0.2:{port}",
    "http://user@127.0.0.1:{port}",
]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_other_peoples_pages_get_403(service: Service, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await service.browser(origin=origin and Origin(origin.format(port=service.port)))
    assert refused.value.response.status_code == 403
    assert not service.web.hub.clients


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_our_own_pages_may_connect(service: Service, host: str) -> None:
    browser = await service.browser(origin=Origin(f"http://{host}:{service.port}"))
    welcome = await browser.hear("welcome")
    assert (welcome["protocol"], browser.connection.subprotocol) == ("calln.v1", "calln.v1")


@pytest.mark.parametrize("offered", [None, ["calln.v2"], ["chat", "calln.v0"]])
async def test_another_subprotocol_is_4406(service: Service, offered: Any) -> None:
    browser = await service.browser(subprotocols=offered)
    assert await browser.closed() == 4406


async def test_two_meet_and_exchange_everything(service: Service) -> None:
    one, other = await service.couple()
    for sender, kind, receiver in ((one, "offer", other), (other, "answer", one)):
        await sender.tell(kind, sdp=sdp(), **{"from": "admin"})
        assert await receiver.hear(kind) == {
            "type": kind,
            "from": "partner",
            "call": one.call,
            "sdp": sdp(),
        }
    for candidate in ({"candidate": HOST, "sdpMid": "0", "sdpMLineIndex": 0}, None):
        await one.tell("candidate", candidate=candidate)
        assert (await other.hear("candidate"))["candidate"] == candidate
    await other.tell("text", text="grüß dich 😀\n<b>", id="t1")
    assert await other.hear("sent") == {"type": "sent", "id": "t1"}
    assert (await one.hear("text"))["text"] == "grüß dich 😀\n<b>"
    await one.tell("connected", path="direct")
    await one.say("ping", id="p1")
    assert await one.hear("pong") == {"type": "pong", "id": "p1", "heard": 6}
    await one.say("ice")
    assert (await one.hear("ice"))["ice"]["iceServers"][0] == {"urls": ["stun:turn.example.org:3478"]}
    await one.say("stop")
    await one.hear("stopped")
    assert await other.hear("ended") == {"type": "ended", "call": one.call, "reason": "left"}
    assert service.web.store.calls() == [], "too short for the call log"


async def test_a_picture_of_the_largest_size_arrives_whole(service: Service) -> None:
    one, other = await service.couple()
    picture = HEADS["image/webp"] + secrets.token_bytes(MAX_PICTURE - 12)
    await one.tell("picture", picture=9, size=len(picture), mime="image/webp")
    announced = await other.hear("picture")
    assert (announced["size"], announced["mime"], announced["from"]) == (MAX_PICTURE, "image/webp", "partner")

    async def send() -> None:
        for at in range(0, len(picture), MAX_CHUNK):
            await one.chunk(9, picture[at : at + MAX_CHUNK])
            if at:
                assert (await one.hear("picture-ack"))["bytes"] == at
            await asyncio.sleep(1 / CHUNK_RATE.per_second)

    sending = asyncio.create_task(send())
    got = b""
    while len(got) < len(picture):
        frame = await other.next()
        assert frame[:5] == b"\x01\x00\x00\x00\x09"
        got += frame[5:]
        await other.tell("picture-ack", picture=9, bytes=len(got))
    await sending
    assert got == picture


async def test_a_third_chunk_without_an_acknowledgement_cancels_the_picture(service: Service) -> None:
    one, other = await service.couple()
    await one.tell("picture", picture=1, size=5000, mime="image/png")
    await other.hear("picture")
    for _ in range(3):
        await one.chunk(1, HEADS["image/png"].ljust(1000, b"x"))
    assert await one.hear_error() == "too_fast"
    await one.hear("picture-cancel")
    heard = [await other.next() for _ in range(3)]
    assert heard[-1]["type"] == "picture-cancel" or heard[0]["type"] == "picture-cancel"
    await one.tell("text", text="still here")
    await one.hear("sent")


async def test_chunks_have_a_budget(service: Service) -> None:
    one, _ = await service.couple()
    for _ in range(int(CHUNK_RATE.burst) + 20):
        await one.chunk(1, b"x")
    codes = [await one.hear_error() for _ in range(int(CHUNK_RATE.burst) + 10)]
    assert codes[0] == "bad_picture"
    assert codes[-1] == "too_fast"


async def test_a_hidden_address_reaches_nobody(service: Service) -> None:
    one, other = await service.couple(hide_address=True)
    await other.tell("offer", sdp=sdp(f"a={HOST}"))
    assert "192.168" not in (await one.hear("offer"))["sdp"]
    for line in (HOST, RELAY):
        await other.tell("candidate", candidate={"candidate": line})
    relayed = (await one.hear("candidate"))["candidate"]["candidate"]
    assert "raddr 0.0.0.0 rport 9" in relayed
    everything = str([*one.heard, *other.heard])
    assert not any(address in everything for address in ("127.0.0.2", "127.0.0.3", "203.0.113.9"))


async def test_who_closes_is_gone_at_once(service: Service) -> None:
    one, other = await service.couple()
    await one.close(1000)
    assert (await other.hear("ended"))["reason"] == "left"


async def test_a_cut_socket_comes_back_and_hears_what_was_said(service: Service) -> None:
    one, other = await service.couple()
    call, token, secret = one.call, one.token, one.secret
    one.cut()
    assert (await other.hear("partner"))["state"] == "away"
    for number in range(3):
        await other.tell("text", text=f"line {number}")
        await other.hear("sent")
    again = await service.browser("127.0.0.9")
    reply = await again.hello(token, secret)
    assert (reply["resumed"], reply["state"], reply["call"]) == (True, "calling", call)
    assert [(await again.hear("text"))["text"] for _ in range(3)] == ["line 0", "line 1", "line 2"]
    assert (await other.hear("partner"))["state"] == "back"
    again.call = call
    await again.tell("text", text="hello again")
    assert (await other.hear("text"))["text"] == "hello again"


async def test_what_went_into_a_dead_socket_arrives_once(service: Service) -> None:
    """What was said to a page is there, or it is said again, and once; but no text is kept for that."""
    one, other = await service.couple()
    call, token = one.call, one.token
    first = await service.browser()
    await first.hello(token, one.secret, heard=0)
    assert await one.closed() == 4409
    for number in range(2):
        await other.tell("picture", picture=number, size=60000, mime="image/png")
        await other.tell("picture-cancel", picture=number)
    await other.tell("text", text="a line")
    await other.hear("sent")
    assert (await first.hear("picture"))["picture"] == 0
    first.call = call
    await first.say("ping", heard=1)
    await asyncio.sleep(0.2)  # the others are written to its socket, which is read no more
    second = await service.browser()
    reply = await second.hello(token, first.secret, heard=1)
    assert (reply["resumed"], reply["heard"]) == (True, 2)
    for kind, number in (("picture-cancel", 0), ("picture", 1), ("picture-cancel", 1)):
        assert (await second.hear(kind))["picture"] == number
    await second.hear("pong")


@pytest.mark.parametrize("code", [1001, 4410])
async def test_a_page_that_is_being_loaded_may_come_back(service: Service, code: int) -> None:
    one, other = await service.couple()
    await one.close(code)
    assert (await other.hear("partner"))["state"] == "loading"
    again = await service.browser()
    assert (await again.hello(one.token, one.secret))["state"] == "calling"
    assert (await other.hear("partner"))["state"] == "back"
    await again.say("again", call=one.call)
    assert (await other.hear("ended"))["reason"] == "renewed"
    assert (await other.hear("matched"))["call"] == (await again.hear("matched"))["call"]
    waiting = await service.visitor("127.0.0.7")
    await waiting.say("start")
    await waiting.hear("waiting")
    await waiting.close(code)
    async with asyncio.timeout(5):
        while service.web.hub.lobby.queue.seekers:
            await asyncio.sleep(0.02)
    assert not service.web.hub.resumable


async def test_a_cut_socket_that_stays_away_leaves_the_other_in_front(service: Service) -> None:
    one, other = await service.couple()
    third = await service.visitor("127.0.0.4", token=one.token)
    await third.say("start")
    await third.hear("waiting")
    one.cut()
    await other.hear("partner")
    service.later += RESUME_SECONDS - 20
    await other.say("ping")
    await other.hear("pong")
    service.later += 20
    assert (await other.hear("ended"))["reason"] == "vanished"
    await other.hear("waiting")
    newcomer = await service.visitor("127.0.0.5")
    await newcomer.say("start")
    await newcomer.hear("waiting")
    assert (await newcomer.until_heard("matched"))["call"] == (await other.until_heard("matched"))["call"]
    resumed = await service.browser()
    assert (await resumed.hello(one.token, one.secret))["resumed"] is False


async def test_a_page_that_comes_back_before_the_loss_is_noticed(service: Service) -> None:
    one, other = await service.couple()
    again = await service.browser()
    assert (await again.hello(one.token, one.secret))["state"] == "calling"
    assert await one.closed() == 4409
    again.call = one.call
    await other.tell("text", text="to the new one")
    assert (await again.hear("text"))["text"] == "to the new one"
    await again.tell("text", text="from the new one")
    await other.hear("sent")
    assert (await other.hear("text"))["text"] == "from the new one"


async def test_silence_and_no_hello_are_4408(service: Service) -> None:
    mute = await service.browser()
    await mute.hear("welcome")
    [client] = service.web.hub.clients
    opened = client.last_heard
    service.later += HELLO_SECONDS / 2
    await mute.say("ping")
    assert await mute.hear_error() == "wrong_state"
    assert client.last_heard == opened
    service.later += HELLO_SECONDS / 2 + 1
    assert await mute.closed() == 4408
    silent, talking = await service.visitor(), await service.visitor()
    service.later += SILENCE_SECONDS - 1
    await talking.say("ping")
    await talking.hear("pong")
    service.later += 2
    assert await silent.closed() == 4408
    await talking.say("ping")
    await talking.hear("pong")


@pytest.mark.parametrize("bad", ["{", '{"type":"magic"}', '{"type":"start","want":5}', '{"type":[]}'])
async def test_three_malformed_messages_are_4400(service: Service, bad: str) -> None:
    browser = await service.visitor()
    for _ in range(3):
        await browser.connection.send(bad)
        assert await browser.hear_error() in ("bad_json", "unknown_type", "bad_message")
    assert await browser.closed() == 4400


async def test_messages_have_a_rate_and_insisting_ends_it(service: Service) -> None:
    browser = await service.visitor()
    for _ in range(int(MESSAGE_RATE.burst) + MAX_REFUSALS + 20):
        await browser.say("ping")
    assert await browser.closed() == 4429
    kinds = [json.loads(frame)["type"] for frame in browser.heard]
    assert kinds.count("error") >= MAX_REFUSALS - 1


async def test_text_has_a_rate_of_its_own(service: Service) -> None:
    one, _ = await service.couple()
    for number in range(int(TEXT_RATE.burst) + 3):
        await one.tell("text", text="x", id=str(number))
    words = [await one.next() for _ in range(int(TEXT_RATE.burst) + 3)]
    assert [word["type"] for word in words].count("error") >= 2
    assert words[-1]["code"] == "too_fast"
    assert words[-1]["id"] == str(int(TEXT_RATE.burst) + 2)


async def test_descriptions_have_a_limit_in_size(service: Service) -> None:
    one, other = await service.couple()
    for _ in range(int(SIZE_RATE.burst / len(LONG))):
        await one.tell("offer", sdp=LONG)
        await other.hear("offer")
    await one.tell("offer", sdp=LONG)
    assert await one.hear_error() == "too_fast"
    await one.tell("text", text="small ones pass")
    await one.hear("sent")
    await other.hear("text")
    service.later += len(LONG) / SIZE_RATE.per_second
    await one.tell("offer", sdp=LONG)
    await other.hear("offer")


async def test_the_pages_of_an_address_share_a_limit_of_large_messages(service: Service) -> None:
    couples = [await service.couple() for _ in range(int(LARGE_RATE.burst / len(LONG) / 2) + 1)]
    for one, _ in couples:
        for _ in range(2):
            await one.tell("offer", sdp=LONG)
    assert await couples[-1][0].hear_error() == "too_fast"
    elsewhere, _ = await service.couple(addresses=("127.0.0.4", "127.0.0.5"))
    await elsewhere.tell("offer", sdp=LONG)
    await elsewhere.say("ping")
    await elsewhere.hear("pong")


async def test_new_visitors_of_an_address_come_at_a_rate(tmp_path: Path) -> None:
    async with serving(tmp_path, new_visitors_per_minute=2, visitors_per_address=0) as service:
        pages = [await service.visitor() for _ in range(4)]
        fifth = await service.browser()
        await fifth.say("hello", token="0" * 24)
        assert await fifth.closed() == 4429
        await service.visitor("127.0.0.2")
        await pages[0].say("start")
        await pages[0].hear("waiting")
        pages[0].cut()
        again = await service.browser()
        assert (await again.hello(pages[0].token, pages[0].secret))["resumed"]  # it is no new visitor
        thief = await service.browser()
        await thief.say("hello", token="1" * 24, resume=again.secret)
        assert await thief.closed() == 4429  # with another token, it is
        service.later += 30.0
        await service.visitor()


async def test_as_many_pages_as_an_address_may_open(tmp_path: Path) -> None:
    async with serving(tmp_path, visitors_per_address=3) as service:
        first = [await service.visitor() for _ in range(3)]
        fourth = await service.browser()
        assert await fourth.closed() == 4429
        await service.visitor("127.0.0.2")
        await first[0].close()
        await service.visitor()
        for browser in first[1:]:
            await browser.say("start")
            await browser.hear("waiting")
        first[1].cut()
        await asyncio.sleep(0.1)
        assert await (await service.browser()).closed() == 4429
        service.later += RESUME_SECONDS + 1
        await asyncio.sleep(0.1)
        await service.visitor()


async def test_as_many_pages_as_there_may_be(tmp_path: Path) -> None:
    async with serving(tmp_path, visitors=2) as service:
        for number in (2, 3):
            await service.visitor(f"127.0.0.{number}")
        assert await (await service.browser("127.0.0.4")).closed() == 1013


async def test_a_ban_by_another_process_closes_the_live_socket(service: Service) -> None:
    one, other = await service.couple()
    greeting = await service.browser("127.0.0.2")
    await greeting.hear("welcome")
    theirs = Bans(open_store(service.folder))
    theirs.add(network_of("127.0.0.2"), 0, None, "")
    assert await one.closed() == 4403
    assert await greeting.closed() == 4403
    assert (await other.hear("ended"))["reason"] == "banned"
    assert await (await service.browser("127.0.0.2")).closed() == 4403
    theirs.remove(network_of("127.0.0.2"))
    theirs.store.close()
    await asyncio.sleep(0.1)
    await service.visitor("127.0.0.2")


@pytest.mark.parametrize(
    ("forwarded", "banned", "inside"),
    [
        (["198.51.100.7"], "198.51.100.7", True),
        (["198.51.100.7, 127.0.0.2"], "198.51.100.7", True),
        (["10.0.0.1, 203.0.113.5, 198.51.100.7"], "198.51.100.7", True),
        (["203.0.113.5", "198.51.100.7"], "203.0.113.5", False),
        (["198.51.100.7, unknown"], "198.51.100.7", False),
    ],
)
async def test_behind_a_trusted_proxy(
    tmp_path: Path, forwarded: list[str], banned: str, inside: bool
) -> None:
    async with serving(tmp_path, trusted_proxies=("127.0.0.0/8",)) as service:
        service.web.hub.bans.add(network_of(banned), 0, None, "")
        headers = [("X-Forwarded-For", value) for value in forwarded]
        browser = await service.browser(additional_headers=headers)
        if inside:
            assert await browser.closed() == 4403
        else:
            await browser.hear("welcome")


async def test_nobody_else_may_forward(service: Service) -> None:
    service.web.hub.bans.add(network_of("127.0.0.2"), 0, None, "")
    for number in range(10):
        headers = [("X-Forwarded-For", f"198.51.100.{number}"), ("X-Real-IP", "198.51.100.1")]
        browser = await service.browser("127.0.0.2", additional_headers=headers)
        assert await browser.closed() == 4403


async def test_countries(tmp_path: Path) -> None:
    from_ = {"127.0.0.2/32": {"country_code": "DE"}, "127.0.0.3/32": {"country_code": "FR"}}
    (tmp_path / "x.mmdb").write_bytes(write_mmdb(from_))
    database = open_database(tmp_path / "x.mmdb")
    assert isinstance(database, Mmdb)
    async with serving(tmp_path / "state", geo=database) as service:
        greetings = []
        for number in (2, 3, 4):
            browser = await service.browser(f"127.0.0.{number}")
            greetings.append(await browser.hello())
        assert [(hello["country"], hello["countries"]) for hello in greetings] == [
            ("de", True),
            ("fr", True),
            (None, True),
        ]
        de, fr, unknown = service.browsers
        await de.say("start", want=["fr"])
        await de.hear("waiting")
        await unknown.say("start")
        await unknown.hear("waiting")
        await fr.say("start")
        await fr.hear("waiting")
        assert (await fr.hear("matched"))["country"] == "de"
        assert (await de.hear("matched"))["country"] == "fr"
    database.close()


async def test_draining(service: Service) -> None:
    one, other = await service.couple()
    idle, waiting = await service.visitor(), await service.visitor()
    await waiting.say("start")
    await waiting.hear("waiting")
    greeting = await service.browser()
    await greeting.hear("welcome")
    service.shutdown.request()
    assert [await browser.closed() for browser in (idle, waiting, greeting)] == [1012] * 3
    assert await (await service.browser()).closed() == 1012
    one.cut()
    await other.hear("partner")
    again = await service.browser()
    assert (await again.hello(one.token, one.secret))["resumed"] is True
    assert (await other.hear("partner"))["state"] == "back"
    await other.tell("text", text="we go on")
    assert (await again.hear("text"))["text"] == "we go on"
    service.shutdown.request()
    assert (await again.hear("ended"))["reason"] == "drained"
    assert await again.closed() == 1012
    assert await other.closed() == 1012


async def test_a_mistake_of_ours_is_1011_and_says_nothing_of_the_message(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = await service.couple()

    def broken(*_: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(service.web.hub.lobby, "receive", broken)
    with caplog.at_level(logging.DEBUG):
        await one.tell("text", text="canary")
        assert await one.closed() == 1011
    assert (await other.hear("ended"))["reason"] == "vanished"
    assert "RuntimeError in broken" in caplog.text
    assert "canary" not in "".join(record.getMessage() for record in caplog.records if record.levelno > 10)


async def test_nothing_that_anybody_said_is_in_a_log_or_a_file(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        one, other = await service.couple()
        await one.tell("offer", sdp=sdp("a=x-canary:sdp"))
        await other.tell("candidate", candidate={"candidate": RELAY})
        await one.tell("text", text="canary-text")
        await one.tell("report", reason="abuse")
        await one.connection.send('{"canary-json')
        await one.connection.send(b"canary-binary")
        await other.say("hello", token="canary-token-canary")
        await other.tell("text", text="end")
        while "end" not in str(one.heard):
            await one.next()
        secrets_ = (one.token, one.secret, one.call, "127.0.0.2", "127.0.0.3", "canary", "198.51.100.4")
        one.cut()
        await other.close()
        while service.web.hub.lobby.calls.rooms:
            await asyncio.sleep(0.01)
    files = b"".join(path.read_bytes() for path in service.folder.iterdir() if path.is_file())
    for secret in secrets_:
        assert secret not in caplog.text
        assert secret.encode() not in files
