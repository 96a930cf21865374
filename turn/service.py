"""Core and engine together: what the one asks for, the other does; and what the core is told at its start."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, TypeVar

from turn.config import Turn
from turn.core.effects import Close, Effect, Keep, Link, Open, Release, Send, Unlink
from turn.core.relay import Relay, Settings
from turn.core.sessions import Proven
from turn.engines import Above, BadCertificate, Bind, CannotListen, Certificate, Engine, Failure, Streams
from turn.engines.portable import Portable
from turn.engines.sockets import bound
from turn.flows import Address, Flow, Packet
from turn.live import Live, Unheard
from turn.metrics import Tally
from turn.outside import local_address
from turn.policies import Accounts, Limits, Network, PeerTable, subscriber
from turn.values import External, IPNetwork

log = logging.getLogger("calln.relay")


T = TypeVar("T")


class Maker(Protocol):
    """How an engine is made."""

    def __call__(
        self, listen: Sequence[Address], streams: Streams, bind: Bind = bound, *, alone: bool = True
    ) -> Engine: ...


ENGINES: dict[str, Maker] = {"portable": Portable}

NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
AT_ONCE = 64  # clients that get a socket, or lose it, while packets wait
MISHAP_SECONDS = 60  # between two log lines about packets that no code expected: they come in floods

WHAT_TO_DO = {
    errno.EADDRINUSE: "stop what has the port (ss -lntup shows it), or write another in turn.listen",
    errno.EADDRNOTAVAIL: "this machine has no such address; write one of its own in turn.listen",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; grant it, or write another in turn.listen",
}


class Unavailable(Exception):
    """The relay cannot start on this machine as it is; the text says why and what to do."""


class Service:
    """The core's effects, applied; the core's deadlines, kept. Beside them it only counts."""

    def __init__(self, relay: Relay, engine: Engine, live: Live | Unheard = Unheard()) -> None:  # noqa: B008  (empty)
        self.relay = relay
        self.live = live
        self.engine = engine
        self.timer: asyncio.TimerHandle | None = None
        self.tally = Tally(engine.traffic())
        relay.watch(engine.traffic())
        self.punted: Counter[tuple[str, int]] = Counter()  # by transport and bytes of the family's addresses
        self.mishaps = 0
        self.draining = False
        self.sharing = False
        self.quiet_until = 0.0
        self.tell: Callable[[list[Proven]], object] = lambda news: None  # those who relay beside us
        self.verbs: Mapping[type[Effect], Callable[..., object]] = {
            Open: self.open,
            Close: lambda effect: self.close(effect.relay),
            Link: lambda effect: engine.link(effect.flow, effect.rule),
            Unlink: lambda effect: self.unlink(effect.flow),
            Keep: lambda effect: self.keep(*effect),
            Release: lambda effect: engine.release(*effect),
        }

    async def run(self) -> None:
        """Move packets, until cancelled."""
        await self.engine.run(Above(self.punt, self.lost, self.relay.holds, self.failed, self.note))

    def look_again(self) -> None:
        """To be called often: what other processes of ours relay at may have ended."""
        try:
            self.apply(self.relay.look_again(time.monotonic()))
        except Exception as error:
            self.note(error)

    def punt(self, packet: Packet) -> None:
        """A packet that no flow claims. It may be anything: nothing that it does ends the relay."""
        self.punted[packet.there.transport, len(packet.here.ip)] += 1
        try:
            effects = self.relay.receive(packet, time.monotonic(), time.time())
            news = self.relay.news()
            if news:
                self.tell(news)
            self.apply(effects)
        except Exception as error:
            self.note(error)
        self.wake_in_time()

    def lost(self, client: Address, listener: Address) -> None:
        """A client's connection has ended."""
        try:
            self.apply(self.relay.lost(client, listener))
        except Exception as error:
            self.note(error)

    def failed(self, failure: Failure) -> None:
        """A packet to a peer did not arrive."""
        relay, peer, kind, code, mtu = failure
        try:
            self.apply(self.relay.failed(relay, peer, kind, code, mtu.to_bytes(4), time.monotonic()))
        except Exception as error:
            self.note(error)

    def apply(self, effects: Sequence[Effect]) -> None:
        """Do what the core asks; packets leave together, when everything they speak of is done."""
        batch: list[Packet] = []
        for effect in effects:
            if isinstance(effect, Send):
                batch.append(effect.packet)
            else:
                self.verbs[type(effect)](effect)
        if batch:
            self.engine.send(batch)

    def open(self, effect: Open) -> None:
        ours = self.engine.open(effect.relay)
        if ours:
            self.live.open(effect.relay)
        self.apply(self.relay.opened(effect.relay, ours, time.monotonic()))

    def close(self, relay: Address) -> None:
        self.live.close(relay)
        self.engine.close(relay)

    def unlink(self, flow: Flow) -> None:
        self.tally.keep(flow)
        self.engine.unlink(flow)

    def present(self, turn: Turn) -> None:
        """Let who connects from now on find the certificate and the limits as they are now. Raises
        Unavailable."""
        try:
            self.engine.adopt(streams(turn))
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None

    def refused(self) -> Mapping[str, int]:
        """Connections that were not let in, by the limit that they met."""
        return self.engine.refused()

    def drain(self, alternate: Address | None) -> None:
        """Take nobody new; `alternate` is where they are sent instead, if there is one."""
        self.draining = True
        self.relay.drain(alternate)

    async def share(self) -> None:
        """Others are at our listeners, or soon: from now on we keep whoever has an allocation."""
        self.sharing = True
        for number, (client, listener) in enumerate(list(self.relay.clients())):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # packets must not wait until all are kept
            if self.relay.holds(client, listener):
                self.engine.keep(client, listener)

    async def share_no_more(self) -> None:
        """We are alone again."""
        self.sharing = False
        for number, (client, listener) in enumerate(list(self.relay.clients())):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if not self.sharing:
                self.engine.release(client, listener)

    def keep(self, client: Address, listener: Address) -> None:
        if self.sharing:
            self.engine.keep(client, listener)

    def leave(self) -> None:
        """Strangers go to the others; those that we keep come to us."""
        self.engine.leave()

    def wake_in_time(self) -> None:
        """One timer, for the core's next deadline; too early is harmless."""
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
            self.note(error)
        self.wake_in_time()

    def note(self, error: Exception) -> None:
        """Count what should not have happened; say where, seldom, and never what the packet held."""
        self.mishaps += 1
        now = time.monotonic()
        if now >= self.quiet_until:
            self.quiet_until = now + MISHAP_SECONDS
            log.error("a packet met %s in %s (%d so far)", type(error).__name__, place(error), self.mishaps)


def place(error: Exception) -> str:
    """File and line that raised: an exception's text may quote the packet."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "no place"


def streams(turn: Turn) -> Streams:
    """What an engine is told about clients of TCP and TLS."""
    limits, trusted = turn.limits, networks(turn.limits.trusted)

    def counted_as(ip: bytes) -> bytes | None:
        return None if any(ip in network for network in trusted) else subscriber(ip)

    return Streams(
        limits.connections,
        limits.connections_per_address,
        counted_as,
        certificate(turn),
        is_proxy(turn),
        turn.detect_tls,
    )


def is_proxy(turn: Turn) -> Callable[[bytes], bool] | None:
    """Who is believed when it names a client; None: nobody is."""
    proxies = networks(turn.proxies)
    return (lambda ip: any(ip in network for network in proxies)) if proxies else None


def certificate(turn: Turn) -> Certificate | None:
    return Certificate(turn.certificate, turn.key) if turn.certificate and turn.key else None


def listen(
    make: Callable[[Sequence[Address]], T], wanted: Sequence[Address]
) -> tuple[T, tuple[Address, ...]]:
    """What is made at these addresses, or at those of IPv4 where the machine has no IPv6. Raises
    Unavailable."""
    left = tuple(wanted)
    while left:
        try:
            return make(left), left
        except BadCertificate as problem:
            raise Unavailable(f"turn.certificate, turn.key: {problem}") from None
        except CannotListen as error:
            if not lacks_ipv6(error):
                advice = WHAT_TO_DO.get(error.reason.errno or 0, "write another address in turn.listen")
                raise Unavailable(f"{error}; {advice}") from None
            log.warning("no IPv6 on this machine: not listening at %s", error.address)
            left = tuple(address for address in left if address != error.address)
    raise Unavailable("turn.listen names IPv6 addresses only, and this machine has no IPv6")


def lacks_ipv6(error: CannotListen) -> bool:
    """Whether the machine has no IPv6 at all, rather than not this address."""
    version_6 = len(error.address.ip) == 16
    wildcard_fails = error.reason.errno in NO_IPV6 and not any(error.address.ip)
    return version_6 and (wildcard_fails or error.reason.errno == errno.EAFNOSUPPORT)


def check_relay_addresses(turn: Turn, own: frozenset[bytes]) -> None:
    """Raises Unavailable."""
    for ip in turn.relay_addresses:
        if ip.packed not in own:
            raise Unavailable(
                f"turn.relay_addresses: {ip} is no address of this machine; write one of its own"
            )


def check_loopback_peers(turn: Turn, own: frozenset[bytes]) -> None:
    """Raises Unavailable where strangers could reach what this machine shows to itself alone."""
    public = any(ip_address(ip).is_global for ip in own)
    if public and turn.allow_loopback_peers and any(not any(listener.ip) for listener in turn.listen):
        raise Unavailable(
            "turn.allow_loopback_peers: this machine has a public address, and turn.listen names all of its "
            "addresses: strangers would reach its own ports; listen at 127.0.0.1, or leave the key out"
        )


def settings(
    turn: Turn, secrets_: Sequence[bytes], listeners: Sequence[Address], own: frozenset[bytes]
) -> Settings:
    """What the core is told: the configuration, and what is known of this machine."""
    limits = turn.limits.model_dump(exclude={"trusted"})
    return Settings(
        nonce_key=secrets.token_bytes(32),
        choose=secrets.randbelow,
        realm=turn.realm,
        sha256=turn.sha256,
        behaviour_discovery=turn.behaviour_discovery,
        encrypted_only=turn.encrypted_only,
        classic_stun=turn.classic_stun,
        strict_expiry=turn.strict_expiry,
        keys=Accounts(
            {name: password.get_secret_value() for name, password in turn.users.items()}, tuple(secrets_)
        ),
        peers=PeerTable(
            networks(turn.allow_peers), networks(turn.deny_peers), loopback=turn.allow_loopback_peers
        ),
        limits=Limits(**limits, trusted=networks(turn.limits.trusted)),
        ports=turn.relay_ports,
        relay_addresses=tuple(ip.packed for ip in turn.relay_addresses),
        externals=dict(pair for external in turn.external_ip for pair in translation(external, turn)),
        listeners=frozenset(concrete(listeners, own)),
        own=own,
    )


def networks(ranges: Iterable[IPNetwork]) -> tuple[Network, ...]:
    return tuple(Network.of(str(network)) for network in ranges)


def concrete(listeners: Iterable[Address], own: Iterable[bytes]) -> Iterable[Address]:
    """Listeners with each wildcard as what it stands for."""
    for listener in listeners:
        if any(listener.ip):
            yield listener
        else:
            yield from (listener._replace(ip=ip) for ip in own if len(ip) == len(listener.ip))


def translation(external: External, turn: Turn) -> Iterable[tuple[bytes, bytes]]:
    """Local and public address, one to one. Where the file names no local one: the one that is relayed
    from, listened at, or that packets to the public one would leave from."""
    public = external.public
    if public is None:  # what auto stands for is in its place before
        return
    towards = str(public)
    local = external.local.packed if external.local else local_address(turn, len(public.packed), towards)
    if local is not None:
        yield local, public.packed
