"""A page as a phone, a keyboard and assistive tools meet it."""

from __future__ import annotations

from typing import Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]

from tests.live.visitors import Visitor

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def axe(visitor: Visitor) -> str:
    """Every breach of WCAG's rules and of good practice that axe finds."""
    results = await Axe().run(visitor.page)
    return str(results.generate_snapshot() and results.generate_report())


async def fits(visitor: Visitor) -> bool:
    """Nothing sticks out of a 360 pixel screen, so that nobody has to scroll sideways."""
    widths = await visitor.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    return bool(widths[0] <= widths[1])


async def focused(visitor: Visitor) -> str:
    return str(await visitor.page.evaluate("document.activeElement.id"))


async def in_sight(visitor: Visitor, name: str) -> bool:
    """Whether all of an element is on the screen without scrolling."""
    return bool(
        await visitor.page.evaluate(
            """(name) => {
              const box = document.getElementById(name).getBoundingClientRect();
              const { top, bottom, left, right, width } = box;
              return width > 0 && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
            }""",
            name,
        )
    )
