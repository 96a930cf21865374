"""An open-loop load on a TURN relay: sessions with a channel each, sent by sendmmsg, counted by the kernel.

Run by tests.bench.relay inside a network namespace. Reads commands from stdin, one JSON object a line, and
answers each with one line. Nothing is received in Python: the sockets' buffers are tiny, and what arrives at
a full one is in the system's own table of drops, so that the counting costs the machine nothing.
"""

from __future__ import annotations

import ctypes
import json
import resource
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from aioice import stun
from aioice.turn import make_integrity_key

LIBC = ctypes.CDLL(None, use_errno=True)
TINY = 1  # the kernel's smallest receive buffer: a packet or two
TRIES = 50
DONT_WAIT = 0x40  # MSG_DONTWAIT
BEHIND = 0.05  # seconds of backlog that are forgiven rather than sent as one burst


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class MsgHdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_long),  # an int and four bytes of padding
        ("sent", ctypes.c_long),  # the same; with it this is struct mmsghdr
    ]


Order = dict[str, Any]  # one line of stdin


class Session(NamedTuple):
    """One allocation with one channel: what its client's socket sends, and what its peer's."""

    client: socket.socket
    peer: socket.socket | None


class Account(NamedTuple):
    server: tuple[str, int]
    username: str
    password: str


def request(method: stun.Method, **attributes: Any) -> stun.Message:
    message = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
    message.attributes.update({name.replace("_", "-"): value for name, value in attributes.items()})
    return message


def ask(sock: socket.socket, message: stun.Message, key: bytes | None = None) -> stun.Message:
    """One transaction over a connected socket, repeated while a relay may still be starting."""
    if key is not None:
        message.add_message_integrity(key)
    data = bytes(message)
    for _ in range(TRIES):
        try:
            sock.send(data)
            while True:
                answer = stun.parse_message(sock.recv(2048))
                if answer.transaction_id == message.transaction_id:
                    return answer
        except TimeoutError:
            continue
        except ConnectionRefusedError:
            time.sleep(0.2)
    raise TimeoutError("the relay does not answer")


def allocate(account: Account, local: str, peer: tuple[str, int]) -> tuple[socket.socket, tuple[str, int]]:
    """A client's socket with an allocation and channel 0x4000 to `peer`; and the relayed address."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((local, 0))
    sock.connect(account.server)
    sock.settimeout(0.5)
    challenge = ask(sock, request(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000)).attributes
    realm, nonce = challenge["REALM"], challenge["NONCE"]
    key = make_integrity_key(account.username, realm, account.password)
    who = {"USERNAME": account.username, "REALM": realm, "NONCE": nonce}
    answer = ask(sock, request(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=0x11000000, **who), key)
    relayed = answer.attributes["XOR-RELAYED-ADDRESS"]
    channel = request(stun.Method.CHANNEL_BIND, CHANNEL_NUMBER=0x4000, XOR_PEER_ADDRESS=peer, **who)
    answer = ask(sock, channel, key)
    if answer.message_class is not stun.Class.RESPONSE:
        raise RuntimeError(f"ChannelBind was refused: {answer}")
    return sock, relayed


def session(account: Account, local: str, *, with_peer: bool) -> Session:
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind((local, 0))
    client, relayed = allocate(account, local, peer.getsockname())
    if not with_peer:
        peer.close()
        return Session(client, None)
    peer.connect(relayed)
    for sock in (client, peer):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY)
        sock.setblocking(False)
    return Session(client, peer)


def arrived(sessions: list[Session]) -> tuple[int, int]:
    """Packets that ever reached the clients' and the peers' sockets, read by nobody."""
    drops = {}
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        drops[int(fields[1].rpartition(":")[2], 16)] = int(fields[-1])
    return (
        sum(drops[one.client.getsockname()[1]] for one in sessions),
        sum(drops[one.peer.getsockname()[1]] for one in sessions if one.peer),
    )


def settled(sessions: list[Session]) -> tuple[int, int]:
    """The same, once the relay's queues are empty."""
    last, now = (-1, -1), arrived(sessions)
    while now != last:
        time.sleep(0.3)
        last, now = now, arrived(sessions)
    return now


class Gun:
    """The same few packets, again and again, from many sockets in turn: one system call per socket."""

    def __init__(self, sessions: list[Session], size: int, batch: int) -> None:
        voice = bytes(size)
        self.batch = batch
        framed = self.messages(struct.pack("!HH", 0x4000, size) + voice)
        plain = self.messages(voice)
        self.shots = [
            shot
            for one in sessions
            if one.peer
            for shot in ((one.client.fileno(), framed), (one.peer.fileno(), plain))
        ]

    def messages(self, data: bytes) -> ctypes.Array[MsgHdr]:
        self.kept = [*getattr(self, "kept", []), buffer := ctypes.create_string_buffer(data, len(data))]
        vector = IoVec(ctypes.cast(buffer, ctypes.c_void_p), len(data))
        self.kept.append(vector)
        headers = (MsgHdr * self.batch)()
        for header in headers:
            header.vectors, header.vector_count = ctypes.pointer(vector), 1
        return headers

    def fire(self, rate: float, seconds: float) -> tuple[int, float]:
        """Packets sent, and how long it took."""
        send, batch, shots = LIBC.sendmmsg, self.batch, self.shots
        step = batch / rate
        sent, count = 0, len(shots)
        begin = due = time.monotonic()
        index = 0
        while (now := time.monotonic()) - begin < seconds:
            if now < due:
                if due - now > 0.0003:
                    time.sleep(due - now - 0.0002)
                continue
            descriptor, headers = shots[index]
            done = send(descriptor, headers, batch, DONT_WAIT)
            sent += max(done, 0)
            index = (index + 1) % count
            due = max(due + step, now - BEHIND)
        return sent, time.monotonic() - begin


def make_sessions(sessions: list[Session], order: Order) -> dict[str, float]:
    account = Account((order["host"], order["port"]), order["username"], order["password"])
    begin = time.monotonic()
    for _ in range(order["count"]):
        sessions.append(session(account, order["local"], with_peer=order["peers"]))
    return {"seconds": time.monotonic() - begin}


def fire(sessions: list[Session], order: Order) -> dict[str, float]:
    gun = Gun(sessions, order["size"], order["batch"])
    before = arrived(sessions)
    sent, seconds = gun.fire(order["rate"], order["seconds"])
    after = arrived(sessions)
    return {
        "sent": sent,
        "seconds": seconds,
        "to_clients": after[0] - before[0],
        "to_peers": after[1] - before[1],
    }


def settle(sessions: list[Session], _: Order) -> dict[str, float]:
    """Wait until the relay's queues are empty; how many packets that were."""
    before = arrived(sessions)
    return {"late": sum(settled(sessions)) - sum(before)}


VERBS = {"sessions": make_sessions, "fire": fire, "settle": settle}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sessions: list[Session] = []
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(VERBS[order["verb"]](sessions, order)), flush=True)


if __name__ == "__main__":
    main()
