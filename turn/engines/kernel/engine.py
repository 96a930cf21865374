"""The engine whose calls ride in the kernel: the portable one, and a program of ours before its sockets.

Every flow is linked in the portable engine first. Where the program can carry it, an entry in the kernel then
takes its packets before any socket sees them. What the program does not know, or cannot do, comes up to the
sockets as ever, so a flow without an entry is slower and nothing else.

What strangers ask most is answered by the program, too (turn/engines/kernel/strangers.py). Packets that ride,
and these answers, pass no firewall rules (netfilter).
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic, monotonic_ns

from turn.engines import Bind, Streams
from turn.engines.kernel.layout import CONFIG, SECOND
from turn.engines.kernel.maps import SAMPLES_SIZE, CannotRide
from turn.engines.kernel.pins import Pinned
from turn.engines.kernel.program import Program
from turn.engines.kernel.riders import Riders
from turn.engines.kernel.routes import RoutingTable
from turn.engines.kernel.samples import SampleRing
from turn.engines.kernel.strangers import Strangers
from turn.engines.loop.sockets import open_listener
from turn.engines.portable.engine import Portable
from turn.engines.table import Lane, Table
from turn.engines.transmit import Outlet
from turn.engines.udp.peer_sockets import RelayedSocket
from turn.flows import Address, Flow, Rule, Traffic
from turn.policies import StrangerLimits
from turn.wire.srtp import INWARD

SLOTS = 1 << 15  # directions of flows that ride: 16,000 flows, 15 MB
LEASE = 60  # seconds that flows go on without a sign of life from this process
SAMPLES_AT_ONCE = 512  # where more wait, calls would wait for them
SAMPLES_PAUSE = 0.05  # seconds between two looks at samples, where many come
CHANGES_PAUSE = 1.0  # and between two looks at routes
SETTLE = 2.0  # seconds for the calls of a process that died to be linked again; meanwhile they ride


class Kernel(Portable):
    """See turn.engines.Engine for the methods."""

    name = "kernel"

    def __init__(
        self,
        listen: Sequence[Address],
        streams: Streams = Streams(),  # noqa: B008  (frozen)
        bind: Bind = open_listener,
        *,
        exclusive: bool = True,
        slots: int = SLOTS,
        lease: int = LEASE,
        pins: Path | None = None,
    ) -> None:
        """With `pins`, the program is that which a unit of root's has loaded (turn.engines.kernel.pins).
        Raises CannotListen, BadCertificate and CannotRide."""
        self.lease = lease
        # Before anything is bound, so that another engine can be made instead.
        self.program = Program(slots) if pins is None else Pinned(pins)
        self.routes = RoutingTable()
        self.ring = SampleRing(self.program.samples, SAMPLES_SIZE)
        self.pause: asyncio.TimerHandle | None = None
        self.changed_at = 0.0
        self.has_changes = False
        self.settle_at = monotonic() + SETTLE
        self.strangers: Strangers | None = None
        try:
            self.attach()
        except CannotRide:
            self.let_go()
            raise
        super().__init__(listen, streams, bind, exclusive=exclusive)
        self.riders = Riders(self.program, self.routes, self.relays)
        self.strangers = Strangers(self.program, self.riders, listen)
        self.both = KernelTraffic(self.table, self.riders)
        self.epoll.register(self.ring, self.read_samples)
        self.epoll.register(self.routes.changes, self.on_change)
        self.epoll.ticks.append(self.tick)
        self.tick(monotonic())

    def tick(self, now: float) -> None:
        """Promise to live, and look at what has changed since the last look."""
        hop_limits = default_hop_limits()
        CONFIG.pack_into(self.program.config, 0, monotonic_ns() + self.lease * SECOND, *hop_limits)
        if now >= self.settle_at:
            self.riders.settle()
        if self.has_changes and now >= self.changed_at + CHANGES_PAUSE:
            self.look_again()

    def attach(self) -> None:
        """To each interface that the program can serve, and to no other. Raises CannotRide."""
        self.program.learn_addresses()
        for interface in self.program.attached.keys() - self.routes.interfaces.keys():
            self.program.detach(interface)
        for interface in self.routes.interfaces.keys() - self.program.attached.keys():
            self.program.attach(interface)

    def on_change(self, _most: int) -> None:
        """Links, addresses or routes have changed."""
        self.routes.forget_changes()
        self.has_changes = True
        self.tick(monotonic())

    def look_again(self) -> None:
        """All flows go up until it is known where their packets leave now."""
        self.has_changes, self.changed_at = False, monotonic()
        self.riders.settle()
        for flow in self.riders.riders:
            self.riders.withdraw(flow)
        with suppress(CannotRide):  # to an interface that has gone again meanwhile
            self.attach()
        for rider in self.riders.riders.values():
            self.riders.find_ways(rider)
        for lane in self.table.lanes.values():
            self.riders.update(lane)
            self.complete(lane)

    def read_samples(self, _most: int) -> None:
        """The next ones may wait a little, so that many cost one wake-up."""
        for tag, stream, packet in islice(self.ring.read(), SAMPLES_AT_ONCE):
            owner = self.riders.shown_by.get(tag)
            if owner is not None:
                flow, inward = owner
                self.epoll.samples.append((flow, stream | INWARD if inward else stream, packet))
        self.epoll.modify(self.ring, 0)
        self.pause = asyncio.get_running_loop().call_later(
            SAMPLES_PAUSE, self.epoll.modify, self.ring, select.EPOLLIN
        )

    def close_all(self) -> None:
        if self.strangers is not None:
            self.strangers.leave()
        if self.relays:
            self.riders.leave()
        for interface in list(self.program.attached):
            self.program.detach(interface)
        if self.pause is not None:
            self.pause.cancel()
        super().close_all()
        self.let_go()

    def let_go(self) -> None:
        self.ring.close()
        self.routes.close()
        self.program.close()

    def link(self, flow: Flow, rule: Rule) -> None:
        super().link(flow, rule)
        lane = self.table.lanes.get(flow)
        if (
            lane is not None and self.proxies is None
        ):  # a proxy's clients do not send from their own addresses
            self.riders.update(lane)
            if lane.reverse is not None:
                self.riders.update(lane.reverse)
        if lane is not None:
            self.complete(lane)

    def first_outlet(self, lane: Lane, relayed: RelayedSocket) -> Outlet:
        """What rides needs no leg; what else such a flow carries leaves by the relayed address's socket."""
        peer = lane.flow.peer
        return super().first_outlet(lane, relayed) if peer in self.relays else relayed.sender_to(peer)

    def complete(self, lane: Lane) -> None:
        """Open a leg where packets that the lane carries do not ride."""
        flow = lane.flow
        if flow not in self.legs and flow.peer not in self.relays and not self.riders.carries(lane):
            lane.outlet = self.open_leg(lane, self.relays[flow.relay])

    def unlink(self, flow: Flow) -> Traffic:
        lane = self.table.lanes.get(flow)
        reverse = lane.reverse if lane else None
        for one in (flow, *([reverse.flow] if reverse else [])):
            self.riders.withdraw(one)
        below = super().unlink(flow)
        if reverse is not None and reverse.flow in self.table.lanes and self.proxies is None:
            self.riders.update(reverse)
        return total(below, self.riders.remove(flow))

    def traffic(self) -> Mapping[Flow, Traffic]:
        return self.both

    def rode(self) -> int:
        return self.riders.rode()

    def answer_bindings(self, limits: StrangerLimits | None) -> None:
        if self.strangers is not None and self.proxies is None and not self.has_stopped:
            self.strangers.serve(limits)

    def answered(self) -> Mapping[str, int]:
        return self.strangers.counts() if self.strangers is not None else {}

    def stop_listening(self) -> None:
        self.answer_bindings(None)
        super().stop_listening()


class KernelTraffic(Mapping[Flow, Traffic]):
    """What each linked flow has carried, in the kernel and through sockets."""

    def __init__(self, table: Table, riders: Riders) -> None:
        self.table = table
        self.riders = riders

    def __getitem__(self, flow: Flow) -> Traffic:
        return total(self.table[flow], self.riders.traffic(flow))

    def __iter__(self) -> Iterator[Flow]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


def total(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(*map(sum, zip(one, other, strict=True)))


def default_hop_limits() -> tuple[int, int]:
    """What sockets of ours have: TTL of IPv4, hop limit of IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ttl = sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            return ttl, sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    except OSError:  # a machine without IPv6
        return ttl, ttl
