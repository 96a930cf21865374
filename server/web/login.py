"""The login of a site with a password: a form instead of the page, a limit on guesses, and a cookie."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from server.languages.known import N_
from server.signalling.rates import Rate
from server.store import Network
from server.web.localized import LocalizedPage
from server.web.origins import client_of, cookie_values, header, is_own_page, is_proxy
from server.web.password import COOKIE_SECONDS, SitePassword
from server.web.sentences import Sentences
from turn.limits.addresses import AddressRates
from turn.limits.buckets import Bucket, Buckets

COOKIE = "calln_entered"
FIELD = "password"
LOGIN_PATH = "/password"  # for other programs
PAGE_PATH = "/"  # our form stands and goes there: so an invitation behind the # of the address is kept
LOGIN_PATHS = (LOGIN_PATH, PAGE_PATH)
MAX_FORM = 4 << 10  # bytes: the longest password, each character as four escaped bytes, fits
FORM_SECONDS = 10.0  # for the form to arrive: one that never arrives would hold a connection
# Wrong passwords of one address: an office makes mistakes, and 8,640 a day find no password.
GUESS_RATE = Rate(0.1, 20)
# Of all together: 172,800 a day, from however many networks. Ten addresses and a /48 cannot use it up.
ALL_GUESSES_RATE = Rate(2, 300)

WRONG, LATER = 403, 429
LOGIN_ERRORS = {
    200: "",
    WRONG: N_("This password is wrong. Capital and small letters matter, and so do spaces inside it."),
    LATER: N_("There were too many wrong passwords. Wait a minute, then try again."),
}


class PasswordLogin:
    """Stands before the page and the WebSocket. A reload may replace `password`."""

    def __init__(
        self,
        password: SitePassword,
        forms: Mapping[int, LocalizedPage],
        sentences: Sentences,
        origins: frozenset[str],
        proxies: Sequence[Network],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.password = password
        self.origins, self.proxies = origins, proxies
        self.clock, self.wall = clock, wall
        self.forms, self.sentences = forms, sentences
        self.guesses_of_address = AddressRates(Buckets(*GUESS_RATE, secrets.token_bytes(16)))
        self.guesses = Bucket(*ALL_GUESSES_RATE)

    def is_logged_in(self, scope: Scope) -> bool:
        """Whether this browser has entered the password."""
        wall = self.wall()
        return any(self.password.accepts_cookie(cookie, wall) for cookie in cookie_values(scope, COOKIE))

    def routes(self, page: LocalizedPage) -> list[BaseRoute]:
        """The page for browsers that are logged in, and the form for others."""

        async def page_or_form(request: Request) -> Response:
            return await (page if self.is_logged_in(request.scope) else self.forms[200])(request)

        return [
            Route(PAGE_PATH, page_or_form),
            *(Route(path, self.submit, methods=["POST"]) for path in LOGIN_PATHS),
            Route(LOGIN_PATH, redirect_to_page),
        ]

    async def submit(self, request: Request) -> Response:
        """A guess. Only our own page may make one: another site could use up its visitors' guesses."""
        if not is_own_page(request.scope, self.origins):
            return self.sentences.answer(request.scope, 403)
        try:
            async with asyncio.timeout(FORM_SECONDS):
                guess = password_in(await request.body())
        except (TimeoutError, ClientDisconnect):
            return self.sentences.answer(request.scope, 408)
        status = self.check_guess(request.scope, guess)
        return self.set_cookie(request) if status == 200 else await self.forms[status](request)

    def check_guess(self, scope: Scope, guess: str) -> int:
        """200 for the right password, which costs no guess. Without a guess left, it is refused too."""
        ip, now = self.counted_ip(scope), self.clock()
        if ip is not None and not self.guesses_of_address.can_spend(ip, now):
            return LATER
        if not self.guesses.spend(now):
            return LATER
        if self.password.matches(guess):
            self.guesses.refund()
            return 200
        if ip is not None:
            self.guesses_of_address.spend(ip, now)
        return WRONG

    def counted_ip(self, scope: Scope) -> bytes | None:
        """The address that guesses are counted for; None for a proxy that does not name its client."""
        address = client_of(scope, self.proxies)
        if address is None:
            return b""
        return None if is_proxy(address, self.proxies) else address.packed

    def set_cookie(self, request: Request) -> Response:
        """The cookie, and the way to the page. Origin says whether the page came over HTTPS: TLS may end at a
        proxy."""
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            self.password.new_cookie(self.wall()),
            max_age=COOKIE_SECONDS,
            secure=(header(request.scope, b"origin") or "").startswith("https:"),
            httponly=True,
            samesite="strict",
        )
        return response


async def redirect_to_page(request: Request) -> Response:
    """For somebody who loads the address of the form again."""
    return RedirectResponse("/", 303)


def password_in(body: bytes) -> str:
    """The one field of the form; empty if it is another form."""
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=1)
    except ValueError:
        return ""
    return fields.get(FIELD, [""])[0]
