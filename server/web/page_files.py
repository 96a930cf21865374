"""Scripts, style and pictures of the page, read once. Browsers keep them: their address has a hash.

A script that speaks is served in each language: its texts, then its bundle.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from server.languages.catalogs import digest, language, texts_of_bundles
from server.languages.known import known
from server.web.content import IMMUTABLE, REVALIDATE, Content

STATIC = Path(str(files("server") / "static"))
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
VERSION = re.compile("[0-9a-f]{12}/")
SPEAKING = "built/{bundle}.{code}.js"
# Opened by itself, a drawing is a page: it could hold scripts, and load what it likes.
DRAWING = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
NONE: Mapping[str, bytes] = {}


class PageFiles:
    """One version for all files: then a script finds another one beside it, by its name."""

    def __init__(self, folder: Path, own: Mapping[str, bytes] = NONE) -> None:
        found = sorted(path for path in folder.rglob("*") if path.suffix in TYPES)
        bodies = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
        self.contents = {
            name: Content(body, TYPES[Path(name).suffix]) for name, body in {**bodies, **own}.items()
        }
        names = "".join(f"{name} {content.hash}\n" for name, content in self.contents.items())
        self.version = hashlib.sha256((names + digest()).encode()).hexdigest()[:12]
        self.is_our_own = not own
        self.speaking = {
            SPEAKING.format(bundle=bundle, code=code): (bundle, code)
            for bundle in texts_of_bundles()
            for code in known()
        }

    def address(self, name: str) -> str:
        """Where the newest version is, for ever. Raises KeyError if there is no such file."""
        if name not in self.contents:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    def script(self, bundle: str, code: str) -> str:
        """Where a bundle is that speaks a language."""
        return f"/static/{self.version}/{SPEAKING.format(bundle=bundle, code=code)}"

    def content(self, name: str) -> Content | None:
        """A script in a language is made when the first visitor needs it."""
        if name in self.speaking and name not in self.contents:
            bundle, code = self.speaking[name]
            body = (
                language(code).script_texts(bundle).encode() + self.contents[f"built/{bundle}.js"].bodies[""]
            )
            self.contents[name] = Content(body, TYPES[".js"])
        return self.contents.get(name)

    def text(self, name: str) -> Markup:
        """A file that stands in the page itself, which saves a round trip."""
        return Markup(self.contents[name].bodies[""].decode())  # noqa: S704 (ours, from this tree)

    def source(self, name: str) -> str:
        """How a policy allows that text, and no other (CSP Level 3 §2.3.1)."""
        digest = hashlib.sha256(self.contents[name].bodies[""]).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    async def __call__(self, request: Request) -> Response:
        """A page from before an update gets today's files at its old addresses, but does not keep them."""
        path: str = request.path_params["path"]
        name = VERSION.sub("", path, count=1)
        content = self.content(name)
        if content is None:
            raise HTTPException(404)
        newest = path.startswith(f"{self.version}/")
        response = content.respond(request.headers, IMMUTABLE if newest else REVALIDATE)
        if name.endswith(".svg"):
            response.headers.update(DRAWING)
        return response
