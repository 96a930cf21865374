"""One relay is told what it has to know: at once, again after loss, and everything when it is a new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from server import relay_channel
from server.announcements import BANNED_AGAIN, VOUCHED_AGAIN, Announcements
from server.relay_channel import REPORTED_FAILURES, RelayChannel, read_answer
from server.signalling.effects import CallVouched, NamesEnded
from tests.server.relays import SECRET, Relays, told_relay
from turn.credentials import server_key
from turn.wire.attributes import ERROR_CODE, NONCE
from turn.wire.notices import LONGEST, NOTIFY_REQUEST
from turn.wire.stun import ERROR, SUCCESS, build, parse

PATIENCE = 10.0
HOME = ip_network("192.0.2.7")
OTHER_SECRET = b"another secret, as long"


class Telling:
    """A channel at work, and what it speaks of."""

    def __init__(self, relays: Relays) -> None:
        self.relays, self.known, self.now, self.secret = relays, Announcements(), 0.0, SECRET
        self.channel = RelayChannel(
            "relay.example", relays.open_way, self.known, lambda: self.secret, lambda: self.now, lambda: 1e9
        )

    def vouch(self, *names: str) -> None:
        for name in names:
            news = CallVouched((f"{name} a", f"{name} b"), ((f"{name}aaaa", f"{name}bbbb"),))
            self.channel.tell(self.known.take(news, self.now, 600))

    def end(self, name: str) -> None:
        self.channel.tell(self.known.take(NamesEnded((f"{name} a", f"{name} b")), self.now, 600))

    def ban(self, *networks: str) -> None:
        self.channel.tell(self.known.set_bans(dict.fromkeys(map(ip_network, networks))))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.001)

    async def until_told(self, **counts: int) -> None:
        await self.until(
            lambda: self.relays.relay is not None and counts.items() <= self.relays.counts().items()
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_channel, "WAITS", (0.01,) * 5)
    monkeypatch.setattr(relay_channel, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(relay_channel, "LONGEST_AGAIN", 0.02)


@asynccontextmanager
async def telling(relays: Relays) -> AsyncIterator[Telling]:
    made = Telling(relays)
    task = asyncio.create_task(made.channel.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_news_is_told_at_once_and_acknowledged() -> None:
    async with telling(Relays(told_relay())) as server:
        assert server.channel.state
        server.vouch("one")
        server.ban("192.0.2.7", "2001:db8::/48")
        await server.until_told(servers=1, vouched=2, bans=2)
        await server.until(lambda: server.channel.is_quiet)
        assert server.channel.state == ""
        server.end("one")
        await server.until_told(vouched=0, ended=2)
        server.ban("2001:db8::/48")
        await server.until_told(bans=1)


async def test_what_is_lost_is_sent_again_and_counts_once() -> None:
    relays = Relays(told_relay())
    lost: list[bytes] = []

    def lose_first(data: bytes) -> bool:
        lost.append(data)
        return lost.count(data) == 1

    relays.lose = lose_first
    async with telling(relays) as server:
        server.vouch("one")
        await server.until_told(vouched=2)
        assert relays.heard <= 2


async def test_a_relay_that_was_away_is_told_everything() -> None:
    relays = Relays(None)
    async with telling(relays) as server:
        server.vouch("one")
        server.end("two")
        server.ban("192.0.2.7")
        await server.until(lambda: server.channel.state == "it cannot be reached")
        assert server.channel.is_quiet
        relays.relay = told_relay()
        await server.until_told(vouched=2, ended=2, bans=1)
        assert server.channel.state == ""


async def test_a_relay_that_started_anew_is_told_everything() -> None:
    relays = Relays(told_relay())
    async with telling(relays) as server:
        server.vouch("one")
        server.ban("192.0.2.7")
        await server.until_told(vouched=2, bans=1)
        relays.relay = relays.ways[-1].relay = told_relay()
        server.vouch("two")
        await server.until_told(vouched=4, bans=1)
        assert len(relays.ways) == 1


async def test_silence_is_reported_and_the_way_is_tried_anew() -> None:
    relays = Relays(told_relay())
    relays.lose = lambda data: True
    async with telling(relays) as server:
        server.vouch("one")
        await server.until(lambda: len(relays.ways) > 2)
        assert server.channel.state == "it does not answer"
        assert [len(way.sent) for way in relays.ways[:2]] == [5, 5]
        relays.lose = lambda data: False
        relays.ways[-1].lose = relays.lose
        await server.until_told(vouched=2)


async def test_what_was_not_acknowledged_is_still_to_be_told() -> None:
    relays = Relays(told_relay())
    async with telling(relays) as server:
        await server.until(lambda: server.channel.state == "")
        relays.ways[-1].lose = relays.lose = lambda data: True
        server.vouch("one")
        await server.until(lambda: server.channel.state)
        relays.lose = lambda data: False
        relays.ways[-1].lose = relays.lose
        await server.until_told(vouched=2)


async def test_over_a_reliable_way_nothing_is_sent_twice() -> None:
    relays = Relays(told_relay(), is_reliable=True)
    relays.lose = lambda data: True
    async with telling(relays) as server:
        await server.until(lambda: len(relays.ways) > 1)
        assert len(relays.ways[0].sent) == 1


async def test_a_relay_that_stays_away_is_logged_once_and_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "calln.server")
    relays = Relays(None)
    async with telling(relays) as server:
        await server.until(lambda: relays.opened > 3 * REPORTED_FAILURES)
        relays.relay = told_relay()
        await server.until(lambda: server.channel.state == "")
    assert [record.getMessage() for record in caplog.records] == [
        "a relay does not hear us: it cannot be reached; calln doctor names it",
        "a relay hears us again",
    ]


async def test_a_relay_with_another_secret_is_reported() -> None:
    async with telling(Relays(told_relay(b"another secret, quite long"))) as server:
        server.vouch("one")
        await server.until(lambda: server.channel.state == "it has another secret")
        assert server.relays.counts() == {"servers": 0, "vouched": 0, "ended": 0, "bans": 0}


async def test_under_a_new_secret_everything_is_told_at_once() -> None:
    """Bans are named by tags that come from it, and a relay may know both secrets."""
    relays = Relays(told_relay(OTHER_SECRET, SECRET))
    async with telling(relays) as server:
        server.ban("192.0.2.7")
        server.vouch("one")
        await server.until_told(bans=1, vouched=2)
        await server.until(lambda: server.channel.is_quiet)
        server.channel.follow_secret()
        assert server.channel.is_quiet
        server.secret = OTHER_SECRET
        server.channel.follow_secret()
        await server.until_told(bans=2, vouched=2)


async def test_what_runs_out_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_channel, "SPEAK_SECONDS", 0.01)
    relays = Relays(told_relay())
    async with telling(relays) as server:
        server.vouch("one")
        server.ban("192.0.2.7")
        await server.until_told(vouched=2, bans=1)
        assert relays.relay is not None
        for _ in range(int(BANNED_AGAIN / VOUCHED_AGAIN) * 4):
            server.now += VOUCHED_AGAIN
            relays.relay.pass_time(VOUCHED_AGAIN)
            heard = relays.heard
            await server.until(lambda: relays.heard > heard + 1)  # noqa: B023  # it waits here
            assert server.relays.counts()["vouched"] == 2
            assert server.relays.counts()["bans"] == 1


async def test_without_news_it_speaks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_channel, "SPEAK_SECONDS", 0.01)
    relays = Relays(told_relay())
    async with telling(relays) as server:
        await server.until(
            lambda: relays.relay is not None and relays.relay.relay.counts["notifications"] > 3
        )
        assert server.relays.counts() == {"servers": 1, "vouched": 0, "ended": 0, "bans": 0}


async def test_each_request_is_small_and_all_is_told() -> None:
    relays = Relays(told_relay())
    async with telling(relays) as server:
        server.vouch(*(f"call {number}" for number in range(100)))
        server.ban(*(f"192.0.2.{number}" for number in range(200)))
        await server.until_told(vouched=200, bans=200)
        assert max(len(data) for way in relays.ways for data in way.sent) <= LONGEST


async def test_news_goes_before_what_is_said_again() -> None:
    server = Telling(Relays(told_relay()))
    server.vouch("one", "two")
    server.now += VOUCHED_AGAIN
    server.channel.renew()
    server.ban("192.0.2.7")
    subjects, _ = server.channel.next_notices()
    assert (subjects[0], len(subjects)) == (HOME, 3)


async def test_what_changes_while_it_is_told_is_told_again() -> None:
    relays = Relays(told_relay())
    async with telling(relays) as server:
        await server.until(lambda: server.channel.state == "")

        def lift(data: bytes) -> bool:
            relays.ways[-1].lose = lambda data: False
            server.ban()
            return True

        relays.ways[-1].lose = lift
        server.ban("192.0.2.7")
        await server.until(lambda: server.channel.is_quiet and len(relays.ways[-1].sent) > 3)
        assert relays.counts()["bans"] == 0


async def test_a_mistake_of_ours_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    relays = Relays(told_relay())
    async with telling(relays) as server:
        await server.until(lambda: server.channel.state == "")
        monkeypatch.setattr(server.known, "notice", lambda *_: 1 / 0)
        server.vouch("one")
        await server.until(lambda: server.channel.state == "a mistake of this server")
        monkeypatch.undo()
        await server.until_told(vouched=2)


TRANSACTION, KEY = b"t" * 12, server_key(SECRET)


def answered(
    kind: int = SUCCESS, rows: list[Any] | None = None, *, signed: bool = True, id: bytes = TRANSACTION
) -> bytes:
    return build(NOTIFY_REQUEST | kind, id, rows or [], KEY if signed else None, sha256=True)


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (answered(), True),
        (answered(signed=False), False),
        (answered(id=b"u" * 12), False),
        (answered(0), False),
        (answered(ERROR, [(ERROR_CODE, 508)]), True),
        (answered(ERROR, [(ERROR_CODE, 508)], signed=False), False),
        (answered(ERROR, [(ERROR_CODE, 438), (NONCE, b"n")], signed=False), True),
        (answered(ERROR, [(ERROR_CODE, 438)], signed=False), False),
        (answered(SUCCESS, [(NONCE, b"n")], signed=False), False),
        (answered(ERROR, [(NONCE, b"n")], signed=False), False),
        (b"words", False),
    ],
)
def test_only_answers_of_the_relay_are_taken(data: bytes, taken: bool) -> None:
    assert (read_answer(data, TRANSACTION, KEY) is not None) is taken
    if taken and parse(data).sha256:
        assert read_answer(data, TRANSACTION, server_key(b"another secret")) is None
