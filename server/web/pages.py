"""The pages and their static files. The pages are rendered once for each language."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from babel.units import format_unit
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.config.sections import Site
from server.languages.catalogs import Language, language
from server.languages.countries import country_names
from server.languages.known import ENGLISH, known, own_name
from server.web.password import COOKIE_SECONDS, MAX_LENGTH
from server.web.promise import promises

TEMPLATES = Path(str(files("templates") / "pages"))
STATIC = Path(str(files("server") / "static"))

REVALIDATE = "no-cache"  # keep it, but ask whether it has changed
IMMUTABLE = "public, max-age=31536000, immutable"

LOGIN = "password.html"
# Template -> the address at which a visitor changes its language; empty: where the visitor is.
PATHS = {"index.html": "/", "privacy.html": "/privacy", "not_found.html": "", LOGIN: "/"}
LANGUAGE_SECONDS = 365 * 86_400  # a chosen language is kept for a year


class Context(NamedTuple):
    """What the templates get: the site, the codes of countries to choose from, what this server does."""

    site: Site
    countries: Collection[str]
    facts: Mapping[str, Any]

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages to choose from; the first is for those who ask for none."""
        return self.site.languages or known()


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


def environment(folder: Path, spoken: Language) -> Environment:
    made = Environment(
        extensions=["jinja2.ext.i18n"],
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True  # a text may go over several lines of the template
    made.policies["json.dumps_kwargs"] = {"sort_keys": True, "ensure_ascii": False}
    made.install_gettext_translations(spoken.translations, newstyle=True)  # type: ignore[attr-defined]
    made.filters["unit"] = lambda count, unit: format_unit(count, f"duration-{unit}", locale=spoken.locale)
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


async def healthz(request: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})


def render_page(
    context: Context, name: str, code: str = ENGLISH, folder: Path = TEMPLATES, **more: Any
) -> str:
    """A template, rendered in a language."""
    spoken = language(code)
    return (
        environment(folder, spoken)
        .get_template(name)
        .render(
            site=context.site,
            facts=context.facts,
            countries=country_names(code, context.countries),
            language=spoken,
            languages=sorted(((one, own_name(one)) for one in context.languages), key=itemgetter(1)),
            language_days=LANGUAGE_SECONDS // 86_400,
            path=PATHS[name],
            promise=promises()[context.facts["encrypted_only"]],
            **more,
        )
    )


def render(context: Context, code: str = ENGLISH, folder: Path = TEMPLATES) -> dict[str, str]:
    """Template name -> the rendered page, of all that are the same at each load."""
    return {name: render_page(context, name, code, folder) for name in PATHS if name != LOGIN}


def render_login(context: Context, trouble: str, code: str = ENGLISH) -> str:
    """The login form. `trouble`: what was wrong with the last try, in English; or nothing."""
    return render_page(
        context, LOGIN, code, trouble=trouble, days=COOKIE_SECONDS // 86_400, longest=MAX_LENGTH
    )
