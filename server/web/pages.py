"""The pages and their static files. The pages are rendered once, when the server is built."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.config.sections import Site
from server.web.password import COOKIE_SECONDS, MAX_LENGTH
from server.web.promise import promises

TEMPLATES = Path(str(files("templates") / "pages"))
STATIC = Path(str(files("server") / "static"))

REVALIDATE = "no-cache"  # keep it, but ask whether it has changed
IMMUTABLE = "public, max-age=31536000, immutable"


class Context(NamedTuple):
    """What the templates get: the site, the countries to choose from, and what this server really does."""

    site: Site
    countries: Sequence[tuple[str, str]]
    facts: Mapping[str, Any]


class VersionedFiles(StaticFiles):
    """Scripts and styles. An address with the right version, `?v=`, never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        asked = scope["query_string"].decode("latin-1")
        versioned = asked.startswith("v=") and asked == f"v={version(path)}"
        response.headers["cache-control"] = IMMUTABLE if versioned else REVALIDATE
        return response


def version(path: str) -> str:
    """The version of a static file: the beginning of its hash; empty if there is no such file."""
    try:
        return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    except (OSError, ValueError):
        return ""


def environment(folder: Path) -> Environment:
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = lambda path: f"/static/{path}?v={version(path)}"
    return made


class Page:
    """A page that is the same for every visitor."""

    def __init__(self, text: str, status: int = 200) -> None:
        self.body = text.encode()
        self.status = status
        self.tag = f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'

    async def __call__(self, request: Request) -> Response:
        headers = {"cache-control": REVALIDATE, "etag": self.tag}
        if self.status == 200 and request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, self.status, headers, "text/html; charset=utf-8")


def not_found(text: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The response to an address that does not exist."""
    page = Page(text, 404)

    async def respond(request: Request, error: Exception) -> Response:
        return await page(request)

    return respond


async def healthz(request: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})


def render(context: Context, folder: Path = TEMPLATES) -> dict[str, str]:
    """Template name -> the rendered page."""
    templates = environment(folder)
    names = ("index.html", "privacy.html", "not_found.html")
    values = {**context._asdict(), "promise": promises()[context.facts["encrypted_only"]]}
    return {name: templates.get_template(name).render(values) for name in names}


def render_login(context: Context, troubles: Mapping[int, str], folder: Path = TEMPLATES) -> dict[int, str]:
    """HTTP status -> the login form that is shown with it."""
    template = environment(folder).get_template("password.html")
    more = {"days": COOKIE_SECONDS // 86_400, "longest": MAX_LENGTH}
    return {
        status: template.render(context._asdict(), trouble=trouble, **more)
        for status, trouble in troubles.items()
    }


def routes(texts: Mapping[str, str]) -> list[BaseRoute]:
    return [
        Route("/", Page(texts["index.html"]).__call__),
        Route("/privacy", Page(texts["privacy.html"]).__call__),
        Route("/healthz", healthz),
        Mount("/static", VersionedFiles(directory=STATIC)),
    ]
