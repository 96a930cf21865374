"""What the doctor tries from the operator's side: name, ports, certificate, page, and calls in small."""

from __future__ import annotations

import http.client
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


class RemoteMachine(NamedTuple):
    """A machine as it is seen from here; `root` is the authority's certificate where it is our own."""

    target: Target
    addresses: list[str]
    credential: MintedCredential | None
    context: ssl.SSLContext


def check_target(
    target: Target, credential: MintedCredential | None, root: str | None = None
) -> Iterator[Finding]:
    """All findings; without a name that can be resolved, that alone."""
    addresses = resolve(target.name)
    if not addresses:
        yield Finding(
            False, f"{target.name} is not in the DNS.", "add an A record (and AAAA) with its address"
        )
        return
    ours = [address for address in addresses if is_routable(address)]
    if len(ours) < len(addresses):
        yield Finding(True, "No IPv6 here: the machine's IPv6 address was not tried.")
    if not ours:
        return
    patient = RemoteMachine(target, ours, credential, ssl.create_default_context(cafile=root))
    for check in CHECKS:
        yield from check(patient)


def resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def is_routable(address: str) -> bool:
    """Whether this side has a way to addresses of that family."""
    packed = ip_address(address).packed
    return (
        len(packed) == 4
        or ip_address(packed).is_loopback
        or source_towards(FAR_AWAY[len(packed)]) is not None
    )


def check_name(patient: RemoteMachine) -> Iterator[Finding]:
    """Whether visitors are led to where SSH goes."""
    host, wanted = patient.target.host, patient.target.name
    there = [] if host.is_local else resolve(host.address.address)
    says = ", ".join(patient.addresses)
    if there and not set(there) & set(patient.addresses):
        advice = f"have the DNS lead {wanted} to the machine; behind NAT this may be right"
        yield Finding(False, f"{wanted} leads to {says}, and SSH to {', '.join(there)}.", advice)
    else:
        yield Finding(True, f"{wanted} leads to {says}.")


def check_ports(patient: RemoteMachine) -> Iterator[Finding]:
    for port in tcp_ports(patient):
        for address in patient.addresses:
            yield check_tcp_port(address, port)


def tcp_ports(patient: RemoteMachine) -> list[int]:
    wanted = [HTTP, HTTPS] * patient.target.serves + [TURN, TURNS] * patient.target.relays
    return wanted if patient.target.serves else [*wanted, HTTPS]


def check_tcp_port(address: str, port: int) -> Finding:
    try:
        socket.create_connection((address, port), TIMEOUT).close()
    except OSError as error:
        why = "does not answer" if isinstance(error, TimeoutError) else str(error.strerror or error).lower()
        return Finding(
            False,
            f"TCP port {port} at {address}: {why}.",
            "open it in every firewall between, the provider's too",
        )
    return Finding(True, f"TCP port {port} answers at {address}.")


def check_certificates(patient: RemoteMachine) -> Iterator[Finding]:
    for port in tls_ports(patient):
        yield check_certificate(patient, port)


def tls_ports(patient: RemoteMachine) -> list[int]:
    return [HTTPS] + [TURNS] * patient.target.relays


def check_certificate(patient: RemoteMachine, port: int) -> Finding:
    wanted = patient.target.name
    try:
        with (
            socket.create_connection((patient.addresses[0], port), TIMEOUT) as plain,
            patient.context.wrap_socket(plain, server_hostname=wanted) as tls,
        ):
            ends = ssl.cert_time_to_seconds(str((tls.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return Finding(
            False,
            f"Browsers refuse the certificate at port {port}: {error.verify_message}.",
            "see deploy.tls",
        )
    except OSError as error:
        return Finding(False, f"No TLS at port {port}: {error.strerror or error}.", "see calln deploy logs")
    days = int((ends - time.time()) // 86400)
    return Finding(
        days >= RENEW_DAYS, f"The certificate at port {port} is good for {days} days.", "renew it now"
    )


def check_page(patient: RemoteMachine) -> Iterator[Finding]:
    if not patient.target.serves:
        return
    line = http.client.HTTPSConnection(patient.target.name, timeout=TIMEOUT, context=patient.context)
    try:
        line.request("GET", "/")
        status = line.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        yield Finding(False, f"The page does not come: {error}.", "see calln deploy logs")
    else:
        yield Finding(
            status == http.HTTPStatus.OK,
            f"The page answers with {status}.",
            "see calln deploy logs and site.url",
        )
    finally:
        line.close()


def check_calls(patient: RemoteMachine) -> Iterator[Finding]:
    """A relayed call in small, by each transport and port that browsers are told of."""
    if patient.credential is None:
        yield Finding(False, "No calls were tried: nothing is deployed there yet.", "calln deploy apply")
        return
    ways: list[tuple[Transport, int]] = [("udp", TURN), ("tcp", TURN), ("tls", TURNS), ("tls", HTTPS)]
    shared = patient.target.serves and patient.target.relays
    for transport, port in ways if patient.target.relays else ():
        if port == HTTPS and not shared and patient.target.serves:
            continue
        for address in patient.addresses:
            yield check_call(Address.of(address, port, transport), patient.credential)


def check_call(listener: Address, credential: MintedCredential) -> Finding:
    try:
        make_trial_call(listener, credential)
    except TrialFailed as why:
        advice = "is the port open in every firewall, and the range turn.relay_ports over UDP?"
        return Finding(False, f"A call in small through {listener} failed: {why}.", advice)
    return Finding(True, f"A call in small went through {listener}.")


CHECKS: tuple[Callable[[RemoteMachine], Iterator[Finding]], ...] = (
    check_name,
    check_ports,
    check_certificates,
    check_page,
    check_calls,
)
