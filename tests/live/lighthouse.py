"""Lighthouse judges the page as a phone on a slow line meets it: `make lighthouse`."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

from tests.live.service import ROOT, Service

TOOL = ROOT / ".cache" / "lighthouse" / "node_modules" / ".bin" / "lighthouse"
LEAST = 95  # points of 100
KINDS = ("performance", "accessibility", "best-practices")
CHROMIUM = "--headless=new --no-sandbox --disable-background-networking"


async def judge(url: str, report: Path) -> dict[str, int]:
    """The points of each kind. The standard profile is a phone on a slow line."""
    command = (str(TOOL), url, f"--only-categories={','.join(KINDS)}", f"--chrome-flags={CHROMIUM}")
    process = await asyncio.create_subprocess_exec(
        *command,
        "--output=json",
        f"--output-path={report}",
        "--quiet",
        env={**os.environ, "CHROME_PATH": "/usr/bin/chromium"},
    )
    assert await process.wait() == 0
    categories = json.loads(report.read_text())["categories"]
    return {kind: round(100 * categories[kind]["score"]) for kind in KINDS}


async def main() -> int:
    """Print the points; 1 if they are too few."""
    with tempfile.TemporaryDirectory() as name:
        service = Service(Path(name), {})
        try:
            await service.open()
            points = await judge(service.url, Path(name) / "report.json")
        finally:
            await service.close()
    for kind, count in points.items():
        print(f"{kind:<16} {count}")
    return int(min(points.values()) < LEAST)


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
