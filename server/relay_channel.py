"""Tells one relay what it has to know, and hears from it that it knows: one request at a time.

A relay that does not answer is asked again and again, and is told everything when it answers. Nothing else
waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from server.announcements import BANNED_AGAIN, VOUCHED_AGAIN, Announcements, Subject
from server.relay_ways import RelayWay, WayOpener
from server.web.failures import log_failure
from turn.credentials import server_key
from turn.errors import BadRequest
from turn.limits.bans import BanKey
from turn.wire.attributes import ERROR_CODE, NONCE, Attribute
from turn.wire.notices import (
    HEAD,
    MAX_VALUE,
    NOTICES,
    NOTIFY_REQUEST,
    SERVER_BYTES,
    Notice,
    Notification,
    pack_notice,
)
from turn.wire.stun import ERROR, SUCCESS, StunMessage, WireError, build, parse

log = logging.getLogger("calln.server")

TRANSACTION_BYTES = 12
WAITS = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds for an answer to each try over UDP: RFC 8489 §6.2.1, but sooner
ROUNDS = 3  # requests until one has a valid nonce: without one, with an old one, with a new one
SPEAK_SECONDS = 20.0  # without news: the relay hears that we are there, and we that it is
AGAIN_SECONDS = 1.0  # until a relay that did not answer is tried again; doubled up to the next
LONGEST_AGAIN = 5.0
REPORTED_FAILURES = 3  # in a row: a relay that starts beside us is there sooner
CHALLENGES = (401, 438)  # answers that nobody signs; all others must be signed
ANSWERS = (NOTIFY_REQUEST | SUCCESS, NOTIFY_REQUEST | ERROR)


class NotHeard(Exception):
    """The relay does not answer, or does not believe us; the text says which."""


class RelayChannel:
    """To one relay. `state` is empty while the relay hears us; else it says what is wrong."""

    def __init__(
        self,
        name: str,
        open_way: WayOpener,
        announcements: Announcements,
        secret: Callable[[], bytes],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.name, self.open_way, self.announcements = name, open_way, announcements
        self.secret, self.clock, self.wall = secret, clock, wall
        self.key = server_key(secret())
        self.server = secrets.token_bytes(SERVER_BYTES)
        self.numbers = count(1)
        self.nonce = b""
        self.untold: dict[Subject, None] = {}
        self.news = asyncio.Event()
        self.state = "it was not asked yet"
        self.is_speaking = False
        self.vouched_at = self.banned_at = 0.0

    def tell(self, subjects: Iterable[Subject]) -> None:
        """These are new, and go before what is only said again."""
        self.untold = {**dict.fromkeys(subjects), **self.untold}
        if self.untold:
            self.news.set()

    def follow_secret(self) -> None:
        """A reload may have changed the secret: the tags of bans come from it, so all is told under it."""
        key = server_key(self.secret())
        if key != self.key:
            self.key = key
            self.tell(self.announcements.everything())

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                async with self.open_way() as way:
                    while True:
                        await self.speak(way)
                        if failures >= REPORTED_FAILURES:
                            log.info("a relay hears us again")
                        failures = 0
                        await self.wait_for_news()
            except NotHeard as problem:
                self.state = str(problem)
            except OSError:
                self.state = "it cannot be reached"
            except Exception as failure:  # calls go on
                self.state = "a mistake of this server"
                log_failure(failure)
            failures += 1
            if failures == REPORTED_FAILURES:
                log.warning("a relay does not hear us: %s; calln doctor names it", self.state)
            await asyncio.sleep(min(AGAIN_SECONDS * 2 ** min(failures - 1, 9), LONGEST_AGAIN))

    async def wait_for_news(self) -> None:
        """Until there is something to say, or it is time to say so."""
        self.renew()
        if not self.untold:
            self.news.clear()
            try:
                async with asyncio.timeout(SPEAK_SECONDS):
                    await self.news.wait()
            except TimeoutError:
                self.renew()

    def renew(self) -> None:
        """What runs out at the relay is to be said again."""
        now = self.clock()
        if now - self.vouched_at >= VOUCHED_AGAIN:
            self.vouched_at = now
            self.untold.update(dict.fromkeys(self.announcements.vouched()))
        if now - self.banned_at >= BANNED_AGAIN:
            self.banned_at = now
            self.untold.update(dict.fromkeys(self.announcements.bans()))

    async def speak(self, way: RelayWay) -> None:
        """Say as much as fits into one request. Raises NotHeard and OSError; then it is still to be said."""
        subjects, notices = self.next_notices()
        notification = Notification(self.server, next(self.numbers), tuple(notices))
        try:
            self.is_speaking = True
            await self.deliver(way, notification)
        except Exception:
            self.untold = {**dict.fromkeys(subjects), **self.untold}
            raise
        finally:
            self.is_speaking = False
        self.state = ""

    @property
    def is_quiet(self) -> bool:
        """Whether the relay knows everything, or does not hear us anyway."""
        return bool(self.state) or not (self.untold or self.is_speaking)

    def next_notices(self) -> tuple[list[Subject], list[Notice]]:
        """What to say next, within the bytes of one request.

        It leaves the list, so that what changes meanwhile comes again; and so does what is over.
        """
        key, now, wall = BanKey(self.key), self.clock(), self.wall()
        subjects: list[Subject] = []
        notices: list[Notice] = []
        room = MAX_VALUE - HEAD.size
        for subject in list(self.untold):
            notice = self.announcements.notice(subject, key, now, wall)
            room -= len(pack_notice(notice)) if notice else 0
            if room < 0:
                break
            del self.untold[subject]
            if notice:
                subjects.append(subject)
                notices.append(notice)
        return subjects, notices

    async def deliver(self, way: RelayWay, notification: Notification) -> None:
        """Until the relay has acknowledged it. Raises NotHeard and OSError."""
        for _ in range(ROUNDS):
            answer, tried = await self.ask(way, notification), self.nonce
            code = answer.get(ERROR_CODE) or 0
            if code not in CHALLENGES:
                break
            self.nonce = answer.raw(NONCE) or b""
            if tried and code == 401:
                raise NotHeard("it has another secret")
            self.forget_told()
        if code:
            raise NotHeard(f"it refuses what we say (error {code})")

    def forget_told(self) -> None:
        """Our nonce is not the relay's: it may have started anew, and is told everything."""
        told = dict.fromkeys(self.announcements.everything())
        self.untold = {**self.untold, **told}
        self.vouched_at = self.banned_at = self.clock()

    async def ask(self, way: RelayWay, notification: Notification) -> StunMessage:
        """The answer to one request: a challenge, or one that is signed. Raises NotHeard and OSError."""
        transaction, key = secrets.token_bytes(TRANSACTION_BYTES), self.key
        nonce: list[tuple[Attribute[Any], Any]] = [(NONCE, self.nonce)] if self.nonce else []
        rows = [*nonce, (NOTICES, notification)]
        request = build(NOTIFY_REQUEST, transaction, rows, key, sha256=True)
        waits = (sum(WAITS),) if way.is_reliable else WAITS
        for seconds in waits:
            way.send(request)
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        answer = read_answer(await way.receive(), transaction, key)
                        if answer is not None:
                            return answer
            except TimeoutError:
                continue
        raise NotHeard("it does not answer")


def read_answer(data: bytes, transaction: bytes, key: bytes) -> StunMessage | None:
    """None for what is no answer of a relay to this request."""
    try:
        answer = parse(data)
        answer.get(ERROR_CODE)
    except (WireError, BadRequest):
        return None
    if answer.transaction != transaction or answer.type not in ANSWERS:
        return None
    is_challenge = (answer.get(ERROR_CODE) or 0) in CHALLENGES and answer.has(NONCE)
    return answer if is_challenge or answer.verify_sha256(key) else None
