"""Plain HTTP beside HTTPS: where it leads, and the proofs of an authority."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from server.web.redirect import Redirect
from server.web.sentences import Sentences

ORIGINS = ("https://call.example.org", "https://www.example.org:8443", "http://127.0.0.1:8080")
PLACE = "/.well-known/acme-challenge/"
LED: list[tuple[str, str, str]] = [  # Host, path, where it leads
    ("call.example.org", "/", "https://call.example.org/"),
    ("call.example.org:80", "/privacy?x=%2F&y", "https://call.example.org/privacy?x=%2F&y"),
    ("www.example.org", "/", "https://www.example.org:8443/"),
    ("CALL.example.org", "/", "https://call.example.org/"),
    ("evil.example", "/", "https://call.example.org/"),
    ("evil.example@call.example.org", "/", "https://call.example.org/"),
    ("[", "/", "https://call.example.org/"),
    ("127.0.0.1:8080", "/", "https://call.example.org/"),
    ("call.example.org", "//evil.example/", "https://call.example.org//evil.example/"),
    ("call.example.org", "/%0d%0aSet-Cookie:%20x", "https://call.example.org/%0d%0aSet-Cookie:%20x"),
]


def client(folder: Path | None, *, is_open: bool = True) -> httpx.AsyncClient:
    app = Redirect(ORIGINS, ORIGINS[0], folder, lambda: is_open, Sentences())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://any")


@pytest.mark.parametrize(("host", "path", "there"), LED)
async def test_where_it_leads(host: str, path: str, there: str) -> None:
    async with client(None) as asks:
        answer = await asks.get(f"http://any{path}", headers={"host": host})
        assert (answer.status_code, answer.headers["location"]) == (308, there)
        assert "strict-transport-security" not in answer.headers  # RFC 6797 §7.2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / PLACE.strip("/")
    place.mkdir(parents=True)
    (place / "abc_DEF-123").write_text("abc.thumb")
    (place / "large").write_bytes(bytes(10_000))
    (place / "folder").mkdir()
    (place / "link").symlink_to("/etc/passwd")
    (tmp_path / "secret").write_text("secret")
    return tmp_path


async def test_a_proof_is_shown_before_there_is_a_certificate(folder: Path) -> None:
    async with client(folder, is_open=False) as asks:
        answer = await asks.get(f"{PLACE}abc_DEF-123")
        assert (answer.status_code, answer.text) == (200, "abc.thumb")
        assert len((await asks.get(f"{PLACE}large")).content) == 4_096
        assert (await asks.get("/")).status_code == 503


@pytest.mark.parametrize(
    "token", ["", "nothing", "folder", "link", "%2e%2e/%2e%2e/secret", "a%00b", "x" * 200]
)
async def test_nothing_else_of_the_folder_is_shown(folder: Path, token: str) -> None:
    async with client(folder) as asks:
        answer = await asks.get(httpx.URL("http://any", raw_path=(PLACE + token).encode()))
        assert answer.status_code == 404
    async with client(None) as asks:
        assert (await asks.get(f"{PLACE}abc_DEF-123")).status_code == 404


async def test_nobody_writes_here() -> None:
    async with client(None) as asks:
        assert (await asks.post("/")).status_code == 405
