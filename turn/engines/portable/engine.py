"""The engine that runs everywhere, in Python alone: two connected sockets per flow, read in a loop.

A listener's socket is shared by all its clients. A client with a linked flow gets a socket of its own, at
the listener's address and connected to the client. A linked flow gets another one, its leg: at the relayed
address and connected to the peer. Then the kernel finds the right socket, refuses other sources, and needs no
address to send to. What is left per packet is one read, four bytes, one write. Where the system has no more
sockets, or a listener or a client has reached its limit, the shared socket serves, with a look-up per packet.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from socket import socket
from ssl import SSLContext

from host.tls import BadCertificate, server_context
from turn.engines import Above, Bind, CannotListen, Streams
from turn.engines.framing import HEADROOM, TAILROOM
from turn.engines.loop import icmp, sockets
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.trusted_proxies import TrustedProxies
from turn.engines.table import Lane, Table
from turn.engines.tcp.acceptor import Acceptor
from turn.engines.tcp.connection_limits import ConnectionLimits
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.engines.tcp.unix_acceptor import UNIX_LISTENER, UnixAcceptor
from turn.engines.transmit import Outlet, push
from turn.engines.udp.listener import UdpListener
from turn.engines.udp.peer_sockets import ConnectedSocket, RelayedSocket
from turn.engines.udp.proxied_listener import ProxiedListener
from turn.flows import Address, Flow, Packet, Rule, Traffic
from turn.policies import StrangerLimits

log = logging.getLogger("calln.relay")

NOTHING = Traffic()

# Connected sockets of one client's flows. The rest use the socket of the relayed address, so that there are
# descriptors for all clients.
MAX_LEGS = 8


class Portable:
    """See turn.engines.Engine for the methods."""

    name = "portable"
    reason = ""

    def __init__(
        self,
        listen: Sequence[Address],
        streams: Streams = Streams(),  # noqa: B008  (frozen)
        bind: Bind = sockets.open_listener,
        *,
        exclusive: bool = True,
    ) -> None:
        """Raises CannotListen and BadCertificate."""
        self.exclusive = exclusive
        self.has_stopped = False
        self.epoll = Epoll()
        self.epoll.ticks.append(self.epoll.start_sampling)
        self.table = Table(self.epoll.samples)
        self.limits = ConnectionLimits(streams)
        self.handshakes = HandshakeQueue(self.epoll)
        self.proxies = TrustedProxies(streams.is_proxy) if streams.is_proxy else None
        self.listeners: dict[Address, UdpListener | Acceptor] = {}
        self.relays: dict[Address, RelayedSocket] = {}
        self.legs: dict[Flow, ConnectedSocket] = {}
        try:
            for address in listen:
                self.listeners[address] = self.add_listener(address, streams, bind)
        except (CannotListen, BadCertificate):
            self.close_all()
            raise
        warn_of_small_buffers(
            listener.sock for address, listener in self.listeners.items() if address.transport == "udp"
        )

    def add_listener(self, address: Address, streams: Streams, bind: Bind) -> UdpListener | Acceptor:
        """Raises CannotListen and BadCertificate."""
        context = None if address == UNIX_LISTENER else tls_context(address, streams)
        try:
            sock = bind(address)
        except OSError as error:
            raise CannotListen(address, error) from None
        if address == UNIX_LISTENER:
            return UnixAcceptor(self.epoll, sock, self.limits, self.handshakes)
        if address.transport != "udp":
            return Acceptor(self.epoll, address, sock, self.limits, self.handshakes, context, self.proxies)
        if self.proxies is not None:
            return ProxiedListener(self.epoll, address, sock, self.proxies, exclusive=self.exclusive)
        return UdpListener(self.epoll, address, sock, exclusive=self.exclusive)

    def reconfigure(self, streams: Streams) -> None:
        context = server_context(streams.certificate) if streams.certificate else None
        self.limits.streams = streams
        for listener in self.listeners.values():
            if isinstance(listener, Acceptor) and listener.context is not None:
                listener.context = context or listener.context

    async def run(self, above: Above) -> None:
        try:
            await self.epoll.run(above)
        finally:
            self.close_all()

    def close_all(self) -> None:
        """Close every socket."""
        for relay in list(self.relays):
            self.close(relay)
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()
        self.epoll.ticks.clear()
        self.epoll.close()

    def open(self, relay: Address) -> bool:
        if relay in self.relays:
            return False
        try:
            self.relays[relay] = RelayedSocket(self.epoll, self.table, relay)
        except OSError:  # the address is taken, or the system has no socket left
            return False
        return True

    def close(self, relay: Address) -> None:
        relayed = self.relays.pop(relay, None)
        if relayed is None:
            return
        for lane in list(self.table.by_relay.get(relay, {}).values()):
            self.unlink(lane.flow)
        self.epoll.close_socket(relayed.sock)

    def link(self, flow: Flow, rule: Rule) -> None:
        lane = self.table.lanes.get(flow)
        if lane is not None:
            self.table.set_rule(lane, rule)
            if flow in self.legs:
                self.legs[flow].carry = lane.carry_in  # perhaps another class of lane
            return
        relayed, listener = self.relays.get(flow.relay), self.listener_of(flow.listener)
        if relayed is None or listener is None:
            return
        for rival in self.table.conflicting(flow):
            self.unlink(rival)
        is_new = (flow.client, flow.listener) not in self.table.clients
        lane = self.table.add(flow, rule)
        lane.outlet = self.first_outlet(lane, relayed)
        if is_new:
            listener.link_client(lane.client)

    def first_outlet(self, lane: Lane, relayed: RelayedSocket) -> Outlet:
        """What sends a new lane's data."""
        return self.open_leg(lane, relayed)

    def open_leg(self, lane: Lane, relayed: RelayedSocket) -> Outlet:
        """What sends a lane's data to its peer: a socket, unless the peer is a relayed address of ours."""
        relay, peer = lane.flow.relay, lane.flow.peer
        if peer in self.relays:
            return Outlet(lambda data: self.deliver_inside(Packet(relay, peer, bytes(data))))
        if len(lane.client.channels) + len(lane.client.peers) > MAX_LEGS:
            return relayed.sender_to(peer)
        try:
            leg = ConnectedSocket(self.epoll, sockets.open_connected(relay, peer), relay, peer)
            leg.start_reading(lane.carry_in, relayed.receive)
        except OSError:
            return relayed.sender_to(peer)
        icmp.report_errors(self.epoll, leg.sock, relay)
        self.legs[lane.flow] = leg
        return Sender(leg.sock, self.epoll.batch)

    def unlink(self, flow: Flow) -> Traffic:
        lane = self.table.remove(flow)
        if lane is None:
            return NOTHING
        leg = self.legs.pop(flow, None)
        if leg is not None:
            leg.close()
        if (flow.client, flow.listener) not in self.table.clients:
            listener = self.listener_of(flow.listener)
            assert listener is not None, "the flow was linked through it"
            listener.unlink_client(lane.client)
        return lane.traffic()

    def pin(self, client: Address, listener: Address) -> None:
        found = self.listener_of(listener)
        if found is not None:
            found.pin_client((client, listener))

    def unpin(self, client: Address, listener: Address) -> None:
        found = self.listener_of(listener)
        if found is not None:
            found.unpin_client((client, listener))

    def stop_listening(self) -> None:
        if not self.has_stopped:
            self.has_stopped = True
            for listener in self.listeners.values():
                listener.stop_new_clients()

    def send(self, batch: Sequence[Packet]) -> None:
        for packet in batch:
            relayed = self.relays.get(packet.local)
            if relayed is None:
                self.send_to_client(packet)
            elif packet.remote in self.relays:
                self.deliver_inside(packet)
            elif packet.dont_fragment:
                self.send_unfragmented(relayed, packet)
            else:
                push(relayed.sender_to(packet.remote).put, memoryview(packet.data))

    def send_unfragmented(self, relayed: RelayedSocket, packet: Packet) -> None:
        """With Don't Fragment."""
        try:
            sockets.send_unfragmented(relayed.sock, packet.data, packet.remote)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                with suppress(OSError):
                    self.epoll.report_failure_later(icmp.too_large(packet.local, packet.remote))

    def send_to_client(self, packet: Packet) -> None:
        client = self.table.clients.get((packet.remote, packet.local))
        listener = self.listener_of(packet.local)
        if client is not None:
            push(client.outlet.put, memoryview(packet.data))
        elif listener is not None:
            push(listener.sender(packet.local, packet.remote).put, memoryview(packet.data))

    def deliver_inside(self, packet: Packet) -> None:
        """From one relayed address of ours to another: by its linked flow, or punted as from a peer."""
        lane = self.table.between(packet.remote, packet.local)
        if lane is not None:
            view = memoryview(bytearray(HEADROOM) + packet.data + bytes(TAILROOM))
            if lane.carry_in(view, HEADROOM, len(packet.data)):
                return
        if packet.remote in self.relays:
            self.epoll.punt_later(Packet(packet.remote, packet.local, packet.data))

    def listener_of(self, local: Address) -> UdpListener | Acceptor | None:
        """The listener that serves a concrete address of ours."""
        found = self.listeners.get(local) or self.listeners.get(local._replace(ip=bytes(len(local.ip))))
        return found or (self.listeners.get(UNIX_LISTENER) if local.transport == "tls" else None)

    def traffic(self) -> Mapping[Flow, Traffic]:
        return self.table

    def rode(self) -> int:
        return 0

    def answer_bindings(self, limits: StrangerLimits | None) -> None:
        """All are punted."""

    def answered(self) -> Mapping[str, int]:
        return {}

    def refused_connections(self) -> Mapping[str, int]:
        return self.limits.refused


def tls_context(address: Address, streams: Streams) -> SSLContext | None:
    """For a listener at this address, if it speaks TLS. Raises BadCertificate."""
    if address.transport != "tls" and not (address.transport == "tcp" and streams.detect_tls):
        return None
    if streams.certificate is None:
        raise BadCertificate(f"{address}: TLS needs a certificate")
    return server_context(streams.certificate)


def warn_of_small_buffers(listening: Iterable[socket]) -> None:
    """At the start: part of a burst of all clients together is lost where it does not fit."""
    got = min((sockets.receive_buffer(sock) for sock in listening), default=sockets.LISTENER_BUFFER)
    if got < sockets.LISTENER_BUFFER:
        wanted = sockets.LISTENER_BUFFER
        log.warning(
            "receive buffers have %d bytes instead of %d, so bursts of packets may be lost: "
            "set the sysctl net.core.rmem_max to %d",
            *(got, wanted, wanted),
        )
