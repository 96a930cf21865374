"""The pages say what this server does, are the same for everybody, and are asked for again cheaply."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx
import pytest
from jinja2 import UndefinedError

from host.countries import CODES
from server.app import privacy_facts
from server.config.server import Server
from server.config.site import Site
from server.languages.known import known
from server.store.geo import Mmdb, open_database
from server.web import pages
from server.web.look import Look
from server.web.promise import promises
from tests.server.mmdb import write as write_mmdb
from tests.server.serving import ICE, Service

SITE = Site(name="<Calls>", links={"Imprint": "https://example.org/imprint"})


def texts(**server: object) -> dict[str, str]:
    facts = privacy_facts(Server.model_validate(server), ICE, None, "off")
    return pages.render(pages.Context(SITE, [], facts))


def test_names_are_escaped_and_links_are_there() -> None:
    for text in (text for name, text in texts().items() if name.endswith(".html")):
        assert "&lt;Calls&gt;" in text
        assert "<Calls>" not in text
        assert 'href="https://example.org/imprint"' in text


def test_the_page_is_what_scripts_expect() -> None:
    page = texts()["index.html"]
    assert 'data-state="idle"' in page
    for label in ("Start", "Next", "Stop", "Mute"):
        assert re.search(rf"<button[^>]*>\s*{label}\s*</button>", page)
    assert "Message</label>" in page


def test_no_inline_script_and_nothing_from_elsewhere() -> None:
    for text in texts().values():
        assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == []
        assert "stylesheet" not in text  # each would be a round trip before anything is seen
        assert re.findall(r"\s(?:on[a-z]+|style)=", text) == []
        assert re.findall(r"\ssrc=\"(?!/static/)", text) == []


@pytest.mark.parametrize("code", known())
def test_a_first_load_is_small_in_every_language(code: str) -> None:
    """With all countries. The rest of the 45 kB is for three heads and an icon."""
    context = pages.Context(Site(), CODES, privacy_facts(Server(), ICE, None, "off"))
    page = pages.page(pages.render_page(context, "index.html", code))
    script = context.files.content(context.files.script("main", code).split("/", 3)[3])
    assert script is not None
    assert len(page.bodies["gzip"]) + len(script.bodies["gzip"]) <= 42_000


def test_rules_and_age_are_asked_where_the_site_wants_it() -> None:
    facts = privacy_facts(Server(), ICE, None, "off")
    for rules, adult in (("", False), ("# Be <kind>", False), ("", True), ("# Be <kind>", True)):
        site = Site(adult=adult, heading="Talk & laugh")
        page = pages.render(pages.Context(site, [], facts, Look(rules)))["index.html"]
        assert ('<dialog id="rules"' in page) is bool(rules or adult)
        assert ("<h3>Be &lt;kind&gt;</h3>" in page) is bool(rules)
        assert ("I am of age" in page) is adult
        assert "<h1>Talk &amp; laugh</h1>" in page


@pytest.mark.parametrize(("days", "said"), [(0, "not stored"), (1, "1 day"), (7, "7 days")])
def test_privacy_follows_the_configuration(days: int, said: str) -> None:
    text = texts(call_log_days=days)["privacy.html"]
    assert said in text
    assert "30 minutes" in text
    assert "turn.example.org" in text


@pytest.mark.parametrize("mode", ["enforce", "compat", "observe", "off"])
def test_privacy_promises_what_the_relay_does(mode: str) -> None:
    """And what it does not: the words of this mode, and none of another."""
    facts = privacy_facts(Server(), ICE, None, mode)
    text = pages.render(pages.Context(SITE, [], facts))["privacy.html"]
    sentences = html.unescape(" ".join(text.split()))
    for promise in promises().values():
        assert (promise.says in sentences) == (promise.mode == mode)
    wanted = promises()[mode].limits
    every = {limit for promise in promises().values() for limit in promise.limits}
    assert [limit for limit in every if limit in sentences] == [limit for limit in every if limit in wanted]


def test_a_proxy_is_said(tmp_path: Path) -> None:
    assert "proxy" in texts(trusted_proxies="127.0.0.1/32")["privacy.html"]
    assert "proxy" not in texts()["privacy.html"]


def test_countries_and_their_credit(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(write_mmdb({"127.0.0.2/32": {"country_code": "DE"}}))
    database = open_database(tmp_path / "x.mmdb")
    assert isinstance(database, Mmdb)
    facts = privacy_facts(Server(), ICE, database, "off")
    with_them = pages.render(pages.Context(SITE, CODES, facts))
    assert "Germany" in with_them["index.html"]
    assert "A test database by nobody" in with_them["privacy.html"]
    assert "Germany" not in texts()["index.html"]
    database.close()


def test_a_template_that_asks_for_more_is_a_mistake_at_the_start(tmp_path: Path) -> None:
    for name in ("index.html", "privacy.html", "not_found.html"):
        (tmp_path / name).write_text("{{ facts.nothing_like_it }}")
    with pytest.raises(UndefinedError):
        pages.render(pages.Context(SITE, [], {"encrypted_only": "off"}), folder=tmp_path)


async def test_pages_over_http(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.origin) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get("/healthz")).text == "ok\n"
        missing = await client.get("/nothing", headers={"If-None-Match": page.headers["etag"]})
        assert missing.status_code == 404
        assert "This page does not exist" in missing.text
