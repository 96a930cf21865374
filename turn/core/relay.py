"""The relay as decisions: a packet or a moment in, effects out; no clock, no socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from turn.core.effects import Effect
from turn.flows import Address, Packet
from turn.policies import Accounts, Keys, Limits, Peers, PeerTable


@dataclass(frozen=True)
class Settings:
    """What an operator decided, and what is known of the machine."""

    nonce_key: bytes  # random per start
    choose: Callable[[int], int]  # secrets.randbelow: relayed ports must not be guessable
    realm: str = "call"
    keys: Keys = field(default_factory=Accounts)
    peers: Peers = field(default_factory=PeerTable)
    limits: Limits = field(default_factory=Limits)
    ports: tuple[int, int] = (49152, 65535)  # inclusive
    relay_addresses: tuple[bytes, ...] = ()  # none: the one that the client reached
    externals: Mapping[bytes, bytes] = field(default_factory=dict)  # local -> public, one to one
    listeners: frozenset[Address] = frozenset()  # wildcards spelt out: every own address at that port
    own: frozenset[bytes] = frozenset()  # every address of this machine


class Relay:
    """Packets and time in, effects out. `now` is monotonic seconds, `wall` seconds since 1970."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()

    def receive(self, packet: Packet, now: float, wall: float) -> list[Effect]:
        raise NotImplementedError

    def opened(self, relay: Address, taken: bool, now: float) -> list[Effect]:
        """The answer to Open: True, it is ours now."""
        raise NotImplementedError

    def expire(self, now: float) -> list[Effect]:
        raise NotImplementedError

    def next_expiry(self) -> float | None:
        raise NotImplementedError
