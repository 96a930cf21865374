"""The way in with a password, over real connections: what opens it, and how often one may guess."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from server import run
from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.web import login
from server.web.login import (
    ALL_GUESSES_RATE,
    COOKIE,
    GUESS_RATE,
    LATER,
    PasswordLogin,
    password_in,
)
from server.web.password import COOKIE_SECONDS, MAX_LENGTH, SitePassword
from server.web.sentences import Sentences
from tests.server.raw import Raw, raw
from tests.server.serving import ICE, Service, serving

PASSWORD = "canary of the login"
HEAD = (
    "POST /password HTTP/1.1\r\nHost: HERE\r\nOrigin: http://HERE\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n"
)


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path, password=SitePassword(PASSWORD, b"0123456789abcdef")) as running:
        yield running


def client(service: Service, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A browser of somebody at that address."""
    way = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=service.origin, headers={"Origin": service.origin}, transport=way)


async def enter(browser: httpx.AsyncClient, password: str = PASSWORD) -> httpx.Response:
    return await browser.post("/password", data={"password": password})


def is_page(answer: httpx.Response) -> bool:
    return 'data-state="idle"' in answer.text


async def test_the_page_comes_after_the_password(locked: Service) -> None:
    async with client(locked) as browser:
        before = await browser.get("/")
        assert before.status_code == 200
        assert "This site has a password" in before.text
        assert not is_page(before)
        assert "form-action 'self'" in before.headers["content-security-policy"]
        entered = await enter(browser)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        after = await browser.get("/", headers={"If-None-Match": before.headers["etag"]})
        assert is_page(after)
        assert (await browser.get("/password")).headers["location"] == "/"


async def test_the_cookie_is_for_this_site_alone_and_for_no_script(locked: Service) -> None:
    async with client(locked) as browser:
        said = (await enter(browser)).headers["set-cookie"].lower()
    assert said.startswith(f"{COOKIE}=")
    for rule in ("httponly", "samesite=strict", "path=/", f"max-age={COOKIE_SECONDS}"):
        assert rule in said
    assert "secure" not in said  # plain HTTP: the browser would not keep it
    assert "domain" not in said


async def test_over_https_the_cookie_is_secure_also_behind_a_proxy(tmp_path: Path) -> None:
    site = Site(state_dir=tmp_path, url="https://call.example.org")
    async with serving(tmp_path, site, password=SitePassword(PASSWORD, b"0123456789abcdef")) as service:
        named = {"Host": "call.example.org", "Origin": "https://call.example.org"}
        async with httpx.AsyncClient(base_url=service.origin, headers=named) as browser:
            assert "; secure" in (await enter(browser)).headers["set-cookie"].lower()


async def test_what_stays_open(locked: Service) -> None:
    async with client(locked) as browser:
        for path in ("/privacy", "/healthz", "/static/style.css", "/static/icon.svg"):
            assert (await browser.get(path)).status_code == 200
        assert "One cookie says, for 30 days" in " ".join((await browser.get("/privacy")).text.split())


async def test_the_socket_asks_for_the_cookie(locked: Service) -> None:
    for header in ({}, {"Cookie": f"{COOKIE}=1.0"}, {"Cookie": "other=1"}):
        assert await (await locked.browser(additional_headers=header)).closed() == 4401
    async with client(locked) as browser:
        await enter(browser)
        cookie = f"a=b; {COOKIE}=tossed; {COOKIE}={browser.cookies[COOKIE]}"
    page = await locked.browser(additional_headers={"Cookie": cookie})
    assert (await page.hello())["type"] == "hello"


async def test_a_new_password_is_asked_of_everybody(locked: Service) -> None:
    async with client(locked) as browser:
        await enter(browser)
        page = await locked.browser(additional_headers={"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"})
        await page.hello()
        changed = SitePassword("another canary", b"0123456789abcdef")
        config = run.WebConfig(Site(), Server(), Geo(), ICE, changed)
        run.reload(locked.web, None, lambda: config, config)
        assert not is_page(await browser.get("/"))
        assert (await enter(browser)).status_code == 403
        await page.say("start")
        await page.hear("waiting")  # who is here stays
        assert (await enter(browser, "another canary")).status_code == 303
        assert is_page(await browser.get("/"))


async def test_a_cookie_ends(locked: Service) -> None:
    async with client(locked) as browser:
        await enter(browser)
        locked.later += COOKIE_SECONDS + 1
        browser_cookie = f"{COOKIE}={browser.cookies[COOKIE]}"
        assert not is_page(await browser.get("/", headers={"Cookie": browser_cookie}))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_only_our_own_form_is_taken(locked: Service, origin: str) -> None:
    async with client(locked) as browser:
        answer = await browser.post("/password", data={"password": PASSWORD}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert locked.web.login is not None
    assert not any(locked.web.login.guesses_of_address.buckets._memory)


async def test_wrong_ones_are_told_and_soon_too_many(locked: Service) -> None:
    async with client(locked) as browser, client(locked, "127.0.0.2") as other:
        for _ in range(int(GUESS_RATE.burst)):
            wrong = await enter(browser, "not it, sorry")
            assert wrong.status_code == 403
        assert 'aria-invalid="true"' in wrong.text
        assert "not it, sorry" not in wrong.text
        refused = await enter(browser)
        assert (refused.status_code, "Wait a minute" in refused.text) == (429, True)
        assert (await enter(other)).status_code == 303
        locked.later += 1 / GUESS_RATE.per_second
        assert (await enter(browser)).status_code == 303


async def test_a_whole_office_may_enter(locked: Service) -> None:
    async with client(locked) as browser:
        for _ in range(int(GUESS_RATE.burst) + 5):
            assert (await enter(browser)).status_code == 303


class Guesses:
    """The login alone, with a clock that only the test moves."""

    def __init__(self, *proxies: str) -> None:
        self.now = 0.0
        password = SitePassword(PASSWORD, b"0123456789abcdef")
        networks = [ip_network(proxy) for proxy in proxies]
        self.login = PasswordLogin(
            password, {}, Sentences(), frozenset(), networks, lambda: self.now, lambda: 0.0
        )

    def judged(self, addresses: Iterable[str], guess: str = "wrong") -> int:
        """How many guesses of clients at these addresses are looked at."""
        scopes = ({"type": "http", "client": (address, 1), "headers": []} for address in addresses)
        return sum(self.login.check_guess(scope, guess) != LATER for scope in scopes)


HOUSEHOLDS = [f"2001:db8:bad:{number:x}::1" for number in range(1000)]
TEN = [f"192.0.2.{number}" for number in range(10)]
MANY = [f"10.{number >> 8}.{number & 255}.1" for number in range(5000)]
HONEST = ["203.0.113.5", "2001:db8:900d::1"]


def test_all_of_a_48_have_twice_the_guesses_of_an_address() -> None:
    guesses = Guesses()
    assert guesses.judged(HOUSEHOLDS[:1] * 100) == GUESS_RATE.burst
    assert guesses.judged(HOUSEHOLDS) == GUESS_RATE.burst
    assert guesses.judged(HONEST, PASSWORD) == 2
    guesses.now += 60
    assert guesses.judged(HOUSEHOLDS) == 60 * GUESS_RATE.per_second * 2


def test_a_48_and_ten_addresses_cannot_keep_others_out() -> None:
    guesses = Guesses()
    for _ in range(100):
        guesses.judged([*HOUSEHOLDS[:50], *TEN * 5])
        assert guesses.judged(HONEST, PASSWORD) == 2
        guesses.now += 1


def test_from_however_many_networks_there_are_only_so_many_guesses() -> None:
    guesses = Guesses()
    assert guesses.judged(MANY) == ALL_GUESSES_RATE.burst
    assert guesses.judged(HONEST, PASSWORD) == 0
    guesses.now += 5
    assert guesses.judged(HONEST * 10, PASSWORD) == 20
    assert guesses.judged(MANY) == 5 * ALL_GUESSES_RATE.per_second


def test_a_proxy_that_names_nobody_is_not_one_guesser() -> None:
    guesses = Guesses("10.0.0.4/32")
    assert guesses.judged(["10.0.0.4"] * 100) == 100
    assert guesses.judged(["10.0.0.5"] * 100) == GUESS_RATE.burst


async def sent(service: Service, connection: Raw, request: str) -> None:
    await connection.send(request.replace("HERE", f"127.0.0.1:{service.port}").encode("latin-1"))


LONG = quote("ü" * MAX_LENGTH)
OF_PAGE = HEAD.replace("/password", "/")
REQUESTS = [
    ("no body", f"{HEAD}\r\n", 403),
    ("an empty one", f"{HEAD}Content-Length: 0\r\n\r\n", 403),
    ("noise", f"{HEAD}Content-Length: 4\r\n\r\n\xff\xfe\x00=", 403),
    ("half an escape", f"{HEAD}Content-Length: 11\r\n\r\npassword=%f", 403),
    ("no text", f"{HEAD}Content-Length: 12\r\n\r\npassword=%ff", 403),
    ("two fields", f"{HEAD}Content-Length: 16\r\n\r\npassword=a&b=c&d", 403),
    ("the longest", f"{HEAD}Content-Length: {len(LONG) + 9}\r\n\r\npassword={LONG}", 403),
    ("too long", f"{HEAD}Content-Length: 4097\r\n\r\n", 413),
    ("far too long", f"{HEAD}Content-Length: 99999999999999999999\r\n\r\n", 413),
    ("chunked", f"{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    ("another method", "PUT /password HTTP/1.1\r\nHost: HERE\r\n\r\n", 405),
    (
        "a body for another page",
        "POST /privacy HTTP/1.1\r\nHost: HERE\r\nContent-Length: 5\r\n\r\nhello",
        413,
    ),
    ("the form of the page", f"{OF_PAGE}Content-Length: 0\r\n\r\n", 403),
    (
        "too long for it",
        f"{OF_PAGE}Content-Length: 4097\r\n\r\n",
        413,
    ),
    ("another name", "POST /password HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", 421),
]


@pytest.mark.parametrize(("name", "request_", "status"), REQUESTS, ids=[row[0] for row in REQUESTS])
async def test_requests(locked: Service, name: str, request_: str, status: int) -> None:
    async with raw(locked) as connection:
        await sent(locked, connection, request_)
        assert await connection.status() == status, name


async def test_a_form_that_does_not_come(locked: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "FORM_SECONDS", 0.05)
    async with raw(locked) as connection:
        await sent(locked, connection, f"{HEAD}Content-Length: 20\r\n\r\npass")
        assert await connection.status() == 408
        await asyncio.wait_for(connection.rest(), 5)


async def test_one_who_leaves_in_the_middle_is_no_failure(
    locked: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with raw(locked) as connection:
            await sent(locked, connection, f"{HEAD}Content-Length: 20\r\n\r\npass")
        async with client(locked) as browser:
            await enter(browser)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_passwords_are_in_no_log_and_no_file(locked: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with client(locked) as browser:
            await enter(browser, "canary that is wrong")
            await enter(browser)
            await browser.get("/")
            cookie = browser.cookies[COOKIE]
    logged = [
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
    ]
    kept = b"".join(path.read_bytes() for path in locked.folder.iterdir() if path.is_file())
    for secret in ("canary", cookie):
        assert secret not in "".join(logged)
        assert secret.encode() not in kept


async def test_without_a_password_there_is_no_entrance(service: Service) -> None:
    async with client(service) as browser:
        assert is_page(await browser.get("/"))
        assert (await browser.post("/password")).status_code == 404
        assert (await enter(browser)).status_code == 413


@pytest.mark.parametrize(
    ("body", "guess"),
    [
        (b"password=a+b%20c%C3%BC", "a b cü"),
        (b"password=", ""),
        (b"passwort=x", ""),
        (b"password=x&password=y", ""),
        (b"", ""),
        (b"\xff", ""),
    ],
)
def test_forms(body: bytes, guess: str) -> None:
    assert password_in(body) == guess
