"""Where packets may go: to other addresses by the policy, to our own ones only at relayed ports in use."""

from __future__ import annotations

from collections.abc import Container

from turn.core.settings import Settings
from turn.errors import Forbidden
from turn.flows import Address
from turn.policies import LOOPBACK


class Destinations:
    """Where packets may go. `relayed` holds the relayed addresses that are allocated here now."""

    def __init__(self, settings: Settings, relayed: Container[Address]) -> None:
        self._relayed = relayed
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        self._settings = settings
        self._locals = {public: local for local, public in settings.externals.items()}

    def to_local(self, address: Address) -> Address:
        """A peer's address as this machine knows it: behind 1:1 NAT, our public address is a local one."""
        local = self._locals.get(address.ip)
        return address if local is None else address._replace(ip=local)

    def to_public(self, address: Address) -> Address:
        """An address of ours as others know it: behind 1:1 NAT, the public one."""
        public = self._settings.externals.get(address.ip)
        return address if public is None else address._replace(ip=public)

    def check_permission(self, peer: Address) -> None:
        """Raises Forbidden if a client may have no permission for this peer.

        It may have one for an address of ours, because the port is checked with each packet; for a loopback
        address only if it is a relayed address in use.
        """
        if not self._may_permit(peer):
            raise Forbidden("peer")

    def check_binding(self, peer: Address) -> None:
        """Raises Forbidden, also for an address of ours that is not a relayed address in use."""
        if not self.may_send_to(peer) or not self._may_permit(peer):
            raise Forbidden("peer")

    def still_allows(self, ip: bytes) -> bool:
        """Whether a permission may stay; at an address of ours the port is checked with each packet."""
        return ip in self._settings.own_addresses or self._settings.peers.allows(ip)

    def may_send_to(self, peer: Address) -> bool:
        """Whether data may be sent to a peer for which there is a permission."""
        if peer.ip not in self._settings.own_addresses or self._is_open_loopback(peer):
            return peer not in self._settings.listeners
        return self.is_relayed(peer)

    def is_relayed(self, address: Address) -> bool:
        """Whether this is a relayed address in use, of this process or another one of ours."""
        return address in self._relayed or address in self._settings.relayed_elsewhere

    def _may_permit(self, peer: Address) -> bool:
        if peer.ip not in self._settings.own_addresses:
            return self._settings.peers.allows(peer.ip)
        if is_loopback(peer.ip) and not self._is_open_loopback(peer):
            return self.is_relayed(peer)
        return True

    def _is_open_loopback(self, peer: Address) -> bool:
        return is_loopback(peer.ip) and self._settings.peers.allows(peer.ip)


def is_loopback(ip: bytes) -> bool:
    return any(ip in network for network in LOOPBACK)


def is_link_local(ip: bytes) -> bool:
    """Whether it is in fe80::/10, from where only the own link can be reached (RFC 4291 §2.5.6)."""
    return len(ip) == 16 and ip[0] == 0xFE and ip[1] & 0xC0 == 0x80


def relay_ip(settings: Settings, reached: bytes, size: int) -> bytes | None:
    """The local address of `size` bytes to relay from, for a client that sends to `reached`.

    None: there is none, or nobody could reach it, because its public address is not known yet.
    """
    if size in settings.unknown_families:
        return None
    if settings.relay_addresses:
        fitting = [ip for ip in settings.relay_addresses if len(ip) == size]
        return reached if reached in fitting else next(iter(fitting), None)
    if len(reached) == size:
        return reached
    inside = is_loopback(reached)
    alike = [ip for ip in settings.own_addresses if len(ip) == size and is_loopback(ip) == inside]
    candidates = [ip for ip in alike if not is_link_local(ip)]
    return min(candidates, key=lambda ip: rank(settings, ip), default=None)


def rank(settings: Settings, ip: bytes) -> tuple[bool, bool, bool, bytes]:
    """For sorting, the best first: addresses that have a public one, then the one that packets to the
    Internet leave from, then those that peers can reach. So it is not the address of a VPN or of Docker."""
    is_default = ip in settings.default_sources
    return ip not in settings.externals, not is_default, not settings.peers.allows(ip), ip
