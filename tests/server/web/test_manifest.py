"""The page can be put among the apps of a phone, and a posted link to it says what it is."""

from __future__ import annotations

import json

import httpx

from server.config.site import Site
from server.web.look import COLOUR, NO_LOOK, files_of
from server.web.manifest import manifest, preview
from tests.server.serving import Service

SITE = Site(name="<Calls>", url="https://call.example.org")


def test_a_link_has_a_picture_where_the_address_is_known() -> None:
    shown = preview(SITE, files_of(COLOUR, NO_LOOK))
    assert shown == f"https://call.example.org{files_of(COLOUR, NO_LOOK).address('preview.png')}"
    assert preview(Site(), files_of(COLOUR, NO_LOOK)) is None


async def test_the_manifest_names_files_that_exist(service: Service) -> None:
    said = json.loads(manifest(SITE, files_of(COLOUR, NO_LOOK)).bodies[""])
    assert said["name"] == "<Calls>"
    async with httpx.AsyncClient(base_url=service.origin) as client:
        served = await client.get("/manifest.webmanifest")
        assert served.headers["content-type"] == "application/manifest+json"
        assert "manifest-src 'self'" in served.headers["content-security-policy"]
        for icon in served.json()["icons"]:
            answer = await client.get(icon["src"])
            assert (answer.status_code, answer.headers["content-type"]) == (200, icon["type"])


async def test_the_worker_keeps_the_offline_page_and_what_that_needs(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.origin) as client:
        worker = await client.get("/worker.js")
        assert worker.headers["content-type"].startswith("text/javascript")
        assert worker.headers["cache-control"] == "no-cache"
        kept = json.loads(worker.text.split("const FILES = ")[1].split(";")[0])
        assert "/" not in kept
        for path in kept:
            assert (await client.get(path)).status_code == 200
        assert "cannot be reached" in (await client.get("/offline")).text
