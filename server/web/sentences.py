"""Answers that are one sentence of plain text, in the language of the reader: why a request was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

from server.languages.catalogs import language
from server.languages.known import N_, known
from server.web.reader import VARY, language_for

# HTTP status -> what to do. Nothing of the request is repeated.
SENTENCES: Mapping[int, str] = {
    400: N_("This request is not clear: it says its length in two ways."),
    403: N_("This form is not from this server. Load the page again."),
    405: N_("This address does not take such a request. Load the page again."),
    408: N_("The form did not arrive in time. Go back and try again."),
    413: N_("This is more than this address takes."),
    421: N_("This is not an address of this site. If you run it, add it to site.url or site.more_urls."),
    429: N_("There were too many requests from your network. Wait a moment, then load the page again."),
    431: N_(
        "Your browser sent too much beside its request. Delete the cookies of this site, then load it again."
    ),
    500: N_("The server made an error, and its operator finds it in the log. Try again in a moment."),
    503: N_("This server has no certificate yet. Try again in a minute."),
}
CLOSE = {"connection": "close"}  # the rest of the request is not read
ICE_PATH = "/ice"  # programs ask here: their answers are JSON


class Sentences:
    """`languages`: those of the site, the first for readers who ask for none."""

    def __init__(self, languages: Sequence[str] = ()) -> None:
        self.languages = languages or known()

    def answer(self, scope: Scope, status: int, headers: Mapping[str, str] = CLOSE) -> Response:
        code = language_for(scope, self.languages)
        text = language(code).translations.gettext(SENTENCES[status])
        spoken = {"content-language": code, "vary": VARY, **headers}
        if scope.get("path") == ICE_PATH:
            return JSONResponse({"message": text}, status, spoken)
        return PlainTextResponse(f"{text}\n", status, spoken)
