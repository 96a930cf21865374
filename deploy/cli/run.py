"""`calln run`: server and relay as two processes of one command, without systemd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

POLL_SECONDS = 0.2  # between two looks whether a part has ended
GRACE_SECONDS = 10  # for a part to end after its signal


class Part(NamedTuple):
    """One of the two processes, and the command that starts it."""

    name: str
    process: subprocess.Popen[bytes]


def run(config: Path | None) -> int:
    """Start both, wait, and end both. The exit code is that of the first part that ended on its own.

    The first SIGINT or SIGTERM lets running calls go on to their end; the second one ends them.
    """
    parts = [start_part("relay", config), start_part("serve", config)]
    asked: list[int] = []
    forward = forward_to(asked, parts)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    try:
        return wait_for_first_end(parts, asked)
    finally:
        for part in parts:
            end_part(part)


def start_part(word: str, config: Path | None) -> Part:
    """Start a part in a session of its own, so that Ctrl-C reaches only us and we choose the order.

    It finds its modules where we found ours, not in the current folder.
    """
    command = [sys.executable, "-P", "-m", "deploy.cli", word, *(["--config", str(config)] if config else [])]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return Part(word, subprocess.Popen(command, start_new_session=True, env=paths))  # noqa: S603  # our own


def forward_to(asked: list[int], parts: list[Part]) -> Callable[[int, FrameType | None], None]:
    def forward(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            print("Waiting for the running calls to end. Press Ctrl-C again to end them now.", flush=True)
        for part in parts:
            if part.name == "serve" or len(asked) > 1:
                part.process.send_signal(signal.SIGTERM)

    return forward


def wait_for_first_end(parts: list[Part], asked: list[int]) -> int:
    while True:
        for part in parts:
            try:
                code = part.process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            if not asked:
                print(
                    f"calln {part.name} ended with exit code {code}; the other part is ended, too.",
                    file=sys.stderr,
                )
            return code if not asked or code > 0 else 0


def end_part(part: Part) -> None:
    """End a part now: it stops at the second signal, and two equal signals may arrive as one."""
    for number in (signal.SIGTERM, signal.SIGINT):
        part.process.send_signal(number)
    try:
        part.process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        part.process.kill()
        part.process.wait()
