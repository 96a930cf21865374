"""Checks from the operator's computer: name, ports, certificates, page and trial calls."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from deploy.doctor.local import RENEW_DAYS
from deploy.doctor.machine import Finding
from deploy.doctor.trial_call import TrialFailed, make_trial_call
from deploy.remote.hosts import Target
from deploy.remote.render import HTTP, HTTPS, TURN, TURNS
from turn.credentials import MintedCredential
from turn.flows import Address, Transport
from turn.service.public_address import FAR_AWAY, source_towards

TIMEOUT = 5.0
CLOSED = "open this port and the UDP ports of turn.relay_ports in all firewalls"
NOTHING_LISTENS = (
    "see calln deploy status; if all runs there, a firewall on the way rejects the connection: open the port"
)


class RemoteMachine(NamedTuple):
    """A machine as it is reached from here."""

    target: Target
    addresses: list[str]
    credential: MintedCredential | None
    context: ssl.SSLContext


def check_target(
    target: Target, credential: MintedCredential | None, root: str | None = None
) -> Iterator[Finding]:
    """All findings; `root` is the certificate of our own authority. Without an address there is only one."""
    addresses = resolve(target.name)
    if not addresses:
        yield Finding(
            False,
            f"{target.name} is not in the DNS.",
            "add an A record (and AAAA) with the address of the machine",
        )
        return
    ours = [address for address in addresses if is_routable(address)]
    if len(ours) < len(addresses):
        yield Finding(True, "No IPv6 on this computer; the IPv6 address of the machine was not checked.")
    if not ours:
        return
    machine = RemoteMachine(target, ours, credential, ssl.create_default_context(cafile=root))
    for check in CHECKS:
        yield from check(machine)


def resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def is_routable(address: str) -> bool:
    """Whether this computer can reach addresses of that family."""
    packed = ip_address(address).packed
    return (
        len(packed) == 4
        or ip_address(packed).is_loopback
        or source_towards(FAR_AWAY[len(packed)]) is not None
    )


def check_name(machine: RemoteMachine) -> Iterator[Finding]:
    """Whether the name of the service leads to the machine that SSH reaches."""
    host, wanted = machine.target.host, machine.target.name
    ssh = [] if host.is_local else resolve(host.address.address)
    says = ", ".join(machine.addresses)
    if ssh and not set(ssh) & set(machine.addresses):
        advice = f"correct the DNS entry of {wanted}, unless the machine is behind NAT"
        yield Finding(False, f"{wanted} has the address {says}, but SSH goes to {', '.join(ssh)}.", advice)
    else:
        yield Finding(True, f"{wanted} has the address {says}.")


def check_ports(machine: RemoteMachine) -> Iterator[Finding]:
    for port in tcp_ports(machine):
        for address in machine.addresses:
            yield check_tcp_port(address, port)


def tcp_ports(machine: RemoteMachine) -> list[int]:
    wanted = [HTTP, HTTPS] * machine.target.serves + [TURN, TURNS] * machine.target.relays
    return wanted if machine.target.serves else [*wanted, HTTPS]


def check_tcp_port(address: str, port: int) -> Finding:
    try:
        socket.create_connection((address, port), TIMEOUT).close()
    except OSError as error:
        if isinstance(error, ConnectionRefusedError):
            return Finding(False, f"Nothing listens at TCP port {port} of {address}.", NOTHING_LISTENS)
        why = "does not answer" if isinstance(error, TimeoutError) else str(error.strerror or error).lower()
        return Finding(
            False,
            f"TCP port {port} at {address}: {why}.",
            "open it in all firewalls on the way, also at your provider",
        )
    return Finding(True, f"TCP port {port} answers at {address}.")


def check_certificates(machine: RemoteMachine) -> Iterator[Finding]:
    for port in tls_ports(machine):
        yield check_certificate(machine, port)


def tls_ports(machine: RemoteMachine) -> list[int]:
    return [HTTPS] + [TURNS] * machine.target.relays


def check_certificate(machine: RemoteMachine, port: int) -> Finding:
    wanted = machine.target.name
    try:
        with (
            socket.create_connection((machine.addresses[0], port), TIMEOUT) as plain,
            machine.context.wrap_socket(plain, server_hostname=wanted) as tls,
        ):
            ends = ssl.cert_time_to_seconds(str((tls.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return Finding(
            False,
            f"Browsers refuse the certificate at port {port}: {error.verify_message}.",
            "see deploy.tls",
        )
    except OSError as error:
        return Finding(False, f"No TLS at port {port}: {error.strerror or error}.", "see: calln deploy logs")
    days = int((ends - time.time()) // 86400)
    return Finding(
        days >= RENEW_DAYS, f"The certificate at port {port} is valid for {days} days.", "renew it now"
    )


def check_page(machine: RemoteMachine) -> Iterator[Finding]:
    if not machine.target.serves:
        return
    connection = http.client.HTTPSConnection(machine.target.name, timeout=TIMEOUT, context=machine.context)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        yield Finding(False, f"The page does not load: {error}.", "see: calln deploy logs")
    else:
        yield Finding(
            status == http.HTTPStatus.OK,
            f"The page answers with the status {status}.",
            "check site.url, and see: calln deploy logs",
        )
    finally:
        connection.close()


def check_calls(machine: RemoteMachine) -> Iterator[Finding]:
    """A trial call over each transport and port that browsers use."""
    if machine.credential is None:
        yield Finding(
            False, "No trial calls: nothing is deployed on this machine yet.", "run: calln deploy apply"
        )
        return
    ways: list[tuple[Transport, int]] = [("udp", TURN), ("tcp", TURN), ("tls", TURNS), ("tls", HTTPS)]
    shared = machine.target.serves and machine.target.relays
    for transport, port in ways if machine.target.relays else ():
        if port == HTTPS and not shared and machine.target.serves:
            continue
        for address in machine.addresses:
            yield check_call(Address.of(address, port, transport), machine.credential)


def check_call(listener: Address, credential: MintedCredential) -> Finding:
    try:
        make_trial_call(listener, credential)
    except TrialFailed as why:
        refused = str(why) == os.strerror(errno.ECONNREFUSED)
        advice = NOTHING_LISTENS if refused else CLOSED
        return Finding(False, f"A trial call through {listener} failed: {why}.", advice)
    return Finding(True, f"A trial call through {listener} worked.")


CHECKS: tuple[Callable[[RemoteMachine], Iterator[Finding]], ...] = (
    check_name,
    check_ports,
    check_certificates,
    check_page,
    check_calls,
)
