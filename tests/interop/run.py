"""Runs one cell of the table: a foreign client as a process of its own, and what came of it in a word."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from contextlib import suppress
from typing import NamedTuple

from tests.interop.cases import FINE, WAYS, Case
from tests.interop.relay import HOSTS, ROOT, Relay

BINDING = bytes.fromhex("000100002112a442") + b"interop test"  # RFC 8489 §5
# The kernel gave the client a port of an earlier one, whose allocation goes on. It takes another one then
# (RFC 8656 §8.3).
MISMATCH = "437"
ENDED = 3.0  # seconds that a client gets to end what it has started
ANSWERED = 1.0  # seconds that the relay gets to answer after a hostile client


class Said(NamedTuple):
    """What a client printed, and its exit code; None where it had to be ended."""

    text: str
    code: int | None


async def run(case: Case, relay: Relay, peer: int) -> tuple[str, str]:
    """What came of it, and what the client printed. A client whose port was another one's is run again."""
    came = await run_once(case, relay, peer)
    return await run_once(case, relay, peer) if came[0] == MISMATCH else came


async def run_once(case: Case, relay: Relay, peer: int) -> tuple[str, str]:
    said = await listen(case.words(relay, peer), relay, case.row.patience + case.row.seconds)
    if case.row.hostile:
        host = HOSTS[WAYS[case.name].family]
        return ("unharmed" if await asyncio.to_thread(answers, host, relay.port) else "harmed"), said.text
    return outcome(said, case.row.proof), said.text


async def listen(words: list[str], relay: Relay, patience: float) -> Said:
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SSL_CERT_FILE": str(relay.trust)},
        start_new_session=True,
    )
    ending = asyncio.create_task(process.communicate())
    done: set[asyncio.Task[tuple[bytes, bytes]]] = set()
    try:
        done, _ = await asyncio.wait([ending], timeout=patience)
    finally:
        if not done:  # the driver of a browser ends it then, which is in no group of ours
            end(process, signal.SIGTERM)
            await asyncio.wait([ending], timeout=ENDED)
        end(process, signal.SIGKILL)
    text = (await ending)[0].decode(errors="replace").strip()
    return Said(text, process.returncode if done else None)


def end(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)


def outcome(said: Said, proof: str) -> str:
    """FINE, or the code of the last refusal, or how the client ended."""
    if said.code is None:
        return "no answer"
    if said.code == 0 and re.search(proof, said.text):
        return FINE
    refusals = re.findall(r"error (\d{3})\b", said.text)
    return str(refusals[-1]) if refusals else f"exit {said.code}"


def answers(host: str, port: int) -> bool:
    """Whether a relay still answers a Binding request."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWERED)
        client.connect((host, port))
        client.send(BINDING)
        with suppress(OSError):
            return client.recv(512)[:2] == b"\x01\x01"
    return False
