"""What makes a site's page its own: colour, logo, rules."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from server.config.site import Site
from server.web.colours import accents
from server.web.page_files import STATIC, PageFiles

COLOUR = str(Site.model_fields["colour"].default)  # what style.css and icon.svg are drawn with
STYLE, ICON = "built/page.css", "icon.svg"
MAX_LOGO = 32 << 10  # bytes: everybody loads it
PNG = b"\x89PNG\r\n\x1a\n"
SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s/>]", re.DOTALL)
DATA = "data:;base64,"  # how a logo travels in a configuration


class Look(NamedTuple):
    """What the operator's files hold, beside the `site:` section."""

    rules: str = ""
    logo: bytes = b""

    @property
    def logo_file(self) -> str | None:
        """The name that it is served under."""
        return f"logo{logo_suffix(self.logo)}" if self.logo else None


NO_LOOK = Look()


def logo_suffix(body: bytes) -> str:
    """Raises ValueError where it is neither SVG nor PNG, or too large."""
    if len(body) > MAX_LOGO:
        raise ValueError(f"the logo is larger than {MAX_LOGO >> 10} KiB; make it smaller")
    if body.startswith(PNG):
        return ".png"
    if SVG.match(body.removeprefix(b"\xef\xbb\xbf")):
        return ".svg"
    raise ValueError("the logo is no SVG and no PNG file; save it as one of them")


def as_data(logo: bytes) -> str:
    return DATA + base64.b64encode(logo).decode()


def from_data(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text.removeprefix(DATA), validate=True)
    except binascii.Error:
        raise ValueError("what stands after base64, is damaged") from None


def own_files(colour: str, look: Look) -> Mapping[str, bytes]:
    """Files that this site has beside ours, or in their place."""
    own = {look.logo_file: look.logo} if look.logo_file else {}
    if colour != COLOUR:
        own[STYLE] = (STATIC / STYLE).read_bytes() + style_of(colour).encode()
        own[ICON] = (STATIC / ICON).read_bytes().replace(COLOUR.encode(), colour.encode())
    return own


def style_of(colour: str) -> str:
    light, dark = (f":root{{--accent:{one.colour};--on-accent:{one.on_it}}}" for one in accents(colour))
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}\n"


@cache
def files_of(colour: str, look: Look) -> PageFiles:
    """The files of a site with this look."""
    return PageFiles(STATIC, own_files(colour, look))
