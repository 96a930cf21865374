"""What core and engine are told: the configuration, and what is known of this machine."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence

from host.settings import IPNetwork
from host.tls import Certificate
from turn.config.section import Turn
from turn.config.values import External
from turn.core.relay import Settings
from turn.engines import Streams
from turn.flows import Address
from turn.policies import Accounts, Limits, Network, PeerTable, subscriber
from turn.service.public_address import local_address


def relay_settings(
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
        icmp_to_all=turn.icmp_to_all,
        users=Accounts(
            {name: password.get_secret_value() for name, password in turn.users.items()}, tuple(secrets_)
        ),
        peers=PeerTable(
            networks(turn.allow_peers), networks(turn.deny_peers), loopback=turn.allow_loopback_peers
        ),
        limits=Limits(**limits, trusted=networks(turn.limits.trusted)),
        ports=turn.relay_ports,
        relay_addresses=tuple(ip.packed for ip in turn.relay_addresses),
        externals=dict(pair for external in turn.external_ip for pair in nat_pair(external, turn)),
        listeners=frozenset(without_wildcards(listeners, own)),
        own_addresses=own,
    )


def stream_settings(turn: Turn) -> Streams:
    """What an engine is told about clients of TCP and TLS."""
    limits, trusted = turn.limits, networks(turn.limits.trusted)

    def counted_as(ip: bytes) -> bytes | None:
        return None if any(ip in network for network in trusted) else subscriber(ip)

    return Streams(
        limits.connections,
        limits.connections_per_address,
        counted_as,
        relay_certificate(turn),
        proxy_test(turn),
        turn.detect_tls,
    )


def proxy_test(turn: Turn) -> Callable[[bytes], bool] | None:
    """Who is believed when it names a client; None: nobody is."""
    proxies = networks(turn.proxies)
    return (lambda ip: any(ip in network for network in proxies)) if proxies else None


def relay_certificate(turn: Turn) -> Certificate | None:
    return Certificate(turn.certificate, turn.key) if turn.certificate and turn.key else None


def networks(ranges: Iterable[IPNetwork]) -> tuple[Network, ...]:
    return tuple(Network.of(str(network)) for network in ranges)


def without_wildcards(listeners: Iterable[Address], own: Iterable[bytes]) -> Iterable[Address]:
    """Listeners with each wildcard as what it stands for."""
    for listener in listeners:
        if any(listener.ip):
            yield listener
        else:
            yield from (listener._replace(ip=ip) for ip in own if len(ip) == len(listener.ip))


def nat_pair(external: External, turn: Turn) -> Iterable[tuple[bytes, bytes]]:
    """Local and public address, one to one. Where the file names no local one: the one that is relayed
    from, listened at, or that packets to the public one would leave from."""
    public = external.public
    if public is None:  # what auto stands for is in its place before
        return
    towards = str(public)
    local = external.local.packed if external.local else local_address(turn, len(public.packed), towards)
    if local is not None:
        yield local, public.packed
