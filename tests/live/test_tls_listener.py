"""Real Chromium at the server's own TLS: page, WebSocket and relayed calls through the one port."""

from __future__ import annotations

import asyncio
import secrets
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, async_playwright

from tests.interop.certificates import Files, make
from tests.interop.clients.browser import trust_in
from tests.live.service import BINDING_REQUEST, Service
from tests.live.visitors import CHROMIUM, WATCH, Visitor
from tests.ports import free_port

CANARY, PLACES = "127.0.0.1", "calln relay: engine"  # what no line holds but that of the listeners


class Secure(Service):
    """With TLS of its own, and no other way to the relay than through it."""

    def __init__(self, folder: Path, **server: Any) -> None:
        self.files: Files = make(folder)
        self.tls = free_port()
        files = {"certificate": str(self.files.chain), "key": str(self.files.key)}
        place = {"tls_listen": f"127.0.0.1:{self.tls}", **files, **server}
        super().__init__(folder, {"site": {"url": f"https://localhost:{self.tls}"}, "server": place})
        self.url = f"https://localhost:{self.tls}/"

    def page_answers(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.files.trust))
        try:
            return httpx.get(f"{self.url}healthz", verify=trust).status_code == 200
        except httpx.HTTPError:
            return False

    async def figure(self, name: str) -> float:
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "server.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://any") as asks:
            page = (await asks.get("/metrics")).text
        return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(name)), 0.0)


@asynccontextmanager
async def secure(folder: Path) -> AsyncIterator[tuple[Secure, Browser]]:
    service = Secure(folder)
    try:
        await service.open()
        async with async_playwright() as playwright:
            trust_in(folder / "home/.pki/nssdb", str(service.files.trust))
            browser = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=[*CHROMIUM], env={"HOME": str(folder / "home")}
            )
            yield service, browser
            await browser.close()
    finally:
        await service.close()


# Of all ways that the page is told of, only the one through the server's TLS listener is left.
ONE_WAY = """
const Theirs = RTCPeerConnection;
window.RTCPeerConnection = class extends Theirs {
  constructor(settings) {
    super(ours(settings));
  }
  setConfiguration(settings) {
    super.setConfiguration(ours(settings));
  }
};
const listener = "turns:localhost:PORT?transport=tcp";
window.told = [];
const ours = (settings = {}) => {
  for (const server of settings.iceServers || []) told.push(...[server.urls].flat());
  const iceServers = (settings.iceServers || []).map((one) => ({
    ...one, urls: [one.urls].flat().filter((url) => url === listener),
  })).filter((one) => one.urls.length);
  return { ...settings, iceServers, iceTransportPolicy: "relay" };
};
"""


async def enter(browser: Browser, service: Secure) -> Visitor:
    context = await browser.new_context()
    await context.add_init_script(ONE_WAY.replace("PORT", str(service.tls)) + WATCH)
    visitor = Visitor(context, await context.new_page())
    await visitor.page.goto(service.url)
    return visitor


async def test_a_call_through_the_listener_outlives_a_reload_and_the_first_sigterm(tmp_path: Path) -> None:
    async with secure(tmp_path) as (service, browser):
        one, other = await enter(browser, service), await enter(browser, service)
        for visitor in (one, other):
            await visitor.press("Start")
        for visitor in (one, other):
            await visitor.until_state("talking")
        assert f"turns:localhost:{service.tls}?transport=tcp" in await one.page.evaluate("told")
        await until_figure(service, "calln_turn_connections", 2)
        again = make(tmp_path)
        service.processes["serve"].send_signal(signal.SIGHUP)
        await until_shown(service, again)
        await one.write("after the reload")
        await other.reads("after the reload")
        service.processes["serve"].send_signal(signal.SIGTERM)
        await asyncio.sleep(1)
        await other.write("after the signal")
        await one.reads("after the signal")
        assert await service.figure("calln_turn_connections") >= 2
        assert service.processes["serve"].returncode is None
        for word in ("serve", "relay"):
            log = service.log(word).replace("serving http", PLACES)
            assert "Traceback" not in log
            assert not [line for line in log.splitlines() if CANARY in line and PLACES not in line]


async def test_a_server_that_is_killed_interrupts_the_calls_through_it(tmp_path: Path) -> None:
    """Both pages bring their call back to the next server, and its voice over it."""
    async with secure(tmp_path) as (service, browser):
        one, other = await enter(browser, service), await enter(browser, service)
        for visitor in (one, other):
            await visitor.press("Start")
        for visitor in (one, other):
            await visitor.until_state("talking")
            await visitor.hears()
        await service.restart_server(signal.SIGKILL)
        for visitor in (one, other):
            await visitor.hears()
            await visitor.until_says("You are talking")
            assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]


async def until_figure(service: Secure, name: str, least: float) -> None:
    async with asyncio.timeout(20):
        while await service.figure(name) < least:
            await asyncio.sleep(0.1)


async def until_shown(service: Secure, files: Files) -> None:
    trust = ssl.create_default_context(cafile=str(files.trust))
    async with asyncio.timeout(20), httpx.AsyncClient(verify=trust) as asks:
        while True:
            try:
                await asks.get(f"{service.url}healthz")
                return
            except httpx.ConnectError:
                await asyncio.sleep(0.1)


async def test_turn_goes_on_to_whichever_relay_is_there(tmp_path: Path) -> None:
    """While there is none it is closed and counted; with a newer one, who came before stays with the old."""
    service = Secure(tmp_path)
    try:
        await service.open()
        before = await turn_client(service)
        assert await is_answered(*before)
        await service.upgrade_relay()
        after = await turn_client(service)
        for client in (before, after):
            assert await is_answered(*client)
            client[1].close()
        await service.end("relay")
        await service.end("older relay")
        reader, writer = await turn_client(service)
        writer.write(BINDING_REQUEST)
        assert await reader.read() == b""
        writer.close()
        assert await service.figure('calln_connections_total{kind="no relay"}') == 1
        await service.begin("relay", service.relay_answers)
        reader, writer = await turn_client(service)
        assert await is_answered(reader, writer)
        writer.close()
        assert "Traceback" not in service.log("serve")
    finally:
        await service.close()


async def turn_client(service: Secure) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    trust = ssl.create_default_context(cafile=str(service.files.trust))
    return await asyncio.open_connection("localhost", service.tls, ssl=trust)


async def is_answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(BINDING_REQUEST + secrets.token_bytes(12))
    return (await asyncio.wait_for(reader.readexactly(32), 10))[:2] == b"\x01\x01"
