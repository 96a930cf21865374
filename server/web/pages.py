"""The pages. They are rendered once for each language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from babel.units import format_unit
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server.config.site import Site
from server.languages.catalogs import Language, language
from server.languages.countries import country_names
from server.languages.known import ENGLISH, known, own_name
from server.web.content import Content
from server.web.look import ICON, NO_LOOK, STYLE, Look, files_of
from server.web.manifest import preview
from server.web.page_files import PageFiles
from server.web.password import COOKIE_SECONDS, MAX_LENGTH
from server.web.promise import promises
from server.web.rules import as_html, version_of

TEMPLATES = Path(str(files("templates") / "pages"))
LOGIN, WORKER = "password.html", "worker.js"
# Template -> the address at which a visitor changes its language; empty: where the visitor is.
PATHS = {
    "index.html": "/",
    "privacy.html": "/privacy",
    "check.html": "/check",
    "not_found.html": "",
    "offline.html": "/",
    LOGIN: "/",
}
LANGUAGE_SECONDS = 365 * 86_400  # a chosen language is kept for a year


class Context(NamedTuple):
    """What the templates get: the site, the codes of countries to choose from, what this server does."""

    site: Site
    countries: Collection[str]
    facts: Mapping[str, Any]
    look: Look = NO_LOOK

    @property
    def files(self) -> PageFiles:
        """Scripts, style and pictures of this site."""
        return files_of(self.site.colour, self.look)

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages to choose from; the first is for those who ask for none."""
        return self.site.languages or known()


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
    made.install_gettext_translations(spoken.translations, newstyle=True)  # type: ignore[attr-defined]
    made.filters["unit"] = lambda count, unit: format_unit(count, f"duration-{unit}", locale=spoken.locale)
    return made


def page(text: str, status: int = 200) -> Content:
    return Content(text.encode(), "text/html; charset=utf-8", status)


async def healthz(request: Request) -> Response:
    """The process is alive."""
    return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})


def render_page(
    context: Context, name: str, code: str = ENGLISH, folder: Path = TEMPLATES, **more: Any
) -> str:
    """A template, rendered in a language."""
    spoken = language(code)
    values = {
        "countries": country_names(code, context.countries),
        "facts": context.facts,
        "language": spoken,
        "languages": sorted(((one, own_name(one)) for one in context.languages), key=itemgetter(1)),
        "language_days": LANGUAGE_SECONDS // 86_400,
        "path": PATHS.get(name, ""),
        "promise": promises()[context.facts["encrypted_only"]],
        "script": lambda bundle: context.files.script(bundle, code),
    }
    return environment(folder, spoken).get_template(name).render(values, **looks(context), **more)


def looks(context: Context) -> dict[str, Any]:
    """What a site decides of its page."""
    site, (rules, _) = context.site, context.look
    return {
        "site": site,
        "static": context.files.address,
        "style": context.files.text(STYLE),
        "version": context.files.version,
        "logo": context.look.logo_file,
        "icon": context.look.logo_file or ICON,
        "preview": preview(site, context.files),
        "rules": as_html(rules),
        "rules_version": version_of(rules, site.adult) if rules or site.adult else "",
    }


def render(context: Context, code: str = ENGLISH, folder: Path = TEMPLATES) -> dict[str, str]:
    """Template name -> the rendered page, of all that are the same at each load."""
    return {name: render_page(context, name, code, folder) for name in PATHS if name != LOGIN}


def render_login(context: Context, trouble: str, code: str = ENGLISH) -> str:
    """The login form. `trouble`: what was wrong with the last try, in English; or nothing."""
    return render_page(
        context, LOGIN, code, trouble=trouble, days=COOKIE_SECONDS // 86_400, longest=MAX_LENGTH
    )
