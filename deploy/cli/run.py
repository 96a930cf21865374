"""Server and relay as two processes under one command, for one machine without a service manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

POLL_SECONDS = 0.2  # how soon the end of one part is noticed
GRACE_SECONDS = 10  # how long a part may take to end once it was told to


class Part(NamedTuple):
    """One of the two, by the word that starts it."""

    name: str
    process: subprocess.Popen[bytes]


def run(config: Path | None) -> int:
    """Start both, wait, and end both; the exit code is that of the first part that ended by itself.

    The first SIGINT or SIGTERM lets running calls end (server first, then relay), a second one ends them.
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
    """In a session of its own: Ctrl-C in the terminal reaches us alone, and we pass it on in order. It finds
    its modules where we do, and not in the folder that we happen to be in."""
    command = [sys.executable, "-P", "-m", "deploy.cli", word, *(["--config", str(config)] if config else [])]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return Part(word, subprocess.Popen(command, start_new_session=True, env=paths))  # noqa: S603  # our own


def forward_to(asked: list[int], parts: list[Part]) -> Callable[[int, FrameType | None], None]:
    def forward(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            print("Ending when the running calls have ended. Once more ends them now.", flush=True)
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
                print(f"calln {part.name} ended with exit code {code}; ending the rest.", file=sys.stderr)
            return code if not asked or code > 0 else 0


def end_part(part: Part) -> None:
    """At once: each part takes the second signal for the last word, and two of a kind may arrive as one."""
    for number in (signal.SIGTERM, signal.SIGINT):
        part.process.send_signal(number)
    try:
        part.process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        part.process.kill()
        part.process.wait()
