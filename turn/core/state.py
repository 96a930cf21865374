"""Everything that the relay remembers. It remembers nothing for senders without a valid nonce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from turn.core.allocations import Allocation, Allocations
from turn.core.effects import Effect
from turn.core.nonce import COOKIE, Nonces
from turn.core.reservations import Reservations
from turn.core.settings import Settings
from turn.core.told import Told
from turn.errors import QuotaReached
from turn.flows import Address
from turn.limits.addresses import AddressRates
from turn.limits.buckets import NUMBERS, Buckets
from turn.limits.lockout import Lockout
from turn.limits.quotas import Quota
from turn.policies import AddressSet, StrangerLimits, networks
from turn.wire.integrity import OFFERED, long_term_keys, userhash
from turn.wire.preparation import forms
from turn.wire.stun import Challenge

OnPort = Callable[[bool], list[Effect]]  # called when the engine says whether it got the port

# Where no client can be: a reply would go to a multicast group, or to a service that answers it (RFC 8085
# §6), often with more bytes than it got. The services: echo, chargen, DNS, NTP, SNMP, CLDAP, IPMI; SQL
# browser, SSDP, WS-Discovery, mDNS, CoAP; memcached, VxWorks, games. Video recorders (37810) and BACnet
# (47808) are not listed: Linux gives ports from 32768 on to browsers (ip(7)), and one in 14,000 clients would
# never get an answer.
NO_CLIENT = AddressSet(networks("0.0.0.0/8 224.0.0.0/4 255.255.255.255/32 ::/128 ff00::/8"))
SYSTEM_PORTS = (0, 7, 17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 520, 623)
USER_PORTS = (1434, 1900, 3283, 3702, 5093, 5353, 5683, 10001, 11211, 17185, 27015, 27960)
REFLECTORS = frozenset((*SYSTEM_PORTS, *USER_PORTS))
ANY_TIME = 0.0  # on the wall clock: no minted name has expired by then
ICMP_REPORTS = 10  # per second for each client: one is enough to know that a peer refuses packets
STALE_NONCES = 10  # per second for each client that signs with its allocation's key, under any flood
UNAUTHENTICATED_BURST = 4  # seconds' worth of replies at once: an office opens its browsers together
NEW_ALLOCATIONS_BURST = 2  # quotas of allocations at once: one ends while ICE restarts in another
NEW_ALLOCATIONS_SECONDS = 6.0  # for one quota more: each allocation starts with a second of packets


class RelayState:
    def __init__(self, settings: Settings) -> None:
        self.allocations = Allocations(settings)
        self.destinations = self.allocations.destinations
        self.reservations = Reservations()
        self.pending_ports: dict[Address, OnPort] = {}  # ports that the engine is opening
        self.allocating: set[tuple[Address, Address]] = set()  # client and listener of waiting requests
        self.nonces = Nonces(settings.nonce_key, COOKIE if settings.sha256 else b"")
        self.challenge = Challenge(settings.realm, OFFERED if settings.sha256 else b"")
        self.quota = Quota(settings.limits, settings.ledger)
        self.icmp_reports = Buckets(ICMP_REPORTS, ICMP_REPORTS, settings.nonce_key)
        self.stale_nonces = Buckets(STALE_NONCES, STALE_NONCES, settings.nonce_key)
        self.told = Told()
        self.draining = False
        self.alternate: Address | None = None  # where clients are sent while we drain
        self.counts: Counter[str] = Counter()
        self._transactions = count(settings.choose(1 << 64))
        self.lockout = Lockout(settings.limits.wrong_passwords, settings.nonce_key)
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        limits = settings.limits
        self.settings = settings
        self.quota.limits = limits
        rate, in_all = limits.unauthenticated_per_second, limits.unauthenticated_in_all
        burst = rate * UNAUTHENTICATED_BURST
        self.unauthenticated = AddressRates(self._buckets("strangers", rate, burst))
        self.unauthenticated_connected = AddressRates(self._buckets("connected strangers", rate, burst))
        self.failures = AddressRates(self._buckets("failures", rate, burst))
        all_levels = settings.ledger.levels("all strangers", 2)
        self.unauthenticated_in_all = Buckets(in_all, in_all, settings.nonce_key, all_levels)
        self.new_of_user = self._quota_buckets("new allocations", limits.allocations_per_user)
        self.new_of_address = AddressRates(
            self._quota_buckets("new allocations of an address", limits.allocations_per_address)
        )
        self.lockout.most = limits.wrong_passwords
        self.told.bans.set_keys(settings.server_keys)
        names = settings.users.names() if settings.sha256 else ()
        self.realms = frozenset(text.encode() for (text,) in forms(settings.realm))
        self.hashed = {
            userhash(name, realm): name for one in names for name, realm in forms(one, settings.realm)
        }

    def _buckets(self, name: str, rate: float, burst: float) -> Buckets:
        levels = self.settings.ledger.levels(name, NUMBERS)
        return Buckets(rate, burst, self.settings.nonce_key, levels)

    def _quota_buckets(self, name: str, quota: int) -> Buckets:
        """For new allocations of who may hold so many at a time."""
        return self._buckets(name, quota / NEW_ALLOCATIONS_SECONDS, quota * NEW_ALLOCATIONS_BURST)

    def reload(self, settings: Settings, now: float) -> list[Effect]:
        """Use new settings from now on. What clients have learnt already stays as it is."""
        old = self.settings
        adopted = replace(
            settings,
            nonce_key=old.nonce_key,
            realm=old.realm,
            sha256=old.sha256,
            ledger=old.ledger,
            relayed_elsewhere=old.relayed_elsewhere,
            many_processes=old.many_processes,
        )
        self._apply(adopted)
        gone = [allocation for allocation in self.allocations if not self._is_known(allocation)]
        ended = [effect for allocation in gone for effect in self.end_allocation(allocation)]
        return [*ended, *self.allocations.reload(adopted, now)]

    def _is_known(self, allocation: Allocation) -> bool:
        """Whether the user still has the password that the allocation was made with, expired or not."""
        login = self.settings.users.login(allocation.username, ANY_TIME)
        made = (allocation.username, self.settings.realm)
        return login is not None and any(
            allocation.key in long_term_keys(*made, password, allocation.algorithm)
            for password in login.passwords
        )

    def is_free(self, relay: Address) -> bool:
        """Whether no allocation or reservation of ours has this relayed address."""
        return not (
            relay in self.allocations.by_relay or relay in self.pending_ports or relay in self.reservations
        )

    def may_answer(self, source: Address, now: float) -> bool:
        """Whether a sender without a valid nonce gets a reply: if a client can be there, and within limits.

        A client over TCP or TLS cannot forge its address, so it has limits of its own: a flood over UDP with
        forged addresses takes nothing from it.
        """
        connected = source.transport != "udp"
        if source.ip in NO_CLIENT or self._is_ours(source) or (source.port in REFLECTORS and not connected):
            self.counts["drops.source"] += 1
            return False
        if self.settings.limits.is_trusted(source.ip):
            return True
        buckets = self.unauthenticated_connected if connected else self.unauthenticated
        if not buckets.spend(source.ip, now):
            self.counts["drops.strangers"] += 1
            return False
        if not (connected or self.unauthenticated_in_all.spend_from(0, now)):
            self.counts["drops.all strangers"] += 1
            return False
        return True

    def stranger_limits(self) -> StrangerLimits:
        """The limits of `may_answer` over UDP."""
        limits = self.settings.limits
        rate = limits.unauthenticated_per_second
        return StrangerLimits(
            rate, rate * UNAUTHENTICATED_BURST, limits.unauthenticated_in_all, limits.trusted
        )

    def may_check_signature(self, source: Address, now: float) -> bool:
        """Whether we check the signature of a sender with a valid nonce.

        Only wrong signatures are counted: a flood of them would cost the computation of a key each.
        """
        if self.settings.limits.is_trusted(source.ip) or self.failures.can_spend(source.ip, now):
            return True
        self.counts["drops.wrong signatures"] += 1
        return False

    def may_answer_stale(self, allocation: Allocation, now: float) -> bool:
        """Whether a request with an old nonce, signed with the allocation's key, is answered.

        This limit is separate, so that a running call gets its next nonce under any flood.
        """
        relay = allocation.relay
        return self.stale_nonces.spend(relay.ip + relay.port.to_bytes(2), now)

    def note_failure(self, source: Address, now: float) -> None:
        self.failures.spend(source.ip, now)

    def _is_ours(self, source: Address) -> bool:
        return source in self.settings.listeners or source in self.allocations.by_relay

    def next_transaction(self) -> bytes:
        """The transaction id of an indication. It has no answer, so it only has to be unique."""
        return (next(self._transactions) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(12, "big")

    def charge_allocation(self, user: str, ip: bytes, amount: int, now: float) -> None:
        """Count a new allocation. Raises QuotaReached and InsufficientCapacity; then nothing is counted.

        Each allocation begins with full buckets of packets and bits. Without this limit, a client that ends
        and makes allocations all the time could send as much as the processor can bear.
        """
        self.quota.reserve(user, ip, amount)
        if not self._may_make_allocation(user, ip, amount, now):
            self.quota.give_back(user, ip, amount)
            self.counts["allocations too often"] += 1
            raise QuotaReached("pace")

    def _may_make_allocation(self, user: str, ip: bytes, amount: int, now: float) -> bool:
        """A refused one costs neither user nor address anything: the browser will try again."""
        limits, of_address = self.settings.limits, self.new_of_address
        counted = not limits.is_trusted(ip)
        if counted and not of_address.can_spend(ip, now, amount):
            return False
        return self.new_of_user.spend(user.encode(), now, amount) and (
            not counted or of_address.spend(ip, now, amount)
        )

    def end_allocation(self, allocation: Allocation) -> list[Effect]:
        """End an allocation with all it has."""
        self.quota.give_back(allocation.user, allocation.charged_ip)
        return self.allocations.remove(allocation)
