"""`calln doctor`: checks this machine and the running relay, and says what to do."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from config.file import Config, load_config
from config.ice import relay_host, speaks_tls
from config.problems import ConfigError
from config.secrets import turn_secrets
from deploy.doctor.channel import check_channel
from deploy.doctor.machine import (
    Finding,
    LocalMachine,
    check_buffers,
    check_clock,
    check_descriptors,
    check_disk,
    check_engine,
    check_interfaces,
    check_owners,
    check_secrets,
    check_store,
)
from deploy.doctor.operator_client import RELAY, OperatorError, how_to_start, is_deployed, request_json
from deploy.doctor.trial_call import TrialFailed, client_address, make_trial_call
from deploy.remote.render import OPERATORS
from host.certificates import validity_problem
from host.tls import BadCertificate
from turn.config.section import Turn
from turn.credentials import mint
from turn.flows import Address
from turn.service import from_config
from turn.service.from_config import nat_pair
from turn.service.preflight import WHAT_TO_DO
from turn.service.public_address import FAR_AWAY, ask_servers, local_address, source_towards

MARKS = {True: "\u2713", False: "\u2717"}
TRIAL_SECONDS = 60  # how long the credential for the trial call lasts
NAT_SECONDS = 30.0  # pystun3 sends up to six requests and waits for each answer
TLS_SECONDS = 5.0
RENEW_DAYS = 14

# In a process of its own: it may wait for ever, and its package has a module named `tests`.
NAT_PROGRAM = """
import stun, sys
host, port, source = sys.argv[1:]
print(stun.get_ip_info(source_ip=source, source_port=0, stun_host=host, stun_port=int(port))[0])
"""
PASSABLE = ("Open Internet", "Full Cone")

# A figure of the relay, its label (or none), what it means, and the keys of turn.limits that decide.
REFUSALS = (
    (
        "calln_relay_refusals_total",
        "486",
        "allocations refused because a user or an address had too many",
        "allocations_per_*",
    ),
    (
        "calln_relay_refusals_total",
        "508",
        "allocations refused because no port or memory was free",
        "allocations",
    ),
    (
        "calln_relay_limited_packets_total",
        "",
        "packets dropped because there were too many",
        "packets_per_second, bits_*",
    ),
    (
        "calln_relay_drops_total",
        "pace",
        "packets outside of running calls dropped because there were too many",
        "packets_per_second, bits_*",
    ),
    (
        "calln_relay_refused_connections_total",
        "",
        "TCP connections refused",
        "connections, connections_per_*",
    ),
    (
        "calln_relay_events_total",
        "locked out",
        "logins refused after too many wrong passwords",
        "wrong_passwords",
    ),
    (
        "calln_relay_drops_total",
        "wrong signatures",
        "requests with a wrong signature dropped",
        "unauthenticated_per_second",
    ),
    (
        "calln_relay_drops_total",
        "new peers",
        "packets dropped because a user had too many new peers",
        "new_peers_per_second",
    ),
    ("calln_relay_drops_total", "strangers", "strangers not answered", "unauthenticated_per_second"),
    ("calln_relay_drops_total", "all strangers", "strangers not answered", "unauthenticated_in_all"),
)


def run(config: Config, _: Namespace) -> int:
    """Print all findings; the exit code is 1 if one of them is bad."""
    sound = True
    for finding in examine(config):
        sound &= finding.well
        print(f"{MARKS[finding.well]} {finding.text}", flush=True)
        if not finding.well:
            print(f"    {finding.advice}", flush=True)
    return 0 if sound else 1


def examine(config: Config) -> Iterator[Finding]:
    machine = LocalMachine(config, relay_figures(config))
    for check in CHECKS:
        yield from check(machine)


def relay_figures(config: Config) -> list[dict[str, Any]] | None:
    try:
        figures: list[dict[str, Any]] = request_json(config.site.state_dir, "GET", "/stats", at=RELAY)[
            "figures"
        ]
    except OperatorError:
        return None
    return figures


def check_configuration(machine: LocalMachine) -> Iterator[Finding]:
    try:
        turn_secrets(machine.config)
    except ConfigError as problem:
        yield Finding(False, str(problem), "correct this; without the secret nobody can make a call")
    else:
        yield Finding(True, "The configuration is valid.")


def check_ports(machine: LocalMachine) -> Iterator[Finding]:
    listening = machine.config.turn.listen
    if machine.figures is not None:
        yield Finding(True, f"The relay runs at {', '.join(map(str, listening))}.")
        return
    place = machine.config.site.state_dir / RELAY.socket
    yield Finding(
        False,
        f"The relay does not answer at {place}.",
        f"start it with {how_to_start(machine.config.site.state_dir, RELAY)}; then check again",
    )
    for address in listening:
        yield check_port(address)


def check_port(address: Address) -> Finding:
    kind = socket.SOCK_DGRAM if address.transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if len(address.ip) == 16 else socket.AF_INET, kind) as sock:
        try:
            if len(address.ip) == 16:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address.host, address.port))
        except OSError as error:
            advice = WHAT_TO_DO.get(error.errno or 0, "write another address in turn.listen")
            return Finding(False, f"{address} cannot be used: {error.strerror}.", advice)
    return Finding(True, f"{address} is free.")


def check_public_address(machine: LocalMachine) -> Iterator[Finding]:
    for size in sorted({len(address.ip) for address in machine.config.turn.listen}):
        local = local_address(machine.config.turn, size)
        if local is not None:
            yield public_address_finding(machine.config, local)
        elif size == 4:
            yield without_ipv4(machine.config)
        else:
            yield Finding(True, "No IPv6 on this machine; visitors reach the relay over IPv4.")


def without_ipv4(config: Config) -> Finding:
    """A machine may have IPv6 alone; then its name leads to no IPv4 address either."""
    if local_address(config.turn, 16) is not None and not leads_to_ipv4(relay_host(config)):
        return Finding(True, "No IPv4 on this machine; only visitors who have IPv6 reach the relay.")
    return Finding(False, "This machine cannot reach the IPv4 Internet.", "check its network: ip -4 route")


def leads_to_ipv4(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None, socket.AF_INET))
    except OSError:
        return False


def public_address_finding(config: Config, local: bytes) -> Finding:
    """Whether browsers get the address at which they can reach the relay."""
    turn, here = config.turn, ip_address(local)
    if here.is_loopback:
        return Finding(True, f"The relay can only be used on this machine ({here}).")
    if any(external.public is None for external in turn.external_ip):
        pairs = {}
    else:
        pairs = dict(pair for external in turn.external_ip for pair in nat_pair(external, turn))
    known = ip_address(pairs.get(local, local))
    seen = ask_servers(turn.stun_servers, len(local))
    if seen is not None and ip_address(seen) != known and pairs:
        return Finding(
            False,
            f"Browsers get the address {known}, but this machine has the public address {ip_address(seen)}.",
            "write the public address into turn.external_ip, or auto",
        )
    if known.is_global or seen is not None:
        return Finding(True, f"Browsers reach the relay at {ip_address(seen) if seen else known}.")
    if known.version == 6 and any(len(listener.ip) == 4 for listener in turn.listen):
        return Finding(True, f"No public IPv6 address here ({known}); visitors reach the relay over IPv4.")
    return Finding(
        False,
        f"{known} is a private address: browsers in other networks cannot reach the relay.",
        "write the public address into turn.external_ip, or write auto there and a server into "
        "turn.stun_servers",
    )


def check_nat(machine: LocalMachine) -> Iterator[Finding]:
    """The kind of NAT in front of this machine; only the first of turn.stun_servers is asked."""
    turn = machine.config.turn
    local = local_address(turn, 4)
    if not turn.stun_servers or local is None:
        return
    server = turn.stun_servers[0]
    command = [sys.executable, "-I", "-c", NAT_PROGRAM, server.host, str(server.port), str(ip_address(local))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NAT_SECONDS)  # noqa: S603
        kind = done.stdout.strip()
    except subprocess.TimeoutExpired:
        kind = ""
    if not kind or kind in ("Blocked", "Meet an error, when do Test1 on Changed IP and Port"):
        yield Finding(
            False,
            f"{server.host} did not say what kind of NAT this machine is behind.",
            "write a STUN server of RFC 3489 with two addresses first into turn.stun_servers",
        )
        return
    advice = "let it forward the ports of turn.listen and turn.relay_ports to this machine, unchanged"
    yield Finding(kind in PASSABLE, f"The NAT in front of this machine: {kind}.", advice)


def check_calls(machine: LocalMachine) -> Iterator[Finding]:
    """A trial call over each transport and address family."""
    if machine.figures is None:
        return
    credential = mint(turn_secrets(machine.config)[0], "doctor", int(time.time()) + TRIAL_SECONDS)
    for listener in filter(is_reachable, machine.config.turn.listen):
        if is_trusted_proxy(listener, machine.config.turn):
            yield Finding(
                True, f"{listener} expects a proxy at this address; try a call through your proxy yourself."
            )
            continue
        try:
            make_trial_call(listener, credential)
        except TrialFailed as why:
            advice = "has the relay the same secret, and does a firewall drop packets?"
            yield Finding(False, f"A trial call through {listener} failed: {why}.", advice)
        else:
            yield Finding(True, f"A trial call through {listener} worked.")


def is_reachable(listener: Address) -> bool:
    """False for [::] on a machine without IPv6."""
    return any(listener.ip) or len(listener.ip) == 4 or source_towards(FAR_AWAY[len(listener.ip)]) is not None


def is_trusted_proxy(listener: Address, turn: Turn) -> bool:
    """Whether the listener expects a PROXY header from this machine itself."""
    here = ip_address(client_address(listener)[0])  # a packet to an own address comes from it
    return any(here in network for network in turn.proxies)


def check_certificate(machine: LocalMachine) -> Iterator[Finding]:
    """Whether the certificate file is good, and a browser would trust the certificate of the relay."""
    illness = check_certificate_file(machine.config)
    if illness is not None:
        yield illness
        return
    if machine.figures is None:
        return
    turn, host = machine.config.turn, relay_host(machine.config)
    for listener in filter(is_reachable, turn.listen):
        if speaks_tls(listener, turn) and not is_trusted_proxy(listener, turn):
            yield check_trust(client_address(listener), host, trust_of_browsers(turn))


def trust_of_browsers(turn: Turn) -> ssl.SSLContext:
    """With tls: internal they know an authority that this machine may not know: then it is enough that the
    relay shows what this authority has signed."""
    context = ssl.create_default_context()
    if turn.certificate and has_own_authority(Path(OPERATORS)):
        context.load_verify_locations(turn.certificate)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def has_own_authority(file: Path) -> bool:
    """Whether a deployment has left this file here, and it says so."""
    try:
        return load_config(file).deploy.tls == "internal"
    except ConfigError:
        return False


def check_certificate_file(config: Config) -> Finding | None:
    reload = "calln-reload" if is_deployed(config.site.state_dir) else "calln relay reload"
    files = from_config.relay_certificate(config.turn)
    try:
        wrong = validity_problem(files) if files else None
    except BadCertificate as problem:
        return Finding(
            False, f"No TLS: {problem}.", f"correct turn.certificate and turn.key, then run {reload}"
        )
    if files is None or wrong is None:
        return None
    advice = f"renew it, then run {reload}; or check that the clock is right: date -u"
    return Finding(False, f"The certificate in {files.chain} {wrong}: no client can use TLS.", advice)


def check_trust(place: tuple[str, int], host: str, context: ssl.SSLContext) -> Finding:
    try:
        with (
            socket.create_connection(place, TLS_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as shown,
        ):
            ends = ssl.cert_time_to_seconds(str((shown.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        advice = (
            "get one for turn.host from an authority that browsers trust, with its intermediate certificates"
        )
        return Finding(False, f"Browsers refuse the certificate: {error.verify_message}.", advice)
    except OSError as error:
        return Finding(
            False, f"No TLS at port {place[1]}: {error.strerror or error}.", "see turn.certificate"
        )
    days = int((ends - time.time()) // 86400)
    return Finding(days >= RENEW_DAYS, f"The certificate is valid for {days} days.", "renew it now")


def check_refusals(machine: LocalMachine) -> Iterator[Finding]:
    if machine.figures is None:
        return
    refused = False
    for name, label, words, keys in REFUSALS:
        number = sum(
            figure["value"]
            for figure in machine.figures
            if figure["name"] == name and (not label or label in figure["labels"].values())
        )
        if number:
            refused = True
            advice = f"if you expect fewer, see turn.limits.{keys}"
            yield Finding(False, f"Since the relay started: {number:.0f} {words}.", advice)
    if not refused:
        yield Finding(True, "No limit has been reached since the relay started.")


CHECKS: tuple[Callable[[LocalMachine], Iterator[Finding]], ...] = (
    check_configuration,
    check_secrets,
    check_owners,
    check_ports,
    check_public_address,
    check_nat,
    check_calls,
    check_channel,
    check_store,
    check_certificate,
    check_buffers,
    check_descriptors,
    check_disk,
    check_engine,
    check_interfaces,
    check_clock,
    check_refusals,
)
