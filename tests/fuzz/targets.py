"""Every fuzzed function, how long its inputs may be, and where it begins: one row each.

For a new parser: a function of bytes in wire.py or texts.py that asserts what always holds, a row in TARGETS,
a file corpus/NAME.txt (empty at first), and its own tests' cases as what is `known`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.fuzz import core, gate, kept, texts, wire
from turn.wire.notices import Notification, pack_notification

HERE = Path(__file__).parent
TESTS = HERE.parent


class Target(NamedTuple):
    """`known` are files of cases that other tests have, as seeds beside the target's own corpus."""

    run: Callable[[bytes], None]
    longest: int
    known: Callable[[], Iterable[bytes]] = tuple


def frames() -> Iterable[bytes]:
    """The bytes of every frame and vector that the tests of the wire are made of."""
    data = TESTS / "turn" / "data"
    for rows in yaml.safe_load((data / "frames.yaml").read_text()).values():
        yield from (bytes.fromhex(row["bytes"]) for row in rows)
    for name in ("rfc5769.yaml", "rfc8489.yaml"):
        yield from (bytes.fromhex(row["bytes"]) for row in yaml.safe_load((data / name).read_text()))


def headers() -> Iterable[bytes]:
    for rows in yaml.safe_load((TESTS / "turn" / "data" / "proxied.yaml").read_text()).values():
        yield from (bytes.fromhex(row["bytes"]) for row in rows)


def some_notices() -> Iterable[bytes]:
    said = [notice for notices in core.NOTICES for notice in notices]
    yield pack_notification(Notification(b"a server", 1, tuple(said)))
    yield from (pack_notification(Notification(b"a server", 1, (notice,))) for notice in said)


def configurations() -> Iterable[bytes]:
    rows = yaml.safe_load((TESTS / "data" / "bad_configs.yaml").read_text())
    yield from (row["text"].encode() for row in rows)
    yield (TESTS.parent / "config.example.yaml").read_bytes()  # the longest: every key with its sentence


TARGETS: dict[str, Target] = {
    "stun": Target(wire.messages, 1500, frames),
    "attributes": Target(wire.attributes, 600),
    "classic": Target(wire.classic, 200, frames),
    "stream": Target(wire.stream, 4000, frames),
    "proxied": Target(wire.proxied, 300, headers),
    "notices": Target(wire.notices, 1200, some_notices),
    "core": Target(core.core, 400),
    "allocations": Target(kept.allocations, 600, kept.some_allocations),
    "checks": Target(gate.checks, 1300, gate.recorded_checks),
    "dtls": Target(gate.dtls, 1500, gate.recorded_flights),
    "media": Target(gate.media, 300, gate.some_media),
    "sessions": Target(gate.sessions, 400),
    "messages": Target(texts.messages, 4000),
    "descriptions": Target(texts.descriptions, 4000),
    "configuration": Target(texts.configuration, 32_000, configurations),
}


def seeds(name: str) -> list[bytes]:
    """The corpus that is kept, an input a line in hexadecimal digits, and the known cases."""
    kept = (HERE / "corpus" / f"{name}.txt").read_text().split()
    return [*map(bytes.fromhex, kept), *TARGETS[name].known()]
