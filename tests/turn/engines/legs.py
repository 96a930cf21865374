"""The forwarding rule without sockets: legs are lists."""

from __future__ import annotations

from turn.engines.framing import HEADROOM, LARGEST, TAILROOM
from turn.engines.table import Lane, Table
from turn.engines.transmit import Outlet
from turn.flows import Address, Flow, Rule


class Legs:
    """A table whose lanes send into lists."""

    def __init__(self) -> None:
        self.table = Table()
        self.sent: dict[Address, list[bytes]] = {}
        self.view = memoryview(bytearray(HEADROOM + LARGEST + TAILROOM))

    def add(self, flow: Flow, rule: Rule = Rule()) -> Lane:  # noqa: B008
        lane = self.table.add(flow, rule)
        lane.outlet = self.leg(flow.peer)
        lane.client.outlet = self.leg(flow.client)
        return lane

    def leg(self, there: Address) -> Outlet:
        sent = self.sent.setdefault(there, [])
        return Outlet(lambda data: sent.append(bytes(data)))

    def from_client(self, lane: Lane, frame: bytes) -> bool:
        self.view[HEADROOM : HEADROOM + len(frame)] = frame
        return lane.client.carry(self.view, HEADROOM, len(frame))

    def from_peer(self, lane: Lane, data: bytes) -> bool:
        self.view[HEADROOM : HEADROOM + len(data)] = data
        return lane.carry_in(self.view, HEADROOM, len(data))
