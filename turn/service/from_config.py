"""From the configuration, and what is known of this machine, to the settings of core and engine."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from host.settings import IPNetwork
from host.tls import Certificate
from turn.config.section import Turn
from turn.config.values import External
from turn.core.relay import Settings
from turn.credentials import server_key
from turn.engines import Streams
from turn.flows import Address
from turn.policies import Accounts, Limits, Network, PeerTable
from turn.service.public_address import default_sources, local_address
from turn.wire.preparation import forms


class RelayConfig(NamedTuple):
    """What the file says of the relay: its section, and the secrets of time-limited credentials. `unknown`
    are the families, by the bytes of an address, in which the public address is not found yet."""

    turn: Turn
    secrets: Sequence[bytes]
    unknown: frozenset[int] = frozenset()


def relay_settings(
    config: RelayConfig, listeners: Sequence[Address], own_addresses: frozenset[bytes]
) -> Settings:
    """For the core."""
    turn = config.turn
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
        users=accounts(config),
        server_keys=tuple(map(server_key, config.secrets)),
        peers=PeerTable(
            networks(turn.allow_peers), networks(turn.deny_peers), loopback=turn.allow_loopback_peers
        ),
        limits=Limits(**limits, trusted=networks(turn.limits.trusted)),
        ports=turn.relay_ports,
        relay_addresses=tuple(ip.packed for ip in turn.relay_addresses),
        externals=dict(pair for external in turn.external_ip for pair in nat_pair(external, turn)),
        default_sources=default_sources(),
        unknown_families=config.unknown,
        listeners=frozenset(without_wildcards(listeners, own_addresses)),
        own_addresses=own_addresses,
    )


def accounts(config: RelayConfig) -> Accounts:
    users = {name: password.get_secret_value() for name, password in config.turn.users.items()}
    spellings = {text: name for name in users for (text,) in forms(name) if text not in users}
    return Accounts(users, tuple(config.secrets), spellings)


def stream_settings(turn: Turn) -> Streams:
    """For an engine: limits, certificate and proxies of clients."""
    limits, trusted = turn.limits, networks(turn.limits.trusted)

    return Streams(
        limits.connections,
        limits.connections_per_address,
        is_in(trusted),
        relay_certificate(turn),
        proxy_test(turn),
        turn.detect_tls,
    )


def proxy_test(turn: Turn) -> Callable[[bytes], bool] | None:
    """Tells whether an address is a proxy, which may name its clients. None: there are no proxies."""
    proxies = networks(turn.proxies)
    return is_in(proxies) if proxies else None


def is_in(ranges: Sequence[Network]) -> Callable[[bytes], bool]:
    """Tells whether an address is in one of these networks."""
    return lambda ip: any(ip in network for network in ranges)


def relay_certificate(turn: Turn) -> Certificate | None:
    return Certificate(turn.certificate, turn.key) if turn.certificate and turn.key else None


def networks(ranges: Iterable[IPNetwork]) -> tuple[Network, ...]:
    return tuple(Network.of(str(network)) for network in ranges)


def without_wildcards(listeners: Iterable[Address], own_addresses: Iterable[bytes]) -> Iterable[Address]:
    """Listeners, with every own address in the place of a wildcard."""
    for listener in listeners:
        if any(listener.ip):
            yield listener
        else:
            yield from (listener._replace(ip=ip) for ip in own_addresses if len(ip) == len(listener.ip))


def nat_pair(external: External, turn: Turn) -> Iterable[tuple[bytes, bytes]]:
    """Local and public address, one to one. Without a local one in the file: the address that is relayed
    from, that is listened at, or that packets to the public one leave from."""
    public = external.public
    if public is None:  # auto was replaced before
        return
    towards = str(public)
    local = external.local.packed if external.local else local_address(turn, len(public.packed), towards)
    if local is not None:
        yield local, public.packed
