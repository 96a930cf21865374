"""Everything that the relay remembers, in one place: nothing of it for a stranger."""

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
from turn.errors import QuotaReached
from turn.flows import Address
from turn.limits.buckets import NUMBERS, Buckets
from turn.limits.lockout import Lockout
from turn.limits.quotas import Quota
from turn.policies import AddressSet, networks, subscriber
from turn.wire.integrity import OFFERED, long_term_key, userhash
from turn.wire.stun import Challenge

OnPort = Callable[[bool], list[Effect]]  # what follows when the engine says whether it got a port

# Where no client can be: a reply would go to a group, or to a service that answers it (RFC 8085 §6), most of
# them with more than they were sent. The usual list: echo, chargen, DNS, NTP, SNMP, CLDAP, IPMI; SQL browser,
# SSDP, WS-Discovery, mDNS, CoAP; memcached, VxWorks, games. Not recorders (37810) and BACnet (47808): Linux
# gives the ports from 32768 on to browsers (ip(7)), and one in 14,000 of them would never be answered.
NO_CLIENT = AddressSet(networks("0.0.0.0/8 224.0.0.0/4 255.255.255.255/32 ::/128 ff00::/8"))
SYSTEM_PORTS = (0, 7, 17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 520, 623)
USER_PORTS = (1434, 1900, 3283, 3702, 5093, 5353, 5683, 10001, 11211, 17185, 27015, 27960)
REFLECTORS = frozenset((*SYSTEM_PORTS, *USER_PORTS))
ANY_TIME = 0.0  # on the wall clock: no minted name is over by then
ICMP_REPORTS = 10  # a second, to each client: a peer that refuses a call's packets is known after the first
STALE_NONCES = 10  # a second, to each client that signs as who allocated, whatever is forged meanwhile
UNAUTHENTICATED_BURST = 4  # seconds' worth of replies: an office opens its browsers together
NEW_ALLOCATIONS_BURST = (
    2  # quotas of allocations that a user may take at once: one ends while ICE restarts in another
)
NEW_ALLOCATIONS_SECONDS = (
    6.0  # for a quota more: each new allocation has a second's worth of packets to burst with
)


class RelayState:
    def __init__(self, settings: Settings) -> None:
        self.allocations = Allocations(settings)
        self.destinations = self.allocations.destinations
        self.reservations = Reservations()
        self.pending_ports: dict[Address, OnPort] = {}  # ports that the engine was asked for
        self.allocating: set[tuple[Address, Address]] = set()  # client and listener of who waits for one
        self.nonces = Nonces(settings.nonce_key, COOKIE if settings.sha256 else b"")
        self.challenge = Challenge(settings.realm, OFFERED if settings.sha256 else b"")
        self.quota = Quota(settings.limits, settings.ledger)
        self.icmp_reports = Buckets(ICMP_REPORTS, ICMP_REPORTS, settings.nonce_key)
        self.stale_nonces = Buckets(STALE_NONCES, STALE_NONCES, settings.nonce_key)
        self.draining = False
        self.alternate: Address | None = None  # who takes those that we refuse while draining
        self.counts: Counter[str] = Counter()
        self._transactions = count(settings.choose(1 << 64))
        self.lockout = Lockout(settings.limits.wrong_passwords, settings.nonce_key)
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        limits = settings.limits
        self.settings = settings
        self.quota.limits = limits
        rate, in_all = limits.unauthenticated_per_second, limits.unauthenticated_in_all
        key, ledger = settings.nonce_key, settings.ledger
        burst, quota = rate * UNAUTHENTICATED_BURST, limits.allocations_per_user
        self.unauthenticated = Buckets(rate, burst, key, ledger.levels("strangers", NUMBERS))
        self.unauthenticated_connected = Buckets(
            rate, burst, key, ledger.levels("connected strangers", NUMBERS)
        )
        self.failures = Buckets(rate, burst, key, ledger.levels("failures", NUMBERS))
        self.unauthenticated_in_all = Buckets(in_all, in_all, key, ledger.levels("all strangers", 2))
        taken_anew = ledger.levels("new allocations", NUMBERS)
        self.new_allocations = Buckets(
            quota / NEW_ALLOCATIONS_SECONDS, quota * NEW_ALLOCATIONS_BURST, key, taken_anew
        )
        self.lockout.most = limits.wrong_passwords
        names = settings.users.names() if settings.sha256 else ()
        self.hashed = {userhash(name, settings.realm): name for name in names}

    def reload(self, settings: Settings, now: float) -> list[Effect]:
        """New settings for what lives and what comes. What clients have learnt already stays as it is."""
        old = self.settings
        kept = replace(
            settings,
            nonce_key=old.nonce_key,
            realm=old.realm,
            sha256=old.sha256,
            ledger=old.ledger,
            relayed_elsewhere=old.relayed_elsewhere,
            many_processes=old.many_processes,
        )
        self._apply(kept)
        gone = [allocation for allocation in self.allocations if not self._is_known(allocation)]
        ended = [effect for allocation in gone for effect in self.end_allocation(allocation)]
        return [*ended, *self.allocations.reload(kept, now)]

    def _is_known(self, allocation: Allocation) -> bool:
        """Whether the name still has the password that the allocation was made with, its time aside."""
        login = self.settings.users.login(allocation.username, ANY_TIME)
        made = (allocation.username, self.settings.realm)
        return login is not None and any(
            long_term_key(*made, password, allocation.algorithm) == allocation.key
            for password in login.passwords
        )

    def is_free(self, relay: Address) -> bool:
        """Whether nothing of ours has this relayed address."""
        return not (
            relay in self.allocations.by_relay or relay in self.pending_ports or relay in self.reservations
        )

    def may_answer(self, source: Address, now: float) -> bool:
        """Whether who has proved nothing gets a reply: from a place where a client can be, and seldom. Who
        is connected stands at its address: what others forge in that name, or in all names, takes nothing
        from it."""
        connected = source.transport != "udp"
        if source.ip in NO_CLIENT or self._is_ours(source) or (source.port in REFLECTORS and not connected):
            self.counts["drops.source"] += 1
            return False
        if self.settings.limits.trusts(source.ip):
            return True
        buckets = self.unauthenticated_connected if connected else self.unauthenticated
        if not buckets.spend(subscriber(source.ip), now):
            self.counts["drops.strangers"] += 1
            return False
        if not (connected or self.unauthenticated_in_all.spend_from(0, now)):
            self.counts["drops.all strangers"] += 1
            return False
        return True

    def may_check_signature(self, source: Address, now: float) -> bool:
        """Whether the signature of who holds a nonce is looked at. Wrong ones are counted, right ones are
        free: a flood of wrong ones from one place would cost a key each."""
        if self.settings.limits.trusts(source.ip) or self.failures.can_spend(subscriber(source.ip), now):
            return True
        self.counts["drops.wrong signatures"] += 1
        return False

    def may_answer_stale(self, allocation: Allocation, now: float) -> bool:
        """Whether a request with an old nonce, signed as the allocation was, is answered at once: a running
        call learns its next nonce under any flood."""
        relay = allocation.relay
        return self.stale_nonces.spend(relay.ip + relay.port.to_bytes(2), now)

    def note_failure(self, source: Address, now: float) -> None:
        self.failures.spend(subscriber(source.ip), now)

    def _is_ours(self, source: Address) -> bool:
        return source in self.settings.listeners or source in self.allocations.by_relay

    def next_transaction(self) -> bytes:
        """The transaction id of an indication, which nobody answers: unique is enough."""
        return (next(self._transactions) & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(12, "big")

    def charge_allocation(self, user: str, ip: bytes, amount: int, now: float) -> None:
        """What a new allocation costs. Raises QuotaReached and InsufficientCapacity, and then takes nothing.

        Each begins with full buckets of packets and bits; without a limit here, who ends and takes them
        without a rest would have as many as the processor can bear.
        """
        self.quota.reserve(user, ip, amount)
        if not self.new_allocations.spend(user.encode(), now, amount):
            self.quota.give_back(user, ip, amount)
            self.counts["allocations too often"] += 1
            raise QuotaReached("pace")

    def end_allocation(self, allocation: Allocation) -> list[Effect]:
        """Gone with all that it held."""
        self.quota.give_back(allocation.user, allocation.charged_ip)
        return self.allocations.remove(allocation)
