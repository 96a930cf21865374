"""Where packets may go: strangers by the policy, our own addresses only at live relayed ports."""

from __future__ import annotations

from collections.abc import Container

from turn.core.settings import Settings
from turn.errors import Forbidden
from turn.flows import Address
from turn.policies import LOOPBACK


class Destinations:
    """`live` holds the relayed addresses that are allocated here now."""

    def __init__(self, settings: Settings, live: Container[Address]) -> None:
        self._relayed = live
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        self._settings = settings
        self._locals = {public: local for local, public in settings.externals.items()}

    def to_local(self, address: Address) -> Address:
        """A peer as this machine knows it: behind 1:1 NAT, our public address is a local one."""
        local = self._locals.get(address.ip)
        return address if local is None else address._replace(ip=local)

    def to_public(self, address: Address) -> Address:
        """An own address as the others know it."""
        public = self._settings.externals.get(address.ip)
        return address if public is None else address._replace(ip=public)

    def check_permission(self, peer: Address) -> None:
        """Raises Forbidden. An own address is always granted, since data is checked by port as it moves:
        but a loopback one only where a relayed address lives."""
        if not self._may_permit(peer):
            raise Forbidden("peer")

    def check_binding(self, peer: Address) -> None:
        """Raises Forbidden, for an own address without a live relayed port too."""
        if not self.may_send_to(peer) or not self._may_permit(peer):
            raise Forbidden("peer")

    def still_allows(self, ip: bytes) -> bool:
        """Whether a permission that was granted may stay; at an own address data is checked by port."""
        return ip in self._settings.own_addresses or self._settings.peers.allows(ip)

    def may_send_to(self, peer: Address) -> bool:
        """Whether data may move to a peer that a permission was granted for."""
        if peer.ip not in self._settings.own_addresses or self._is_open_loopback(peer):
            return peer not in self._settings.listeners
        return self.is_relayed(peer)

    def is_relayed(self, address: Address) -> bool:
        """Whether this is a relayed address of ours, or of another process of ours, that lives now."""
        return address in self._relayed or address in self._settings.relayed_elsewhere

    def is_untranslated(self, peer: Address) -> bool:
        """Whether client and engine know the peer by the same address."""
        return peer.ip not in self._settings.externals

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
    """fe80::/10: nobody beyond the link can be reached from there (RFC 4291 §2.5.6)."""
    return len(ip) == 16 and ip[0] == 0xFE and ip[1] & 0xC0 == 0x80


def relay_ip(settings: Settings, reached: bytes, size: int) -> bytes | None:
    """The local address of `size` bytes to relay from, for a client that reached us at `reached`."""
    if settings.relay_addresses:
        fitting = [ip for ip in settings.relay_addresses if len(ip) == size]
        return reached if reached in fitting else next(iter(fitting), None)
    if len(reached) == size:
        return reached
    like = [
        ip for ip in settings.own_addresses if len(ip) == size and is_loopback(ip) == is_loopback(reached)
    ]
    candidates = [ip for ip in like if not is_link_local(ip)]
    return min(candidates, key=lambda ip: rank(settings, ip), default=None)


def rank(settings: Settings, ip: bytes) -> tuple[bool, bool, bytes]:
    """Best first: what peers know by a public address, then what they can reach as it is."""
    return ip not in settings.externals, not settings.peers.allows(ip), ip
