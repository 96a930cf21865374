"""Other people's TURN clients against our relay: `python -m tests.interop`, or `make interop`.

    python -m tests.interop [--only WORDS] [--table]

One process per cell of the table in rows.py; a line as each ends, the table at the end, and exit code 1 where
something else came of a cell than has to. `--table` puts the table into docs/clients.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path

from tests.interop.cases import Case, Row, cases
from tests.interop.relay import BETWEEN_HOMES, HOSTS, Relay, between_homes, running
from tests.interop.rows import ROWS
from tests.interop.run import run
from tests.interop.table import plain, write
from tests.interop.versions import sentence
from tests.ports import free_port

APART = 3.0  # seconds between the beginnings of two long rows: browsers, too, want to begin alone
AT_ONCE = 8  # clients that mostly sleep
HEAVY_AT_ONCE = 1  # browsers and encoders: more of them only wait for the processors
SHOWN = 2000  # characters of what a client printed that failed


class Floor:
    """The running relays, an echoing peer, and room for so many clients at once."""

    def __init__(self, relays: Mapping[str, Relay], peer: int, chosen: Sequence[Case]) -> None:
        self.relays, self.peer, self.total, self.done = relays, peer, len(chosen), 0
        self.long = [case for case in chosen if case.row.seconds]
        self.light, self.heavy = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(HEAVY_AT_ONCE)

    async def take(self, case: Case) -> str:
        """What came of it. Long rows begin one after another, and go on beside all others."""
        await asyncio.sleep(APART * (self.long.index(case) if case in self.long else len(self.long)))
        async with self.room(case.row):
            begun = time.monotonic()
            outcome, said = await run(case, self.relays[case.row.kind], self.peer)
        self.done += 1
        seconds = time.monotonic() - begun
        told = outcome if outcome == case.wanted else f"{outcome.upper()}, not {case.wanted}"
        print(f"{self.done:>4}/{self.total}  {seconds:>4.0f} s  {title(case)}: {told}", flush=True)
        if outcome != case.wanted:
            print(said[-SHOWN:], flush=True)
        return outcome

    def room(self, row: Row) -> AbstractAsyncContextManager[None]:
        if row.seconds:
            return nullcontext()
        return self.heavy if row.heavy else self.light


def title(case: Case) -> str:
    return f"{case.row.client}: {case.row.what} ({case.name})"


@asynccontextmanager
async def floor(chosen: Sequence[Case]) -> AsyncIterator[Floor]:
    async with AsyncExitStack() as stack:
        relays = {}
        for kind in dict.fromkeys(case.row.kind for case in chosen):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="calln-interop-")))
            kept = between_homes(folder) if kind == BETWEEN_HOMES else running(kind, folder)
            relays[kind] = await stack.enter_async_context(kept)
        peer = free_port()
        listen = [word for host in HOSTS.values() for word in ("-L", host)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            "turnutils_peer", *listen, "-p", str(peer), stdout=quiet, stderr=quiet
        )
        try:
            yield Floor(relays, peer, chosen)
        finally:
            process.kill()
            await process.wait()


async def main(word: str, *, table: bool) -> int:
    chosen = [case for case in cases(ROWS) if word.lower() in title(case).lower()]
    async with floor(chosen) as here:
        outcomes = dict(zip(chosen, await asyncio.gather(*map(here.take, chosen)), strict=True))
    print(f"\n{plain(outcomes)}\n")
    wrong = sum(outcome != case.wanted for case, outcome in outcomes.items())
    if table and not wrong and not word:
        write(outcomes, sentence())
    print(f"interop: {len(chosen) - wrong} passed, {wrong} failed")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.interop")
    parser.add_argument("--only", default="", metavar="WORDS", help="only the cells with these in their name")
    parser.add_argument("--table", action="store_true", help="put the table of a whole run into the docs")
    wish = parser.parse_args()
    sys.exit(asyncio.run(main(wish.only, table=wish.table)))
