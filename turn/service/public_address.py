"""Which public address this machine has: first its own interfaces say it, then the STUN servers of the
configuration. No other server is asked."""

from __future__ import annotations

import math
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from host.settings import HostPort
from turn.config.section import Turn
from turn.config.values import External
from turn.errors import BadRequest
from turn.flows import Address
from turn.wire.attributes import MAPPED_ADDRESS, XOR_MAPPED_ADDRESS
from turn.wire.stun import BINDING_REQUEST, SUCCESS, WireError, build, parse

FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}  # by the bytes of an address
FAR_AWAY = {4: "192.0.2.1", 16: "2001:db8::1"}  # behind the default route; nothing is sent there
WAITS = (0.25, 0.5, 1.0, 2.0)  # seconds for an answer; a lost packet is sent again (RFC 8489 §6.2.1)
MAX_ANSWER = 2048
ASK_SECONDS = 300.0  # between two questions: a provider may give this network another address
RETRY_SECONDS = 10.0  # while no server answers: then nobody gets a relayed address


class NoServer(Exception):
    """The public address cannot be found, now or later; the text says what to write."""


class PublicAddresses:
    """What `external_ip: auto` stands for: found at the start and at each reload, and asked for again.

    An address may come, change or become public at any time, here or at a router before this machine.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.seen: dict[bytes, bytes] = {}  # local to public address, as a server last saw it
        self.due = math.inf  # when to ask again, though nothing has changed here

    def resolve(self, turn: Turn) -> tuple[Turn, frozenset[int]]:
        """The same section, with addresses in the place of `auto`. May take seconds.

        Args:
            turn: the section as it stands in the file.

        Returns:
            The section, and the families (bytes of an address) in which no public address is known: what
            belongs to this machine there cannot be reached from outside.

        Raises:
            NoServer: this machine has a private address, and the file names no server to ask.
        """
        self.due = math.inf
        if all(external.public for external in turn.external_ip):
            return turn, frozenset()
        for size in families(turn):
            self.ask(turn, size)
        return self.as_known(turn)

    def ask(self, turn: Turn, size: int) -> None:
        """Ask servers for the public address of one family, if it has to be asked for. Raises NoServer."""
        local = local_address(turn, size)
        if local is None or is_reachable(local):
            return
        if size == 4 and not turn.stun_servers:
            raise NoServer(
                "turn.external_ip: auto found a private address only, and turn.stun_servers names no server: "
                "name one, or write the public address"
            )
        answer = ask_servers(turn.stun_servers, size)
        self.ask_again_in(ASK_SECONDS if answer else RETRY_SECONDS)
        if answer:
            self.seen[local] = answer

    def as_known(self, turn: Turn) -> tuple[Turn, frozenset[int]]:
        """The same as `resolve`, from what servers have said before: one that does not answer now, or not in
        time, may have answered then."""
        found = {size: self.known(turn, size) for size in families(turn)}
        pairs = [
            External(ip_address(public), ip_address(local))
            for local, public in filter(None, found.values())
            if local != public
        ]
        written = [external for external in turn.external_ip if external.public]
        unknown = frozenset(size for size, pair in found.items() if pair is None)
        return turn.model_copy(update={"external_ip": (*written, *pairs)}), unknown

    def known(self, turn: Turn, size: int) -> tuple[bytes, bytes] | None:
        """Local and public address in one family; None: there is none yet."""
        local = local_address(turn, size)
        if local is None:
            return None
        public = local if is_reachable(local) else self.seen.get(local)
        return (local, public) if public else None

    def is_due(self) -> bool:
        """Whether a server has to be asked again."""
        return self.clock() >= self.due

    def ask_again_in(self, seconds: float) -> None:
        self.due = min(self.due, self.clock() + seconds)


def families(turn: Turn) -> list[int]:
    """Of the addresses to listen at, by their bytes."""
    return sorted({len(address.ip) for address in turn.listen})


def is_reachable(local: bytes) -> bool:
    """Whether clients that reach it know it by this very address."""
    return ip_address(local).is_loopback or ip_address(local).is_global


def default_sources() -> frozenset[bytes]:
    """The addresses that packets to the Internet leave from, at most one of each family. Raises OSError."""
    return frozenset(filter(None, map(source_towards, FAR_AWAY.values())))


def local_address(turn: Turn, size: int, towards: str = "") -> bytes | None:
    """The address that we relay from in one family: as configured, else the one of the default route."""
    configured = [ip.packed for ip in turn.relay_addresses] + [address.ip for address in turn.listen]
    fitting = [ip for ip in configured if len(ip) == size and any(ip)]
    return fitting[0] if fitting else source_towards(towards or FAR_AWAY[size])


def source_towards(host: str) -> bytes | None:
    """The address that packets to this host leave from; none is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, 9))
        except OSError:
            return None
        return socket.inet_pton(family, sock.getsockname()[0])


def ask_servers(servers: Iterable[HostPort], size: int) -> bytes | None:
    """Our address as the first server that answers sees it; None: no server answers."""
    return next(filter(None, (ask_server(server, size) for server in servers)), None)


def ask_server(server: HostPort, size: int) -> bytes | None:
    """Send a Binding request in one family until it is answered or the time is over."""
    family = FAMILIES[size]
    try:
        address = socket.getaddrinfo(server.host, server.port, family, socket.SOCK_DGRAM)[0][4]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            return request_binding(sock)
    except OSError:
        return None


def request_binding(sock: socket.socket) -> bytes | None:
    """Raises OSError if the network says that the server is not there."""
    transaction = secrets.token_bytes(12)
    request = build(BINDING_REQUEST, transaction, [])
    for seconds in WAITS:
        sock.send(request)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                mapped = mapped_address(sock.recv(MAX_ANSWER), transaction)
            except TimeoutError:
                break
            if mapped is not None:
                return mapped.ip
    return None


def mapped_address(data: bytes, transaction: bytes) -> Address | None:
    """The address in the answer to our request; None for any other packet."""
    try:
        message = parse(data)
        if message.type != BINDING_REQUEST | SUCCESS or message.transaction != transaction:
            return None
        return message.get(XOR_MAPPED_ADDRESS) or message.get(MAPPED_ADDRESS)
    except (WireError, BadRequest):
        return None
