"""Fuzz with atheris: `python -m tests.fuzz --seconds 600` all targets, `--target core` one of them.

What is found stays in .cache/fuzz: the inputs that reach new places, and as TARGET-crash-… one that fails.
Such a one becomes a line of hexadecimal digits in corpus/TARGET.txt: every test run tries it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import atheris  # type: ignore[import-untyped]  # it has no stubs

with atheris.instrument_imports(include=["turn", "server", "config"]):
    from tests.fuzz.targets import TARGETS, seeds

SLOW = 20  # seconds for one input: far beyond any, so that a hang is a finding
MEGABYTES = 1024


def fuzz(name: str, seconds: int, folder: Path) -> NoReturn:
    """The process ends with it, and with 0 where nothing was found."""
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": TARGETS[name].longest,
        "timeout": SLOW,
        "rss_limit_mb": MEGABYTES,
        "artifact_prefix": f"{folder}/{name}-",
        "print_final_stats": 1,
    }
    atheris.Setup(
        [sys.argv[0], str(corpus), *(f"-{key}={value}" for key, value in options.items())], TARGETS[name].run
    )
    atheris.Fuzz()
    sys.exit(0)


def begin(name: str, seconds: int, folder: Path) -> int:
    """One target in a process of its own; its id. A fork, since it takes seconds to instrument the code."""
    process = os.fork()
    if process:
        return process
    with output_of(name, folder).open("wb") as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    fuzz(name, seconds, folder)


def output_of(name: str, folder: Path) -> Path:
    return folder / f"{name}.log"


def tell(name: str, status: int, folder: Path) -> None:
    printed = output_of(name, folder).read_text(errors="replace")
    count = next((line for line in printed.splitlines() if "executed_units" in line), "no figures")
    print(f"{name}: {'FOUND SOMETHING' if status else 'nothing found'}; {count}", flush=True)
    if status:
        print(printed[-4000:], flush=True)


def all_of_them(seconds: int, folder: Path, at_once: int) -> int:
    """The exit code is the number of targets with a finding."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting, running, found = [*TARGETS], dict[int, str](), 0
    while waiting or running:
        while waiting and len(running) < at_once:
            name = waiting.pop(0)
            running[begin(name, seconds, folder)] = name
        process, status = os.wait()
        tell(running.pop(process), status, folder)
        found += status != 0
    return found


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz")
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=Path(".cache/fuzz"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count())
    wish = parser.parse_args()
    if wish.target is not None:
        fuzz(wish.target, wish.seconds, wish.folder)
    return all_of_them(wish.seconds, wish.folder, wish.at_once)


if __name__ == "__main__":
    sys.exit(main())
