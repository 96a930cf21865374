"""Commands as the operator can type them: messages say `calln deploy apply`, but who deploys with make, or
without `calln` in the PATH, has other words for that."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

BY_MAKE = "CALLN_BY_MAKE"  # set by the Makefile
WORDS = {"apply": "deploy", "secrets rotate": "rotate"}  # of make, where they differ
# `proxy` has no word of make. On the machines themselves calln is in the PATH, so only `calln deploy` is.
TARGETS = (
    *("apply", "plan", "init", "status", "doctor", "logs", "rollback", "restart", "secrets rotate", "backup"),
    *("restore", "destroy"),
)
COMMAND = re.compile(rf"\bcalln deploy ({'|'.join(TARGETS)})\b")
ANY = re.compile(r"\bcalln deploy\b")
OPTION = re.compile(r"(?<![\w-])(--(?:accept-host-key|rename|yes|purge|host))\b")
FILE = re.compile(r"(?<![\w-])--config( \S+)?")


def spelled(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with the operator's own words for commands and options."""
    if environment.get(BY_MAKE):
        text = COMMAND.sub(lambda found: f"make {WORDS.get(found[1], found[1])}", text)
        text = OPTION.sub(r"ARGS=\1", text)
        text = FILE.sub(lambda found: f"CONFIG={(found[1] or '').strip()}", text)
    program = sys.argv[0]
    if os.path.basename(program) == "calln" and shutil.which("calln", path=environment.get("PATH")) is None:
        text = ANY.sub(f"{program} deploy", text)
    return text


class SpelledOutput(io.TextIOBase):
    """Standard output, on which commands are spelled so."""

    def __init__(self) -> None:
        self.inner = sys.stdout

    def write(self, text: str) -> int:
        return self.inner.write(spelled(text))

    def flush(self) -> None:
        self.inner.flush()


@contextmanager
def spelled_output() -> Iterator[None]:
    with redirect_stdout(SpelledOutput()):
        yield
