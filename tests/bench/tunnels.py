"""How many bytes a second two ends that agree can push through the gate without encryption, by each way.

They send as fast as they can through as many allocations as they may have, with limits as they are by
default. The clock is made up, so the figures do not depend on the machine.

Repeat with: .venv/bin/python -m tests.bench.tunnels, or with --table to write docs/encrypted-only.md
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from tests.documents import DOCS, rewritten
from tests.turn.call import (
    PEER,
    Call,
    client_hello,
    hello,
    noise,
    ping,
    pong,
    request,
    success,
)
from turn.flows import Address
from turn.gate.allowances import Allowances
from turn.gate.gate import Gate
from turn.limits.addresses import SITE_FACTOR
from turn.policies import Limits
from turn.wire.dtls import CLIENT_HELLO
from turn.wire.ice import CONTROLLING, DTLS_ACKS, MAX_UNKNOWN_BYTES

DOCUMENT = DOCS / "encrypted-only.md"
BY = "make tunnels"
BURST_SECONDS, SECONDS, TICK = 5, 20, 0.1  # what may come at once is used up then; what is measured
RENEWAL_SECONDS = 10  # between the checks that keep a path alive
DEFAULTS = Limits()
CERTIFICATE_BYTES = 1200
CERTIFICATE = hello(11, noise("certificate", CERTIFICATE_BYTES))
UNKNOWN = 0xC0AA  # an attribute that no table names
FIXED = 20 + 4 * 8  # bytes of a check that are not free: header, and those of its attributes


class Attackers(NamedTuple):
    """Who sends: its name in the table, how many users, and the addresses that they share."""

    name: str
    users: int
    addresses: tuple[str, ...]


USERS_OF_ADDRESS = -(-DEFAULTS.allocations_per_address // DEFAULTS.allocations_per_user)
ATTACKERS = (
    Attackers("one user", 1, ("192.0.2.9",)),
    Attackers("one IPv4 address", USERS_OF_ADDRESS, ("192.0.2.9",)),
    Attackers(
        "one /48 of IPv6",
        USERS_OF_ADDRESS * SITE_FACTOR,
        tuple(f"2001:db8:0:{number:x}::9" for number in range(16)),
    ),
)
Tunnel = Callable[[Call], int]  # sends one packet; returns how many bytes of content have passed


def fat_check(one: Call, transaction: bytes) -> bytes:
    """As much content as a check may have."""
    extra = [
        (CONTROLLING, bytes(8)),
        (DTLS_ACKS, bytes(16)),
        (UNKNOWN, bytes(MAX_UNKNOWN_BYTES)),
    ]
    return request(transaction, *one.ufrags, extra)


def unanswered_checks(one: Call) -> int:
    whole = fat_check(one, one.transaction())
    return (len(whole) - FIXED) * one.say(whole).passes


def answered_checks(one: Call) -> int:
    """Answers carry content the other way; the better direction is counted."""
    transaction = one.transaction()
    whole = fat_check(one, transaction)
    passes = one.say(whole).passes
    if passes:
        one.hear(success(transaction, [(UNKNOWN, bytes(MAX_UNKNOWN_BYTES))]))
    return (len(whole) - FIXED) * passes


def pings(one: Call) -> int:
    """Chromium's short checks: the transaction id and four bytes are free."""
    transaction = one.transaction()
    passes = one.say(ping(transaction)).passes
    one.hear(pong(transaction))
    return (len(transaction) + 4) * passes


def renamed_checks(one: Call) -> int:
    """Each check names other ufrags, with as many bytes as they may have."""
    transaction = one.transaction()
    name = noise(transaction.hex(), 60).hex().encode()[:100]
    return len(name) * one.say(request(transaction, name, b"theirs")).passes


def certificates(one: Call) -> int:
    """Handshake messages that nobody reads, after a ClientHello."""
    return CERTIFICATE_BYTES * one.say(CERTIFICATE).passes


TUNNELS: dict[str, Tunnel] = {
    "handshake messages in clear": certificates,
    "checks that nobody answers": unanswered_checks,
    "checks with answers": answered_checks,
    "short checks (GOOG_PING)": pings,
    "a new name in each check": renamed_checks,
}


def calls(attackers: Attackers) -> Iterator[Call]:
    """One for each allocation that they may have, each with a peer of its own."""
    gate = Gate("enforce", Allowances(DEFAULTS))
    number = 0
    for user in range(attackers.users):
        for _ in range(DEFAULTS.allocations_per_user):
            number += 1
            relay = Address(bytes((192, 0, 2, 1)), number)
            ip = ip_address(attackers.addresses[number % len(attackers.addresses)]).packed
            gate.add_allocation(relay, f"user{user}", ip)
            ufrags = (b"u%d" % number, b"p%d" % number)
            yield Call(gate, relay=relay, peer=Address(PEER.ip, number), ufrags=ufrags, admit=False)


def renew(one: Call) -> None:
    """Keep the path alive, both ways."""
    for outward in (True, False):
        one.check(outward=outward)


def until_refused(one: Call, tunnel: Tunnel) -> int:
    passed = 0
    while size := tunnel(one):
        passed += size
    return passed


def measure(attackers: Attackers, tunnel: Tunnel) -> tuple[float, float]:
    """Bytes of content in the first second, and in each second later."""
    many = list(calls(attackers))
    at_once = later = 0
    for step in range(round((BURST_SECONDS + SECONDS) / TICK)):
        now = step * TICK
        for one in many:
            one.now = now
            if tunnel is not unanswered_checks and not step % round(RENEWAL_SECONDS / TICK):
                renew(one)
            if not step:
                one.say(hello(CLIENT_HELLO, client_hello()))
        passed = sum(until_refused(one, tunnel) for one in many)
        many.append(many.pop(0))  # nobody is always first
        at_once += passed * (now < 1.0)
        later += passed * (now >= BURST_SECONDS)
    return at_once, later / SECONDS


def table() -> Iterator[str]:
    """In kilobytes, each: in the first second, and in each later one."""
    yield "| way | " + " | ".join(f"{one.name}: at first, later" for one in ATTACKERS) + " |"
    yield "| --- |" + " ---: |" * len(ATTACKERS)
    for name, tunnel in TUNNELS.items():
        cells: list[str] = []
        for attackers in ATTACKERS:
            at_once, later = measure(attackers, tunnel)
            cells.append(f"{at_once / 1000:,.0f} kB, {later / 1000:,.1f} kB/s")
            print(f"{name:30}{attackers.name:20}{cells[-1]}", file=sys.stderr)
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    rows = "\n".join(("", *table(), ""))
    if "--table" in sys.argv:
        DOCUMENT.write_text(rewritten(DOCUMENT.read_text(), BY, rows))
    else:
        print(rows)


if __name__ == "__main__":
    main()
