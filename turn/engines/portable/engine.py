"""The engine that runs everywhere: a pair of connected sockets per flow, drained in a loop.

A listener is shared (SO_REUSEPORT) and meets strangers. A client with a linked flow gets a twin: a socket
at the listener's address, connected to that client; a linked flow gets a leg: a socket at the relayed
address, connected to its peer. The kernel then finds the socket, refuses other sources and needs no address
to send to: what is left per packet is one read, four bytes, one write. Where the system has no more sockets,
a listener enough twins or a client enough legs, the shared one serves, with a look-up per packet.
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
from turn.engines.framing import ROOM, TAIL
from turn.engines.loop import icmp, sockets
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.trusted_proxies import Proxies
from turn.engines.table import Lane, Table
from turn.engines.tcp.acceptor import Door
from turn.engines.tcp.connection_limits import Tally
from turn.engines.tcp.handshake_queue import Turnstile
from turn.engines.tcp.unix_acceptor import INDOOR, Indoor
from turn.engines.transmit import Transmit, push
from turn.engines.udp.listener import Listener
from turn.engines.udp.peer_sockets import Joined, Relayed
from turn.engines.udp.proxied_listener import Fronted
from turn.flows import Address, Flow, Packet, Rule, Traffic

log = logging.getLogger("calln.relay")

MAX_LEGS = (
    8  # sockets of one client's flows; the rest share its relayed address: descriptors last for everybody
)


class Portable:
    """See turn.engines.Engine for the verbs."""

    name = "portable"

    def __init__(
        self,
        listen: Sequence[Address],
        streams: Streams = Streams(),  # noqa: B008  (frozen)
        bind: Bind = sockets.bound,
        *,
        alone: bool = True,
    ) -> None:
        """Raises CannotListen and BadCertificate."""
        self.alone = alone
        self.leaving = False
        self.epoll = Epoll()
        self.epoll.ticks.append(self.epoll.look)
        self.table = Table()
        self.tally = Tally(streams)
        self.turnstile = Turnstile(self.epoll)
        self.proxies = Proxies(streams.is_proxy) if streams.is_proxy else None
        self.listeners: dict[Address, Listener | Door] = {}
        self.relays: dict[Address, Relayed] = {}
        self.legs: dict[Flow, Joined] = {}
        try:
            for address in listen:
                self.listeners[address] = self.listen(address, streams, bind)
        except (CannotListen, BadCertificate):
            self.shut()
            raise
        warn_of_small_buffers(
            listener.sock for address, listener in self.listeners.items() if address.transport == "udp"
        )

    def listen(self, address: Address, streams: Streams, bind: Bind) -> Listener | Door:
        """Raises CannotListen and BadCertificate."""
        context = None if address == INDOOR else context_for(address, streams)
        try:
            sock = bind(address)
        except OSError as error:
            raise CannotListen(address, error) from None
        if address == INDOOR:
            return Indoor(self.epoll, sock, self.tally, self.turnstile)
        if address.transport != "udp":
            return Door(self.epoll, address, sock, self.tally, self.turnstile, context, self.proxies)
        if self.proxies is not None:
            return Fronted(self.epoll, address, sock, self.proxies, alone=self.alone)
        return Listener(self.epoll, address, sock, alone=self.alone)

    def adopt(self, streams: Streams) -> None:
        context = server_context(streams.certificate) if streams.certificate else None
        self.tally.streams = streams
        for listener in self.listeners.values():
            if isinstance(listener, Door) and listener.context is not None:
                listener.context = context or listener.context

    async def run(self, above: Above) -> None:
        try:
            await self.epoll.run(above)
        finally:
            self.shut()

    def shut(self) -> None:
        """Close every socket."""
        for relay in list(self.relays):
            self.close(relay)
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()
        self.epoll.crowded.clear()
        self.epoll.ticks.clear()
        self.epoll.close()

    def open(self, relay: Address) -> bool:
        if relay in self.relays:
            return False
        try:
            self.relays[relay] = Relayed(self.epoll, self.table, relay)
        except OSError:  # taken, or the system has no socket left for it
            return False
        return True

    def close(self, relay: Address) -> None:
        relayed = self.relays.pop(relay, None)
        if relayed is None:
            return
        for lane in list(self.table.through.get(relay, {}).values()):
            self.unlink(lane.flow)
        self.epoll.drop(relayed.sock)

    def link(self, flow: Flow, rule: Rule) -> None:
        lane = self.table.lanes.get(flow)
        if lane is not None:
            self.table.change(lane, rule)
            if flow in self.legs:
                self.legs[flow].take = lane.carry_in  # another kind of lane, perhaps
            return
        relayed, listener = self.relays.get(flow.relay), self.listener_of(flow.listener)
        if relayed is None or listener is None:
            return
        for rival in self.table.rivals(flow):
            self.unlink(rival)
        is_new = (flow.client, flow.listener) not in self.table.clients
        lane = self.table.add(flow, rule)
        lane.send = self.leg(lane, relayed)
        if is_new:
            listener.greet(lane.client)

    def leg(self, lane: Lane, relayed: Relayed) -> Transmit:
        """What carries a lane's data to its peer: inside where the peer is ours, else a socket of its own."""
        relay, peer = lane.flow.relay, lane.flow.peer
        if peer in self.relays:
            return lambda data: self.hand_over(Packet(relay, peer, bytes(data)))
        if len(lane.client.channels) + len(lane.client.peers) > MAX_LEGS:
            return relayed.sender(peer)
        try:
            leg = Joined(self.epoll, sockets.joined(relay, peer), relay, peer)
        except OSError:
            return relayed.sender(peer)
        leg.start(lane.carry_in, relayed.receive)
        icmp.hear(self.epoll, leg.sock, relay)
        self.legs[lane.flow] = leg
        return Sender(leg.sock, self.epoll.gather)

    def unlink(self, flow: Flow) -> None:
        lane = self.table.remove(flow)
        if lane is None:
            return
        leg = self.legs.pop(flow, None)
        if leg is not None:
            leg.close()
        if (flow.client, flow.listener) not in self.table.clients:
            listener = self.listener_of(flow.listener)
            assert listener is not None, "the flow was linked through it"
            listener.part(lane.client)

    def keep(self, client: Address, listener: Address) -> None:
        found = self.listener_of(listener)
        if found is not None:
            found.keep((client, listener))

    def release(self, client: Address, listener: Address) -> None:
        found = self.listener_of(listener)
        if found is not None:
            found.release((client, listener))

    def leave(self) -> None:
        leaving, self.leaving = not self.leaving, True
        for listener in self.listeners.values() if leaving else ():
            listener.withdraw()

    def send(self, batch: Sequence[Packet]) -> None:
        for packet in batch:
            relayed = self.relays.get(packet.here)
            if relayed is None:
                self.send_to_client(packet)
            elif packet.there in self.relays:
                self.hand_over(packet)
            elif packet.dont_fragment:
                self.send_whole(relayed, packet)
            else:
                push(relayed.sender(packet.there), memoryview(packet.data))

    def send_whole(self, relayed: Relayed, packet: Packet) -> None:
        """In one piece, or not at all."""
        try:
            sockets.send_whole(relayed.sock, packet.data, packet.there)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                with suppress(OSError):
                    self.epoll.fail_later(icmp.too_large(packet.here, packet.there))

    def send_to_client(self, packet: Packet) -> None:
        client = self.table.clients.get((packet.there, packet.here))
        listener = self.listener_of(packet.here)
        if client is not None:
            push(client.send, memoryview(packet.data))
        elif listener is not None:
            push(listener.sender(packet.here, packet.there), memoryview(packet.data))

    def hand_over(self, packet: Packet) -> None:
        """From one relayed address of ours to another: to the client behind it, or up as from a peer."""
        lane = self.table.between(packet.there, packet.here)
        if lane is not None:
            view = memoryview(bytearray(ROOM) + packet.data + bytes(TAIL))
            if lane.carry_in(view, ROOM, len(packet.data)):
                return
        if packet.there in self.relays:
            self.epoll.up_later(Packet(packet.there, packet.here, packet.data))

    def listener_of(self, here: Address) -> Listener | Door | None:
        """The listener that a concrete address of ours belongs to."""
        found = self.listeners.get(here) or self.listeners.get(here._replace(ip=bytes(len(here.ip))))
        return found or (self.listeners.get(INDOOR) if here.transport == "tls" else None)

    def traffic(self) -> Mapping[Flow, Traffic]:
        return self.table

    def refused(self) -> Mapping[str, int]:
        return self.tally.refused


def context_for(address: Address, streams: Streams) -> SSLContext | None:
    """What TLS is spoken with at this address, if it is. Raises BadCertificate."""
    if address.transport != "tls" and not (address.transport == "tcp" and streams.detect_tls):
        return None
    if streams.certificate is None:
        raise BadCertificate(f"{address}: TLS needs a certificate")
    return server_context(streams.certificate)


def warn_of_small_buffers(listening: Iterable[socket]) -> None:
    """Once: a burst of all clients together is lost where it does not fit."""
    got = min((sockets.granted(sock) for sock in listening), default=sockets.LISTENER_BUFFER)
    if got < sockets.LISTENER_BUFFER:
        wanted = sockets.LISTENER_BUFFER
        log.warning("receive buffers of %d bytes instead of %d: raise net.core.rmem_max", got, wanted)
