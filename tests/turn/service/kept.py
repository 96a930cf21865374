"""Allocations that a dead process left, made of chance, and where its file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from host.memory_folder import memory_folder
from turn.core.allocations import Channel
from turn.core.relay import KeptAllocation
from turn.flows import Address
from turn.gate.kept import KeptPair
from turn.gate.sessions import KeptSession
from turn.service.allocation_file import name_of_files

IPS = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
PORTS = st.integers(0, 65535)
TIMES = st.floats(allow_nan=False)
ADDRESSES = st.builds(Address, IPS, PORTS, st.sampled_from(("udp", "tcp", "tls")))
STREAMS = st.lists(st.integers(0, (1 << 34) - 1), max_size=24).map(tuple)
BOTH = st.tuples(TIMES, TIMES)
UFRAGS = st.tuples(st.binary(max_size=40), st.binary(max_size=40)).map(lambda pair: tuple(sorted(pair)))
SESSIONS: st.SearchStrategy[KeptSession] = st.builds(
    KeptSession, UFRAGS, st.booleans(), st.booleans(), st.booleans(), st.none() | st.booleans(), STREAMS
)
PAIRS = st.builds(KeptPair, ADDRESSES, SESSIONS, st.integers(0, 1), BOTH, BOTH, STREAMS)
CHANNELS = st.tuples(PORTS, st.builds(Channel, ADDRESSES, TIMES))
PERMISSIONS = st.lists(st.tuples(IPS, TIMES), max_size=12).map(lambda found: sorted(found, key=latest_first))
ALLOCATIONS = st.builds(
    KeptAllocation,
    *(ADDRESSES, ADDRESSES, ADDRESSES),
    username=st.text(max_size=60),
    user=st.text(max_size=30),
    key=st.binary(max_size=32),
    charged_ip=IPS,
    transaction=st.binary(min_size=12, max_size=12),
    ends=TIMES,
    algorithm=st.binary(max_size=4),
    answer=st.binary(max_size=200),
    wants_icmp=st.booleans(),
    channels=st.lists(CHANNELS, max_size=8).map(tuple),
    pairs=st.lists(PAIRS, max_size=3).map(tuple),
    permissions=PERMISSIONS.map(tuple),
    sent_to=st.lists(ADDRESSES, max_size=8).map(tuple),
)


def latest_first(permission: tuple[bytes, float]) -> float:
    return -permission[1]


def allocation(number: int = 0, **changes: Any) -> KeptAllocation:
    """One of many, each with a relayed address of its own."""
    given: dict[str, Any] = {
        "client": Address.of("192.0.2.66", 40000 + number),
        "listener": Address.of("127.0.0.1", 3478),
        "relay": Address.of("127.0.0.1", 21000 + number),
        "username": "alice",
        "user": "alice",
        "key": b"k" * 16,
        "charged_ip": b"\xc0\0\2\x42",
        "transaction": b"t" * 12,
        "ends": 600.0,
        **changes,
    }
    return KeptAllocation(**given)


def kept_files(state_dir: Path) -> list[Path]:
    """What processes with this folder keep."""
    return list(memory_folder().glob(f"{name_of_files(state_dir)}.*"))
