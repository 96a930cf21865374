"""Core and engine together: each effect of the core becomes a call of the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from host.attempts import Attempts
from host.logs import describe
from host.startup import Unavailable
from host.tls import BadCertificate
from turn.config.section import Turn
from turn.core.effects import Close, Effect, Link, Open, Pin, Send, Unlink, Unpin
from turn.core.relay import Relay, RelayNews, Settings
from turn.engines import Above, Engine, Failure
from turn.flows import Address, Flow, Packet, Sample
from turn.service.from_config import stream_settings
from turn.service.keeper import FORGETFUL, Keeper, NoKeeper
from turn.service.metrics import TrafficTotals
from turn.service.relayed_ports import ALONE, NoRelayedPorts, RelayedPorts

log = logging.getLogger("calln.relay")

AT_ONCE = 64  # clients that get a socket, or lose it, while packets wait
MISHAP_SECONDS = 60  # between two log lines about packets that no code expected: they come in floods


class Service:
    """A relay at work: it applies the core's effects and keeps the core's deadlines.

    It is the only part that calls both core and engine. All methods are called in the loop that runs `run`.

    Args:
        relay: the core; it decides.
        engine: moves the packets.
        ports: tells other processes which relayed ports are open here; `ALONE`: there are no others.
        keeper: keeps the allocations for the next process; `FORGETFUL`: they end with this one.
    """

    def __init__(
        self,
        relay: Relay,
        engine: Engine,
        ports: RelayedPorts | NoRelayedPorts = ALONE,
        keeper: Keeper | NoKeeper = FORGETFUL,
    ) -> None:
        self.relay = relay
        self.ports = ports
        self.keeper = keeper
        self.engine = engine
        self.timer: asyncio.TimerHandle | None = None
        self.totals = TrafficTotals(engine.traffic())
        relay.watch_traffic(engine.traffic())
        engine.answer_bindings(relay.stranger_limits())
        self.punted: Counter[tuple[str, int]] = Counter()  # by transport and bytes of the family's addresses
        self.mishaps = 0
        self.draining = False
        self.sharing = False
        self.quiet_until = 0.0
        self.marking = Attempts("telling other processes which relayed ports are open", log)
        self.on_news: Callable[[list[RelayNews]], object] = lambda news: None  # for the processes beside us
        self.appliers: Mapping[type[Effect], Callable[..., object]] = {
            Open: self.open_relay,
            Close: lambda effect: self.close_relay(effect.relay),
            Link: lambda effect: engine.link(effect.flow, effect.rule),
            Unlink: lambda effect: self.unlink_flow(effect.flow),
            Pin: lambda effect: self.pin_while_sharing(*effect),
            Unpin: lambda effect: engine.unpin(*effect),
        }

    async def run(self) -> None:
        """Move packets until cancelled; then every socket is closed."""
        await self.engine.run(
            Above(
                self.on_packet,
                self.on_lost,
                self.relay.has_allocation,
                self.on_failure,
                self.count_mishap,
                self.on_samples,
            )
        )

    def on_packet(self, packet: Packet) -> None:
        """Take a packet that no flow claims. It may hold anything: no packet ends the relay.

        Args:
            packet: as `Above.punt` gets it.
        """
        self.punted[packet.remote.transport, len(packet.local.ip)] += 1
        try:
            effects = self.relay.receive(packet, time.monotonic(), time.time())
            self.publish_news()
            self.apply(effects)
        except Exception as error:
            self.count_mishap(error)
        self.schedule_expiry()

    def on_samples(self, samples: Sequence[Sample]) -> None:
        """Look at packets that flows have carried.

        Args:
            samples: as `Above.inspect` gets them.
        """
        try:
            effects = self.relay.inspect(samples, time.monotonic())
            if effects:
                self.apply(effects)
        except Exception as error:
            self.count_mishap(error)

    def restore(self) -> None:
        """Go on with the calls of the process before, as far as this one keeps calls. Before any packet."""
        self.keeper.restore(self.apply)
        self.schedule_expiry()

    def publish_news(self) -> None:
        """Send to other processes what is new of sessions, or was told by a server, before the effects."""
        news = self.relay.news()
        if news:
            self.on_news(news)

    def on_lost(self, client: Address, listener: Address) -> None:
        """A client's connection has ended.

        Args:
            client: the client's address.
            listener: the address of ours that it was connected to.
        """
        try:
            self.apply(self.relay.client_lost(client, listener))
        except Exception as error:
            self.count_mishap(error)

    def on_failure(self, failure: Failure) -> None:
        """A packet to a peer did not arrive.

        Args:
            failure: which packet it was, and what the network said.
        """
        relay, peer, kind, code, mtu = failure
        try:
            self.apply(self.relay.icmp_error(relay, peer, kind, code, mtu.to_bytes(4), time.monotonic()))
        except Exception as error:
            self.count_mishap(error)

    def check_others(self) -> None:
        """Let the core notice relayed ports of other processes that have closed.

        To be called several times a second.
        """
        try:
            self.apply(self.relay.recheck(time.monotonic()))
        except Exception as error:
            self.count_mishap(error)

    def apply(self, effects: Sequence[Effect]) -> None:
        """Do what the core decided, in order; packets are sent last and together.

        Args:
            effects: what a method of the core returned.
        """
        self.keeper.save_changes()
        batch: list[Packet] = []
        for effect in effects:
            if isinstance(effect, Send):
                batch.append(effect.packet)
            else:
                self.appliers[type(effect)](effect)
        if batch:
            self.engine.send(batch)

    def open_relay(self, effect: Open) -> None:
        ours = self.engine.open(effect.relay)
        if ours:
            with self.marking.attempt():
                self.ports.mark_open(effect.relay)
        self.apply(self.relay.opened(effect.relay, ours, time.monotonic()))

    def close_relay(self, relay: Address) -> None:
        self.ports.mark_closed(relay)
        self.engine.close(relay)

    def unlink_flow(self, flow: Flow) -> None:
        self.totals.add_ended(flow, self.engine.unlink(flow))

    def reload_streams(self, turn: Turn) -> None:
        """Use the certificate and the limits of connections as they are now; existing connections go on.

        Args:
            turn: the relay's section of the file.

        Raises:
            Unavailable: the certificate cannot be used; nothing has changed.
        """
        try:
            self.engine.reconfigure(stream_settings(turn))
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None

    def reload(self, settings: Settings) -> None:
        """Go by other settings; what they no longer allow ends.

        Args:
            settings: as the core takes them.
        """
        self.apply(self.relay.reload(settings, time.monotonic()))
        self.engine.answer_bindings(self.relay.stranger_limits())
        self.schedule_expiry()

    def counts(self) -> Mapping[str, int]:
        """What core and engine have counted.

        Returns:
            The numbers by reason, as `Relay.counts` has them.
        """
        return Counter(self.relay.counts) + Counter(self.engine.answered())

    def connections_refused(self) -> Mapping[str, int]:
        """How many connections were refused.

        Returns:
            A live view: the count by the name of the limit that was met.
        """
        return self.engine.refused_connections()

    def drain(self, alternate: Address | None) -> None:
        """Take nobody new; allocations go on.

        Args:
            alternate: the relay that new clients are sent to; None: they are refused.

        See: RFC 8489 §10 (ALTERNATE-SERVER).
        """
        self.draining = True
        self.relay.drain(alternate)

    async def start_sharing(self) -> None:
        """Others listen at our listeners too, or soon will: clients with an allocation stay with us."""
        self.sharing = True
        for number, (client, listener) in enumerate(list(self.relay.clients())):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # packets must not wait until all are pinned
            if self.relay.has_allocation(client, listener):
                self.engine.pin(client, listener)

    async def stop_sharing(self) -> None:
        """Only we listen at our listeners again."""
        self.sharing = False
        for number, (client, listener) in enumerate(list(self.relay.clients())):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if not self.sharing:
                self.engine.unpin(client, listener)

    def pin_while_sharing(self, client: Address, listener: Address) -> None:
        if self.sharing:
            self.engine.pin(client, listener)

    def stop_listening(self) -> None:
        """Leave new clients to the other versions; pinned clients stay with us."""
        self.engine.stop_listening()

    def schedule_expiry(self) -> None:
        """Set the one timer to the core's next deadline; too early does no harm."""
        due = self.relay.next_expiry()
        if due is None or (self.timer is not None and self.timer.when() <= due):
            return
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_at(due, self.expire)

    def expire(self) -> None:
        self.timer = None
        try:
            self.apply(self.relay.expire(time.monotonic()))
        except Exception as error:
            self.count_mishap(error)
        self.schedule_expiry()

    def count_mishap(self, error: Exception) -> None:
        """Count an error that no code expected. The log names its place now and then, never the packet.

        Args:
            error: what was raised.
        """
        self.mishaps += 1
        now = time.monotonic()
        if now >= self.quiet_until:
            self.quiet_until = now + MISHAP_SECONDS
            log.error("a packet met %s (%d so far)", describe(error), self.mishaps)
