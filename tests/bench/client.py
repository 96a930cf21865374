"""A TURN client of the loads: over UDP, TCP or TLS it allocates, binds, permits, refreshes and releases.

It waits for each answer, and is as simple as a load may be: it trusts the relay that it measures.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from aioice import stun
from aioice.turn import make_integrity_key

TRIES = 50
PATIENCE = 0.5  # seconds before a request is repeated
LARGEST = 2048  # bytes; nothing that a load sends is longer
UDP = 17 << 24  # REQUESTED-TRANSPORT
CHANNEL = 0x4000
FRAMES = ("channel", "indication", "fingerprint")  # in which a client's data are

AddressPair = tuple[str, int]


class Account(NamedTuple):
    """Where the relay is, and who asks."""

    server: AddressPair
    username: str
    password: str


class Refused(Exception):
    """The relay answered with an error."""


class Line(Protocol):
    """Carries whole packets to the relay and back. Raises TimeoutError and ConnectionRefusedError."""

    sock: socket.socket

    def send(self, data: bytes) -> None: ...
    def receive(self) -> bytes: ...


class Datagrams:
    """UDP."""

    def __init__(self, account: Account, local: str) -> None:
        self.sock = endpoint(local)
        self.sock.connect(account.server)
        self.sock.settimeout(PATIENCE)

    def send(self, data: bytes) -> None:
        self.sock.send(data)

    def receive(self) -> bytes:
        return self.sock.recv(LARGEST)


class Stream:
    """TCP: whole frames, one behind the other (RFC 8656 §12.5)."""

    def __init__(self, account: Account, local: str) -> None:
        self.sock = connected(account, local)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(PATIENCE)
        self.held = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data + bytes(-len(data) & 3))

    def receive(self) -> bytes:
        while len(self.held) < 4 or len(self.held) < (size := frame_size(self.held)):
            more = self.sock.recv(LARGEST)
            if not more:
                raise ConnectionResetError("the relay has closed the connection")
            self.held += more
        frame, self.held = self.held[:size], self.held[size:]
        return frame


class Encrypted(Stream):
    """TLS; the relay's certificate is made for the run, so nobody vouches for it."""

    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CONTEXT.check_hostname = False
    CONTEXT.verify_mode = ssl.CERT_NONE

    def __init__(self, account: Account, local: str) -> None:
        super().__init__(account, local)
        self.sock.settimeout(TRIES * PATIENCE)
        self.sock = self.CONTEXT.wrap_socket(self.sock)
        self.sock.settimeout(PATIENCE)


LINES: dict[str, type[Datagrams | Stream]] = {"udp": Datagrams, "tcp": Stream, "tls": Encrypted}


def endpoint(local: str) -> socket.socket:
    """A socket of a client or a peer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((local, 0))
    return sock


def connected(account: Account, local: str) -> socket.socket:
    """Tried again while a relay may still be starting."""
    for _ in range(TRIES):
        try:
            return socket.create_connection(account.server, PATIENCE, (local, 0))
        except (ConnectionRefusedError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError("the relay takes no connection")


def frame_size(held: bytes) -> int:
    kind = int.from_bytes(held[:2])
    length = int.from_bytes(held[2:4])
    return 4 + (length + 3 & ~3) if kind & 0xC000 else 20 + length


def framed(data: bytes) -> bytes:
    """ChannelData of the one channel that a client here has."""
    return struct.pack("!HH", CHANNEL, len(data)) + data


def indicated(peer: AddressPair, data: bytes, *, fingerprint: bool) -> bytes:
    """A Send indication, as browsers make them."""
    message = stun.Message(message_method=stun.Method.SEND, message_class=stun.Class.INDICATION)
    message.attributes |= {"XOR-PEER-ADDRESS": peer, "DATA": data}
    if fingerprint:
        message.add_fingerprint()
    return bytes(message)


def request(method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
    message = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
    message.attributes.update(attributes)
    return message


class Client:
    """One five-tuple, and what the relay has said to it: realm and nonce."""

    def __init__(self, account: Account, local: str, transport: str = "udp") -> None:
        self.account = account
        self.line: Line = LINES[transport](account, local)
        self.signed: dict[str, Any] = {}
        self.key = b""
        self.wrap: Callable[[bytes], bytes] = framed  # data for its peer

    def ask(self, message: stun.Message) -> stun.Message:
        """One transaction, repeated while a relay may still be starting."""
        data = bytes(message)
        for _ in range(TRIES):
            try:
                self.line.send(data)
                while True:
                    answer = self.line.receive()
                    if answer[:1] < b"\x40" and answer[8:20] == message.transaction_id:
                        return stun.parse_message(answer)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(0.2)
        raise TimeoutError(f"the relay does not answer {message.message_method.name}")

    def learn(self, challenge: stun.Message) -> None:
        """Take realm and nonce from a 401 or 438."""
        _, username, password = self.account
        realm, nonce = challenge.attributes["REALM"], challenge.attributes["NONCE"]
        self.signed = {"USERNAME": username, "REALM": realm, "NONCE": nonce}
        self.key = make_integrity_key(username, realm, password)

    def sign(self, method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
        message = request(method, {**attributes, **self.signed})
        message.add_message_integrity(self.key)
        return message

    def wish(self, method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
        """A signed request that has to succeed. Raises Refused."""
        answer = self.ask(self.sign(method, attributes))
        if answer.attributes.get("ERROR-CODE", (0,))[0] == 438:
            self.learn(answer)
            answer = self.ask(self.sign(method, attributes))
        if answer.message_class is not stun.Class.RESPONSE:
            raise Refused(f"{method.name}: {answer.attributes.get('ERROR-CODE')}")
        return answer

    def allocate(self) -> AddressPair:
        """The relayed address."""
        wanted = {"REQUESTED-TRANSPORT": UDP}
        self.learn(self.ask(request(stun.Method.ALLOCATE, wanted)))
        relayed: AddressPair = self.wish(stun.Method.ALLOCATE, wanted).attributes["XOR-RELAYED-ADDRESS"]
        return relayed

    def bind(self, peer: AddressPair) -> None:
        self.wish(stun.Method.CHANNEL_BIND, {"CHANNEL-NUMBER": CHANNEL, "XOR-PEER-ADDRESS": peer})

    def reach(self, peer: AddressPair, frame: str) -> None:
        """Let data go to this peer and come from it, in a frame of FRAMES."""
        if frame == "channel":
            self.bind(peer)
        else:
            self.permit(peer)
        self.speak(peer, frame)

    def speak(self, peer: AddressPair, frame: str) -> None:
        """As `reach`, where nobody is asked for leave."""
        if frame != "channel":
            self.wrap = partial(indicated, peer, fingerprint=frame == "fingerprint")

    def permit(self, peer: AddressPair) -> None:
        self.wish(stun.Method.CREATE_PERMISSION, {"XOR-PEER-ADDRESS": peer})

    def release(self) -> None:
        self.wish(stun.Method.REFRESH, {"LIFETIME": 0})
        self.line.sock.close()
