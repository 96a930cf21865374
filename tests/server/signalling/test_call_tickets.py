"""Tickets of calls: a server believes what an earlier one has signed, for a short time after its start."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.signalling.call_tickets import RETURN_SECONDS, CallTicket, CallTickets
from server.signalling.vocabulary import MAX_COUNTRIES, MAX_TICKET

KEY = b"a key of thirty-two random bytes"
TOKEN = "token-of-somebody"
TICKET = CallTicket("call", 1, "user", 1000.5, True, False, 2, ("de", "fr"), True, "link")


class Clock:
    """Seconds since 1970, and the servers that start by it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def server(self, key: bytes = KEY) -> CallTickets:
        return CallTickets(lambda: key, lambda: self.now)


def restarted(seconds: float = 10.0) -> tuple[str, CallTickets, Clock]:
    """A ticket of a server, the next server, and the clock."""
    clock = Clock()
    written = clock.server().write(TICKET, TOKEN)
    clock.now += seconds
    return written, clock.server(), clock


def test_the_next_server_reads_all_that_was_written() -> None:
    written, after, _ = restarted()
    assert after.read(written, TOKEN) == TICKET


def test_a_server_takes_no_ticket_of_its_own() -> None:
    """It has seen the end of the call itself."""
    clock = Clock()
    server = clock.server()
    clock.now += 1
    assert server.read(server.write(TICKET._replace(began=clock.now), TOKEN), TOKEN) is None


@pytest.mark.parametrize(("seconds", "taken"), [(86_399, True), (86_401, False)])
def test_a_call_of_more_than_a_day_is_not_taken_up(seconds: float, taken: bool) -> None:
    written, after, _ = restarted(seconds + 0.5)  # the call began so much later than its server
    assert (after.read(written, TOKEN) is not None) == taken


@pytest.mark.parametrize(("seconds", "taken"), [(0, True), (60, True), (61, False), (-1, False)])
def test_tickets_are_taken_in_the_first_minute(seconds: float, taken: bool) -> None:
    written, after, clock = restarted()
    clock.now += seconds
    assert (after.read(written, TOKEN) is not None) == after.are_taken == taken
    assert RETURN_SECONDS == 60


@pytest.mark.parametrize(
    ("key", "token"), [(KEY, "token-of-another"), (b"another key", TOKEN), (KEY, ""), (KEY, TOKEN + "\0")]
)
def test_a_ticket_is_good_for_one_browser_and_one_secret(key: bytes, token: str) -> None:
    written, _, clock = restarted()
    assert clock.server(key).read(written, token) is None


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_=-]{0,60}\.[A-Za-z0-9_=-]{0,60}", fullmatch=True))
def test_nothing_else_is_one(written: str) -> None:
    _, after, _ = restarted()
    assert after.read(written, TOKEN) is None


@given(st.integers(0), st.integers(1, 255))
def test_no_letter_of_it_may_be_another(at: int, change: int) -> None:
    written, after, _ = restarted()
    at %= len(written)
    changed = f"{written[:at]}{chr(ord(written[at]) ^ change)}{written[at + 1 :]}"
    assert after.read(changed, TOKEN) is None


@pytest.mark.parametrize("fields", [["call"], [*TICKET, "more"], {}, 7, [*TICKET[:7], None, False, None]])
def test_what_another_version_has_signed_is_none(fields: object) -> None:
    _, after, _ = restarted()
    text = urlsafe_b64encode(json.dumps(fields).encode()).decode()
    assert after.read(f"{text}.{after.signature(text, TOKEN)}", TOKEN) is None


def test_it_names_neither_token_nor_key() -> None:
    written, _, _ = restarted()
    text = urlsafe_b64decode(written.partition(".")[0])
    assert TOKEN.encode() not in text
    assert KEY not in text


def test_the_longest_one_is_taken() -> None:
    clock = Clock()
    long = TICKET._replace(
        call="c" * 22, user="u" * 22, wanted=("xx",) * MAX_COUNTRIES, link="l" * 43, began=1e9 + 0.123456
    )
    written = clock.server().write(long, TOKEN)
    assert len(written) < MAX_TICKET
