"""Which language the reader of an answer gets: asked for, chosen before, or the browser's own."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Scope

from server.languages.negotiation import choose
from server.web.origins import cookie_values, header

COOKIE = "calln_language"
VARY = "Accept-Language, Cookie"  # what such an answer depends on


def language_for(scope: Scope, offered: Sequence[str], asked: str | None = None) -> str:
    """One of the offered languages; the first is for those who ask for none."""
    kept = next(iter(cookie_values(scope, COOKIE)), None)
    return choose(offered, asked, kept, accepted=header(scope, b"accept-language"))
