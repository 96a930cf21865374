"""An open-loop load on a TURN relay: sessions with a channel each, probes that are timed, and strangers.

Run by tests.bench.relay inside a network namespace. Reads orders from stdin, one JSON object a line, and
answers each with one line.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import time
from functools import partial
from typing import Any

from aioice import stun

from tests.bench.client import Account, Client, endpoint, framed, request
from tests.bench.gun import Cartridge, Pipe, Shot, dropped, fire, shrink
from tests.bench.steady import Session as Probe
from tests.bench.steady import Timed
from tests.bench.talk import INWARD, OUTWARD, PACKET, open_all

VOICE = [bytes(PACKET)]
FEW = 64  # different packets of each client, where no two clients' are the same
FIRST_BOUNCED = 50_000  # port of the first of a bounce's "relayed addresses"
FILL = 4  # packets for each socket: more than a tiny buffer holds
FILL_RATE = 20_000  # packets a second, which any relay carries

Order = dict[str, Any]
ASKED = {
    "binding": (stun.Method.BINDING, {}),
    "allocation": (stun.Method.ALLOCATE, {"REQUESTED-TRANSPORT": 0x11000000}),
}


class Load:
    """All sockets of a run."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.pipes: list[Pipe] = []
        self.peers: list[socket.socket] = []
        self.strangers: list[socket.socket] = []
        self.voices = VOICE, VOICE  # what clients say, and what peers do, by turns
        self.timed = Timed()
        self.probes: list[Probe] = []
        self.turn = 0

    def sessions(self, order: Order) -> Order:
        """Allocations, each with a channel, and with a peer that sends where one is wanted."""
        begin = time.monotonic()
        for _ in range(order["count"]):
            self.join(order)
        return {"seconds": time.monotonic() - begin}

    def join(self, order: Order) -> None:
        client = Client(account(order), order["local"], order["transport"])
        peer = endpoint(order["local"])
        relayed = client.allocate()
        client.reach(peer.getsockname(), order.get("frame", "channel"))
        self.clients.append(client)
        if not order["peers"]:
            peer.close()
            return
        peer.connect(relayed)
        shrink(peer)
        self.peers.append(peer)
        if order["transport"] == "udp":
            shrink(client.line.sock)
        else:
            self.pipes.append(Pipe(client.line.sock, framed(VOICE[0])))

    def bounced(self, order: Order) -> Order:
        """The sockets of such sessions, where no relay is asked: each gets back what it sends."""
        for number in range(order["count"]):
            client, peer = Client(account(order), order["local"]), endpoint(order["local"])
            client.speak(peer.getsockname(), order["frame"])
            peer.connect((order["host"], FIRST_BOUNCED + number))
            self.clients.append(client)
            self.peers.append(peer)
            shrink(client.line.sock)
            shrink(peer)
        self.voices = OUTWARD, INWARD
        return {}

    def call(self, _: Order) -> Order:
        """All sessions are calls from now on, of encrypted voice."""
        open_all(self.clients, self.peers)
        self.voices = OUTWARD, INWARD
        return {}

    def strange(self, order: Order) -> Order:
        """Sockets that the relay does not know."""
        for _ in range(order["count"]):
            sock = endpoint(order["local"])
            sock.connect((order["host"], order["port"]))
            shrink(sock)
            self.strangers.append(sock)
        return {}

    def probing(self, order: Order) -> Order:
        """Sessions whose packets are timed: a thousand a second, all together, in every later volley."""
        probes = [Probe(account(order), order["local"], self.timed) for _ in range(order["count"])]
        self.probes += probes
        return {}

    def aside(self) -> None:
        for pipe in self.pipes:
            pipe.read()
        if self.probes:
            self.turn += 1
            self.probes[self.turn // 2 % len(self.probes)].send(self.turn)

    def shots(self, batch: int) -> list[Shot]:
        said, heard = self.voices
        channel, plain = Cartridge(list(map(framed, said)), batch), Cartridge(heard, batch)
        outward: list[Shot] = [partial(pipe.shoot, batch) for pipe in self.pipes] or [
            (channel if client.wrap is framed else Cartridge(list(map(client.wrap, said[:FEW])), batch)).shot(
                client.line.sock
            )
            for client in self.clients
        ]
        return [
            shot
            for there, peer in zip(outward, self.peers, strict=True)
            for shot in (there, plain.shot(peer))
        ]

    def arrived(self) -> tuple[int, int]:
        """At the clients, and at the peers; each counts from the time when its buffer was full."""
        streams = sum(pipe.arrived for pipe in self.pipes)
        datagrams = () if self.pipes else (client.line.sock for client in self.clients)
        return streams + dropped(datagrams), dropped(self.peers)

    def fill(self, _: Order) -> Order:
        """Fill the tiny buffers: from now on each arrival is counted."""
        shots = self.shots(1)
        fire(shots, 1 / FILL_RATE, FILL * len(shots) / FILL_RATE, lambda: None)
        self.settled()
        return {}

    def volley(self, order: Order) -> Order:
        """Both directions at this rate, then the time that the relay's queues take to empty."""
        batch = order["batch"]
        shots = self.shots(batch)
        before, busy = self.arrived(), time.process_time()
        sent, seconds = fire(shots, batch / order["rate"], order["seconds"], self.aside)
        busy = time.process_time() - busy
        after = self.arrived()
        clients, peers = (now - then for now, then in zip(after, before, strict=True))
        late = sum(self.settled()) - sum(after)
        came = {"to_clients": clients, "to_peers": peers, "late": late}
        return {"sent": sent, "seconds": seconds, "busy": busy, **came, **self.timing()}

    def timing(self) -> Order:
        for probe in self.probes:
            for ear in probe.ears().values():
                ear()
        self.timed.under_way.clear()
        told = self.timed.report()
        return {name: told[name] for name in ("relayed", "direct")}

    def flood(self, order: Order) -> Order:
        """Requests from strangers: Binding requests, or the first ones for an allocation."""
        batch = order["batch"]
        asked = Cartridge([bytes(request(*ASKED[order.get("asked", "binding")]))], batch)
        shots = [asked.shot(sock) for sock in self.strangers]
        before, busy = dropped(self.strangers), time.process_time()
        sent, seconds = fire(shots, batch / order["rate"], order["seconds"], lambda: None)
        busy = time.process_time() - busy
        return {
            "sent": sent,
            "seconds": seconds,
            "busy": busy,
            "answered": dropped(self.strangers) - before,
        }

    def settled(self) -> tuple[int, int]:
        """What has arrived, once the relay's queues are empty."""
        last, now = (-1, -1), self.arrived()
        while now != last:
            time.sleep(0.2)
            for pipe in self.pipes:
                pipe.read()
            last, now = now, self.arrived()
        return now


def account(order: Order) -> Account:
    return Account((order["host"], order["port"]), order["username"], order["password"])


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    load = Load()
    verbs = (
        load.sessions,
        load.bounced,
        load.call,
        load.strange,
        load.probing,
        load.fill,
        load.volley,
        load.flood,
    )
    does = {verb.__name__: verb for verb in verbs}
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(does[order.pop("verb")](order)), flush=True)


if __name__ == "__main__":
    main()
