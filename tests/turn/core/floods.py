"""What strangers send in floods."""

from __future__ import annotations

from tests.turn.network import PEER, TYPES, compose
from turn.wire.attributes import NONCE, REALM, USERNAME

CREDENTIALS = ((USERNAME, "alice"), (REALM, "call"), (NONCE, b"n" * 16))
FLOODS = {
    "Binding": compose(TYPES["binding"]),
    "Binding with attributes": compose(TYPES["binding"], [(0x8022, b"x"), (0x7FFF, b"")], fingerprint=True),
    "Allocate without credentials": compose(TYPES["allocate"], [(0x0019, 17)]),
    "Allocate with a forged signature": compose(
        TYPES["allocate"], [(0x0019, 17), *CREDENTIALS], key=b"forged"
    ),
    "Refresh": compose(TYPES["refresh"], [(0x000D, 600), *CREDENTIALS], key=b"forged"),
    "two bytes": b"\0\1",
    "channel data": bytes.fromhex("4000 0001 68000000"),
    "Send": compose(TYPES["send"], [(0x0012, PEER), (0x0013, b"x")]),
}
