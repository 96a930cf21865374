"""Fuzz with atheris: `python -m tests.fuzz --seconds 600` all targets, `--target core` one of them.

What is found stays in .cache/fuzz: the inputs that reach new places, and as TARGET-crash-… one that fails.
Such a one becomes a line of hexadecimal digits in corpus/TARGET.txt: every test run tries it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


def start(name: str, seconds: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """One target in a process of its own; what it printed is in `stdout`."""
    command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--seconds", str(seconds)]
    return subprocess.run(
        [*command, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def all_of_them(seconds: int, folder: Path) -> int:
    """As many at once as there are processors; the exit code is the number of targets with a finding."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {name: pool.submit(start, name, seconds, folder) for name in TARGETS}
        for name, run in runs.items():
            done = run.result()
            count = next(
                (line for line in done.stdout.splitlines() if "executed_units" in line), "no figures"
            )
            print(f"{name}: {'FOUND SOMETHING' if done.returncode else 'nothing found'}; {count}", flush=True)
            if done.returncode:
                print(done.stdout[-4000:])
    return sum(run.result().returncode != 0 for run in runs.values())


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz")
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=Path(".cache/fuzz"))
    wish = parser.parse_args()
    if wish.target is not None:
        fuzz(wish.target, wish.seconds, wish.folder)
    return all_of_them(wish.seconds, wish.folder)


if __name__ == "__main__":
    sys.exit(main())
