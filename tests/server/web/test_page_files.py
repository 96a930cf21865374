"""An address with the newest version is kept for ever; another one still answers, but is asked for again."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import httpx
import pytest

from server.languages.catalogs import language
from server.languages.known import known
from server.web.content import IMMUTABLE, REVALIDATE
from server.web.look import COLOUR, NO_LOOK, files_of
from server.web.page_files import PageFiles
from tests.server.serving import Service


def test_the_version_is_that_of_all_files(tmp_path: Path) -> None:
    versions = set()
    for name, text in (
        ("a.js", "1"),
        ("a.js", "2"),
        ("built/a.js", "2"),
        ("notes.txt", "no file of the page"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        versions.add(PageFiles(tmp_path).version)
    assert len(versions) == 3
    files = PageFiles(tmp_path)
    assert files.address("built/a.js") == f"/static/{files.version}/built/a.js"
    for missing in ("notes.txt", "b.js", "../a.js"):
        with pytest.raises(KeyError):
            files.address(missing)


async def test_over_http(service: Service) -> None:
    newest, before = files_of(COLOUR, NO_LOOK).version, "0" * 12
    async with httpx.AsyncClient(base_url=service.origin) as client:
        for path, cache in ((f"{newest}/", IMMUTABLE), (f"{before}/", REVALIDATE), ("", REVALIDATE)):
            answer = await client.get(f"/static/{path}built/main.js")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == cache
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            assert answer.headers["content-encoding"] == "gzip"
            again = await client.get(
                f"/static/{path}built/main.js", headers={"If-None-Match": answer.headers["etag"]}
            )
            assert (again.status_code, again.content) == (304, b"")
        for path in ("", f"{newest}", f"{newest}/", f"{newest}/{newest}/main.js", "built/sources.sha256"):
            assert (await client.get(f"/static/{path}")).status_code == 404


def test_a_script_speaks_each_language_that_there_is() -> None:
    files = files_of(COLOUR, NO_LOOK)
    bundle = files.contents["built/main.js"].bodies[""]
    for code in known():
        script = files.content(files.script("main", code).removeprefix(f"/static/{files.version}/"))
        assert script is not None
        assert script.bodies[""] == language(code).script_texts("main").encode() + bundle
    for name in ("built/main.xx.js", "built/main..js", "built/page.de.css", "built/tick.de.js"):
        assert files.content(name) is None


def test_what_stands_in_the_page_is_what_the_policy_allows() -> None:
    files = files_of(COLOUR, NO_LOOK)
    digest = base64.b64encode(hashlib.sha256(str(files.text("built/page.css")).encode()).digest()).decode()
    assert files.source("built/page.css") == f"'sha256-{digest}'"
    assert "</" not in files.text("built/page.css")
