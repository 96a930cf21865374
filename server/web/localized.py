"""Pages in several languages: which one a request gets, and the cookie that keeps a choice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.web.content import Content
from server.web.manifest import manifest
from server.web.page_files import TYPES
from server.web.pages import (
    LANGUAGE_SECONDS,
    WORKER,
    Context,
    healthz,
    page,
    render_login,
    render_page,
)
from server.web.reader import COOKIE, VARY, language_for
from server.web.sentences import Sentences

FIELD = "lang"  # of an address: a link to the page in this language


class LocalizedPage:
    """A page that is the same for every visitor with the same language."""

    def __init__(self, languages: Sequence[str], make: Callable[[str], Content]) -> None:
        self.languages = languages
        self.make = make
        self.pages = {languages[0]: make(languages[0])}  # an error in a template shows at the start

    def content(self, code: str) -> Content:
        """Rendered when the first visitor needs it: a server with fifteen languages starts as fast."""
        if code not in self.pages:
            self.pages[code] = self.make(code)
        return self.pages[code]

    async def __call__(self, request: Request) -> Response:
        asked = request.query_params.get(FIELD)
        code = language_for(request.scope, self.languages, asked)
        response = self.content(code).respond(request.headers)
        response.headers["content-language"] = code
        response.headers["vary"] = f"Accept-Encoding, {VARY}"
        if asked == code:
            response.set_cookie(COOKIE, code, max_age=LANGUAGE_SECONDS, httponly=True, samesite="lax")
        return response


def routes(context: Context) -> list[BaseRoute]:
    worker = Content(render_page(context, WORKER).encode(), TYPES[".js"])
    return [
        Route("/", pages_of(context, "index.html").__call__),
        Route("/privacy", pages_of(context, "privacy.html").__call__),
        Route("/offline", pages_of(context, "offline.html").__call__),
        Route(f"/{WORKER}", worker.__call__),
        Route("/manifest.webmanifest", manifest(context.site, context.files, context.look).__call__),
        Route("/check", pages_of(context, "check.html").__call__),
        Route("/healthz", healthz),
        Route("/static/{path:path}", context.files.__call__),
    ]


def pages_of(context: Context, name: str, status: int = 200) -> LocalizedPage:
    return LocalizedPage(context.languages, lambda code: page(render_page(context, name, code), status))


def login_forms(context: Context, troubles: Mapping[int, str]) -> dict[int, LocalizedPage]:
    """HTTP status -> the login form that is shown with it."""
    return {status: login_form(context, status, trouble) for status, trouble in troubles.items()}


def login_form(context: Context, status: int, trouble: str) -> LocalizedPage:
    return LocalizedPage(context.languages, lambda code: page(render_login(context, trouble, code), status))


def not_found(context: Context) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The response to an address that does not exist."""
    missing = pages_of(context, "not_found.html", 404)

    async def respond(request: Request, error: Exception) -> Response:
        return await missing(request)

    return respond


def wrong_method(sentences: Sentences) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The response to a method that an address does not take."""

    async def respond(request: Request, error: Exception) -> Response:
        headers = error.headers if isinstance(error, HTTPException) else None
        return sentences.answer(request.scope, 405, headers or {})

    return respond
