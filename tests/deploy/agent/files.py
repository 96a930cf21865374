"""A step that writes a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Step = dict[str, Any]


def a_file(path: Path, text: str = "x\n", mode: int = 0o640) -> Step:
    return {"path": str(path), "text": text, "mode": mode, "owner": "root", "group": "root"}
