"""How fast one client may send and receive, including what an engine carries for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from turn.flows import Flow, Traffic
from turn.limits.buckets import Bucket
from turn.policies import Limits

LOOK_SECONDS = 0.1  # between two readings of an engine's counters: bounds the cost of a flood
NOTHING = Traffic()


class Pace:
    """What the core may carry for one client: what the engine leaves of the client's limits.

    An engine keeps the limits for what it carries. Here that is deducted, so that a client cannot use the
    limits twice, once through the engine and once through the core.
    """

    __slots__ = ("_bits", "_last", "_looked", "_packets", "_unlimited")

    def __init__(self, limits: Limits) -> None:
        self._unlimited = not (limits.packets_per_second or limits.bits_per_second)
        self._packets = Bucket(limits.packets_per_second, limits.packets_per_second)
        self._bits = Bucket(limits.bits_per_second, limits.bits_per_second)
        self._looked = float("-inf")
        self._last = (0, 0)  # packets and octets that the engine had carried at that time

    def spend(self, octets: int, now: float, flows: Iterable[Flow], carried: Mapping[Flow, Traffic]) -> bool:
        """Whether one packet may go on; `flows` are the client's."""
        if self._unlimited:
            return True
        if now - self._looked >= LOOK_SECONDS:
            self._look(now, flows, carried)
        return self._packets.spend(now) and self._bits.spend(now, 8 * octets)

    def _look(self, now: float, flows: Iterable[Flow], carried: Mapping[Flow, Traffic]) -> None:
        """Deduct what the engine has carried since the last look; after a long time, one second's share."""
        figures = [carried.get(flow, NOTHING) for flow in flows]
        packets = sum(one.packets_out + one.packets_in for one in figures)
        octets = sum(one.bytes_out + one.bytes_in for one in figures)
        seconds = max(1.0, now - self._looked)
        # It is less than before if a flow has ended.
        self._packets.deduct(now, max(0, packets - self._last[0]) / seconds)
        self._bits.deduct(now, 8 * max(0, octets - self._last[1]) / seconds)
        self._looked, self._last = now, (packets, octets)
