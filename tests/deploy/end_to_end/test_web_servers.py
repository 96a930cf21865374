"""A web server of the machine's own before ours: Debian's nginx, Caddy and Apache with the site we print."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from deploy.remote.render import ACME, CERTIFICATE, KEY, PROXIES
from deploy.remote.secrets import AUTHORITY
from tests.deploy.end_to_end.admin import Admin
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.network import OUTSIDE
from tests.deploy.end_to_end.outside import Call, open_outside
from tests.deploy.end_to_end.target import Target
from tests.deploy.remote.web_servers import AROUND, MODULES

URL = f"https://{NAME}/"
CONFIG = {
    "site": {"url": URL.rstrip("/")},
    "server": {"listen": "127.0.0.1:8080", "trusted_proxies": "127.0.0.1/32"},
    "deploy": {"hosts": f"root@{ADDRESSES[NAME]}", "tls": "internal"},
}
RUNS = {
    "nginx": ("nginx", "-g", "daemon off;", "-c"),
    "caddy": ("caddy", "run", "--adapter", "caddyfile", "--config"),
    "apache": ("apache2", "-D", "FOREGROUND", "-f"),
}
NEEDS = {
    "nginx": "user root; error_log {folder}/log; ",  # the test's folder is nobody else's
    "caddy": "",
    "apache": "User www-data\nGroup www-data\nListen 80\nListen 443\n",
}
END_SECONDS = 10
ASK = ("curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def admin(admin: Admin) -> Admin:
    done = admin.do("apply")
    assert done.code == 0, done.said
    return admin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(admin: Admin, target: Target, folder: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        root = admin.file.parent / AUTHORITY / "root.pem"
        browser = await open_outside(playwright, target.network, folder / "browser", root)
        yield browser
        await browser.close()


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, admin: Admin, target: Target) -> Iterator[str]:
    """This system's program, in the machine's network, with the machine's certificate."""
    kind = str(request.param)
    folder = admin.folder / kind
    folder.mkdir()
    (folder / "conf").write_text(configuration(admin, target, kind, folder))
    command = target.inside("env", f"HOME={folder}", *RUNS[kind], str(folder / "conf"))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        until_it_serves(admin, process, folder / "said")
        yield kind
    finally:
        process.terminate()
        process.wait(END_SECONDS)


def configuration(admin: Admin, target: Target, kind: str, folder: Path) -> str:
    """What is printed, in what a distribution has around it; files of the machine lie below its root here."""
    done = admin.do("proxy", kind)
    assert done.code == 0, done.said
    text = done.said
    for path in (CERTIFICATE, KEY, ACME):
        text = text.replace(path, f"{target.root}{path}")
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES
    )
    whole = AROUND[kind].format(folder=folder, text=text, modules=modules)
    return NEEDS[kind].format(folder=folder) + whole


def until_it_serves(admin: Admin, process: subprocess.Popen[bytes], said: Path) -> None:
    end = time.monotonic() + END_SECONDS
    while code(admin, URL) != "200":
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.1)


def code(admin: Admin, url: str, *more: str) -> str:
    asked = admin.network.outside(*ASK, *more, url)
    return subprocess.run(asked, capture_output=True, text=True).stdout


async def test_strangers_talk_through_it(proxy: str, browser: Browser) -> None:
    """Page and WebSocket through the proxy, voice by the relay beside it."""
    call = await Call.open(browser, URL)
    await call.goes_on()
    await call.close()


async def test_who_asks_in_clear_is_led_to_tls(proxy: str, admin: Admin) -> None:
    assert code(admin, f"http://{NAME}/") in ("301", "308")


async def test_a_visitor_is_known_by_the_address_that_the_proxy_saw(
    proxy: str, target: Target, browser: Browser
) -> None:
    """A ban of it holds."""
    call = await Call.open(browser, URL)
    target.run(f"calln ban add {OUTSIDE}")
    try:
        await call.ends[0].until_says("operator")
    finally:
        target.run(f"calln ban remove {OUTSIDE}")
    await call.close()
