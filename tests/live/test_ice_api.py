"""Another web application, in a real Chromium: its page gets ICE servers, and two ends of it meet there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page

from tests.live.service import Service
from tests.ports import free_port
from turn.credentials import user_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "canary-of-another-application"
APP, STRANGER = free_port(), free_port()
BLANK = b"<!doctype html><title>another application</title>"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"

ASK = """async ([url, token]) => {
  const reply = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
  return [reply.status, await reply.json()];
}"""
REFUSED = f"""async (sent) => {{
  try {{ return await ({ASK})(sent); }} catch (error) {{ return error.name; }}
}}"""
# Two ends that may use the relay only; gives what was heard, and the candidates of the first end.
MEET = """async (servers) => {
  const settings = { ...servers, iceTransportPolicy: "relay" };
  const ends = [new RTCPeerConnection(settings), new RTCPeerConnection(settings)];
  const candidates = [];
  ends.forEach((end, number) => {
    end.onicecandidate = ({ candidate }) => {
      if (candidate && !number) candidates.push(candidate.candidate);
      ends[1 - number].addIceCandidate(candidate);
    };
  });
  const channel = ends[0].createDataChannel("words");
  const heard = new Promise((resolve) => {
    ends[1].ondatachannel = (event) => { event.channel.onmessage = ({ data }) => resolve(data); };
  });
  channel.onopen = () => channel.send("through the relay");
  await ends[0].setLocalDescription();
  await ends[1].setRemoteDescription(ends[0].localDescription);
  await ends[1].setLocalDescription();
  await ends[0].setRemoteDescription(ends[1].localDescription);
  const said = await heard;
  ends.forEach((end) => end.close());
  return [said, candidates];
}"""


def sections(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    file = folder / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o640)
    return {"server": {"ice_api": {"token_file": str(file), "origins": f"http://127.0.0.1:{APP}"}}}


async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER % (len(BLANK), BLANK))
    await writer.drain()
    writer.close()


@asynccontextmanager
async def page_at(browser: Browser, port: int) -> AsyncIterator[Page]:
    """A page of another application, which is served at this port."""
    async with await asyncio.start_server(show, "127.0.0.1", port):
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        try:
            yield page
        finally:
            await page.close()


async def test_the_page_of_another_application_gets_servers_and_its_two_ends_meet(
    service: Service, chromium: Browser
) -> None:
    async with page_at(chromium, APP) as page:
        status, servers = await page.evaluate(ASK, [f"{service.url}ice", TOKEN])
        assert status == 200
        async with asyncio.timeout(30):
            said, candidates = await page.evaluate(MEET, servers)
    assert said == "through the relay"
    assert candidates
    assert all(" typ relay " in candidate for candidate in candidates)


async def test_a_wrong_token_is_told_to_the_page_and_other_pages_learn_nothing(
    service: Service, chromium: Browser
) -> None:
    async with page_at(chromium, APP) as page:
        status, said = await page.evaluate(ASK, [f"{service.url}ice", "wrong"])
        assert (status, list(said)) == (401, ["message"])
    async with page_at(chromium, STRANGER) as page:
        assert await page.evaluate(REFUSED, [f"{service.url}ice", TOKEN]) == "TypeError"


async def test_neither_token_nor_user_nor_address_is_in_a_log_or_a_file(service: Service) -> None:
    address = "127.0.77.88"
    way = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=service.url, transport=way) as application:
        reply = await application.get("/ice", headers={"Authorization": f"Bearer {TOKEN}"})
        await application.get("/ice", headers={"Authorization": f"Bearer {TOKEN}-that-is-wrong"})
    user = user_of(reply.json()["iceServers"][1]["username"])
    logs = [service.folder / f"{word}.log" for word in ("serve", "relay")]
    kept = b"".join(path.read_bytes() for path in (*logs, *service.state.glob("*")) if path.is_file())
    assert b"serving http://" in kept
    assert not [secret for secret in ("canary", address, user) if secret.encode() in kept]
