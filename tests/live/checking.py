"""The page that checks the connection, as a person meets it: press Begin and wait for the verdict."""

from __future__ import annotations

import re

from tests.live.visitors import Visitor

PATIENCE = 60_000  # ms: the page waits for each way that is blocked
# What a report must not hold.
ADDRESS = re.compile(
    r"\d+\.\d+\.\d+\.\d+:|127\.0\.0\.1|[0-9a-f]*:[0-9a-f]*:[0-9a-f]+:|candidate|\.local", re.IGNORECASE
)


async def check(visitor: Visitor) -> dict[str, str]:
    """The state of each check."""
    await visitor.press("Begin")
    await visitor.page.locator("#verdict:not(:empty)").wait_for(timeout=PATIENCE)
    found = await visitor.page.evaluate(
        "[...document.querySelectorAll('#checks li')].map((one) => [one.id.slice(6), one.dataset.state])"
    )
    return dict(found)
