"""What tc shows of an interface, and a kernel that has no links."""

from __future__ import annotations

import subprocess


def refuse(number: int, *_: object) -> None:
    raise OSError(number, "")


def filters() -> str:
    return tc("filter", "show", "dev", "lo", "ingress")


def tc(*words: str) -> str:
    return subprocess.run(["tc", *words], capture_output=True, text=True, check=True).stdout
