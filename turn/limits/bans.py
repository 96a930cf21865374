"""Networks whose clients are refused for a while. The server of the page says which, and says it again.

It names each network by a tag, which is made with a key that server and relay share. So neither the network
between them nor a file of the relay holds a banned address.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_BANS = 4096  # of one key: bounds memory; then no more are taken, and the oldest stay
MAX_KEYS = 4  # with so many bans: a secret and those before it
LIFTED_SECONDS = 120.0  # in which what was known before a ban was lifted does not bring it back
TAG_BYTES = 12
KEY_NAME_BYTES = 4
PURGE_SECONDS = 10.0

BanKind = tuple[bytes, int, int]  # the key's name, the bytes of an address, the bits of the prefix


class BannedNetwork(NamedTuple):
    """The key that made the tag; the bytes of an address of this family; the bits of the prefix; the tag."""

    key_name: bytes
    size: int
    prefix: int
    tag: bytes


class BanKey:
    """A key for tags; it comes from the one that signs what a server says."""

    def __init__(self, server_key: bytes) -> None:
        self._key = hmac.digest(server_key, b"the tags of banned networks", hashlib.sha256)
        self.name = hashlib.sha256(self._key).digest()[:KEY_NAME_BYTES]

    def network(self, ip: bytes, prefix: int) -> BannedNetwork:
        """The network of this address with this prefix."""
        shift = 8 * len(ip) - prefix
        bits = (int.from_bytes(ip) >> shift).to_bytes(len(ip))
        tag = hmac.digest(self._key, bytes((len(ip), prefix)) + bits, hashlib.sha256)[:TAG_BYTES]
        return BannedNetwork(self.name, len(ip), prefix, tag)


class BannedNetworks:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._keys: dict[bytes, BanKey] = {}
        self._ends: dict[BanKind, dict[bytes, float]] = {}  # by what networks have in common, then by tag
        self._lifted: dict[BannedNetwork, float] = {}
        self._purged = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._ends.values()))

    def set_keys(self, server_keys: Iterable[bytes]) -> None:
        """Take bans under these keys. A key that is used no more stays for the bans in force under it: they
        hold until they are told under the new one."""
        used = {name for name, _, _ in self._ends}
        kept = {name: key for name, key in self._keys.items() if name in used}
        self._keys = kept | {key.name: key for key in map(BanKey, server_keys)}

    def ban(self, network: BannedNetwork, end: float, now: float, *, merge: bool = False) -> bool:
        """Ban until `end`, or with `merge` at least so long. Whether it is new, so that clients of it may be
        here."""
        self._purge(now)
        ends = self._ends.get(network[:3], {})
        known = ends.get(network.tag, now) > now
        if not known and (self._number(network.key_name) >= MAX_BANS or len(self) >= MAX_KEYS * MAX_BANS):
            return False
        ends[network.tag] = max(end, ends.get(network.tag, end)) if merge else end
        self._ends[network[:3]] = ends
        self._lifted.pop(network, None)
        return not known

    def _number(self, key_name: bytes) -> int:
        return sum(len(ends) for (name, _, _), ends in self._ends.items() if name == key_name)

    def was_lifted(self, network: BannedNetwork, now: float) -> bool:
        return self._lifted.get(network, now) > now

    def lift(self, network: BannedNetwork, now: float) -> None:
        known = self._ends.get(network[:3], {}).pop(network.tag, None)
        if known is not None and len(self._lifted) < MAX_BANS:
            self._lifted[network] = now + LIFTED_SECONDS

    def covers(self, ip: bytes, now: float) -> bool:
        """Whether a client at this address is refused."""
        for (name, size, prefix), ends in self._ends.items():
            key = self._keys.get(name) if ends and size == len(ip) else None
            if key is not None and ends.get(key.network(ip, prefix).tag, now) > now:
                return True
        return False

    def living(self, now: float) -> Iterator[tuple[BannedNetwork, float]]:
        """Each ban in force, and its end."""
        for kind, ends in self._ends.items():
            yield from ((BannedNetwork(*kind, tag), end) for tag, end in ends.items() if end > now)

    def _purge(self, now: float) -> None:
        """Forget what is over; now and then only, because it looks at everything."""
        if now - self._purged < PURGE_SECONDS:
            return
        self._purged = now
        for kind, ends in list(self._ends.items()):
            self._ends[kind] = {tag: end for tag, end in ends.items() if end > now}
            if not self._ends[kind]:
                del self._ends[kind]
        self._lifted = {network: end for network, end in self._lifted.items() if end > now}
