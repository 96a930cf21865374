"""What a phone needs to put the page among its apps, and the picture beside a link that somebody posts."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

from server.config.site import Site
from server.web.content import Content
from server.web.look import NO_LOOK, Look
from server.web.page_files import TYPES, PageFiles

GROUND = "#f5f4f0"  # as in style.css, while the app opens
PREVIEW = "preview.png"


def icons(files: PageFiles, logo: str | None) -> list[dict[str, str]]:
    """Ours are drawn in our colour. Phones cut a maskable one, so nothing of it is near the edge."""
    name = logo or "icon.svg"
    whole = {"src": files.address(name), "sizes": "any", "type": TYPES[PurePath(name).suffix]}
    if not files.is_our_own:
        return [whole]
    sizes = [(name, size) for name in ("icon", "maskable") for size in ("192", "512")]
    return [whole] + [
        {
            "src": files.address(f"{name}-{size}.png"),
            "sizes": f"{size}x{size}",
            "type": "image/png",
            "purpose": {"icon": "any"}.get(name, name),
        }
        for name, size in sizes
    ]


def manifest(site: Site, files: PageFiles, look: Look = NO_LOOK) -> Content:
    """The web app manifest."""
    said: dict[str, Any] = {
        "id": "/",
        "name": site.name,
        "short_name": site.name,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": GROUND,
        "theme_color": GROUND,
        "icons": icons(files, look.logo_file),
    }
    return Content(json.dumps(said).encode(), "application/manifest+json")


def preview(site: Site, files: PageFiles) -> str | None:
    """The address of the picture beside a posted link. It must be whole, so a site without `url` has none."""
    return f"{site.url}{files.address(PREVIEW)}" if site.url else None
