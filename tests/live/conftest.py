"""The real service, a real browser, and people who visit: one of each for a test module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright

from tests.built import is_newest
from tests.live.browsers import Browsers
from tests.live.service import Service
from tests.live.visitors import Visitor

Visit = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def playwright() -> AsyncIterator[Playwright]:
    async with async_playwright() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsers(playwright: Playwright) -> AsyncIterator[Browsers]:
    browsers = Browsers(playwright)
    yield browsers
    await browsers.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(browsers: Browsers) -> Browser:
    return await browsers.of("chromium")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Configured by the module's function `sections`, if it has one."""
    assert is_newest(), "these browsers would run old scripts: run `make page`"
    folder = tmp_path_factory.mktemp("service")
    sections = getattr(request.module, "sections", None)
    service = Service(folder, sections(folder) if sections else {})
    try:
        await service.open()
        yield service
    finally:
        await service.close()


@pytest.fixture(scope="module")
def everybody() -> list[Visitor]:
    """Who has visited in this module, and what their sockets carried."""
    return []


@pytest_asyncio.fixture(loop_scope="module")
async def visit(service: Service, chromium: Browser, everybody: list[Visitor]) -> AsyncIterator[Visit]:
    """Opens the page for one more person, who leaves when the test ends."""
    here: list[Visitor] = []

    async def visit(path: str = "", browser: Browser = chromium, **settings: Any) -> Visitor:
        visitor = await Visitor.open(browser, service.url + path, **settings)
        here.append(visitor)
        everybody.append(visitor)
        return visitor

    yield visit
    for visitor in here:
        await visitor.close()
