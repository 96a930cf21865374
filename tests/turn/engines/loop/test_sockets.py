"""The operating system's functions, one by one."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from turn.engines.loop import icmp, sockets
from turn.flows import Address, Transport

HERE = {"v4": Address.of("127.0.0.1", 0), "v6": Address.of("::1", 0)}
ROOT = Path(__file__).parents[4]
ANY = {"v4": Address.of("0.0.0.0", 0), "v6": Address.of("::", 0)}
families = pytest.mark.parametrize("family", HERE)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(sock: socket.socket) -> Address:
    return sockets.address(sock.getsockname()[:2])


@families
def test_addresses_survive_the_system(family: str) -> None:
    assert sockets.address(sockets.sockaddr(HERE[family])) == HERE[family]


@families
def test_a_relayed_address_is_taken_once_and_joined_often(family: str, stack: ExitStack) -> None:
    first = stack.enter_context(closing(sockets.open_relayed(HERE[family])))
    with pytest.raises(OSError, match="in use") as taken:
        sockets.open_relayed(bound(first))
    assert taken.value.errno == errno.EADDRINUSE
    for _ in range(3):
        leg = stack.enter_context(closing(sockets.open_connected(bound(first), bound(first))))
        assert bound(leg) == bound(first)


@families
def test_a_listener_is_taken_once_and_its_buffer_is_large(family: str, stack: ExitStack) -> None:
    first = stack.enter_context(closing(sockets.udp_listener(ANY[family])))
    with pytest.raises(OSError, match="in use"):
        sockets.udp_listener(bound(first))
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())  # for who may not force it
    assert sockets.receive_buffer(first) >= min(sockets.LISTENER_BUFFER, most)
    assert not first.getblocking()


@families
def test_a_wildcard_tells_and_chooses_its_own_address(family: str, stack: ExitStack) -> None:
    listener = stack.enter_context(closing(sockets.udp_listener(ANY[family])))
    client = stack.enter_context(socket.socket(listener.family, socket.SOCK_DGRAM))
    client.settimeout(5)
    host = sockets.sockaddr(HERE[family])[0].replace(".0.1", ".0.3")
    client.sendto(b"hello", (host, bound(listener).port))
    listener.settimeout(5)
    data, control, _, there = listener.recvmsg(100, sockets.CONTROL_BYTES)
    ip = sockets.local_ip(control)
    assert ip is not None
    assert (data, ip) == (b"hello", Address.of(host, 0).ip)
    listener.sendmsg([b"answer"], sockets.from_local_ip(ip), 0, there)
    assert client.recvfrom(100)[1][:2] == (host, bound(listener).port)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen to the wire")
def test_only_what_must_not_be_fragmented_says_so(stack: ExitStack) -> None:
    wire = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)))
    wire.bind(("lo", 0x0800))
    wire.settimeout(5)
    relayed = stack.enter_context(closing(sockets.open_relayed(HERE["v4"])))
    here = bound(relayed)
    sockets.send_unfragmented(relayed, b"whole", here)
    relayed.sendto(b"plain", sockets.sockaddr(here))
    seen: dict[bytes, int] = {}
    while seen.keys() != {b"whole", b"plain"}:
        packet = wire.recv(65536)
        if packet[9] == socket.IPPROTO_UDP and packet[22:24] == here.port.to_bytes(2):
            seen[packet[28:]] = packet[6] & 0x40
    assert seen == {b"whole": 0x40, b"plain": 0}


@families
def test_what_an_earlier_packet_met_keeps_no_whole_one_back(family: str, stack: ExitStack) -> None:
    relayed = stack.enter_context(closing(sockets.open_relayed(HERE[family])))
    relayed.setsockopt(sockets.LEVEL[relayed.family], icmp.RECVERR[relayed.family], 1)
    peer, gone = (stack.enter_context(closing(sockets.open_relayed(HERE[family]))) for _ in range(2))
    nobody = bound(gone)
    gone.close()
    relayed.sendto(b"refused", sockets.sockaddr(nobody))
    assert select.select([relayed], [], [], 5)[0]
    sockets.send_unfragmented(relayed, b"whole", bound(peer))
    assert select.select([peer], [], [], 5)[0]
    assert peer.recv(100) == b"whole"


def test_an_unsaid_local_address_is_none() -> None:
    assert sockets.local_ip([]) is None


@families
def test_ipv4_and_ipv6_do_not_mix(family: str, stack: ExitStack) -> None:
    listener = stack.enter_context(closing(sockets.udp_listener(ANY[family])))
    other = ANY["v4" if family == "v6" else "v6"]._replace(port=bound(listener).port)
    assert stack.enter_context(closing(sockets.udp_listener(other)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_sends_at_once_and_notices_who_is_gone_within_two_minutes(host: str) -> None:
    with (
        sockets.tcp_listener(Address.of(host, 0, "tcp")) as listener,
        socket.create_connection(listener.getsockname()[:2]),
    ):
        connection, _ = listener.accept()
        with connection:
            sockets.set_tcp_options(connection)
            of = {name: connection.getsockopt(socket.IPPROTO_TCP, name) for name, _ in sockets.KEEPALIVE}
            idle, every, count = of.values()
            assert idle + every * count <= 120
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not connection.getblocking()
            for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                assert connection.getsockopt(socket.SOL_SOCKET, buffer) <= 2 * sockets.STREAM_BUFFER


def test_a_listener_opens_again_at_once_where_connections_lingered() -> None:
    with sockets.tcp_listener(Address.of("127.0.0.1", 0, "tcp")) as listener:
        here = listener.getsockname()
        client = socket.create_connection(here)
        listener.accept()[0].close()
        client.close()
    sockets.tcp_listener(Address.of(here[0], here[1], "tcp")).close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@families
def test_beside_another_of_ours_only_where_that_is_wished(
    family: str, transport: Transport, stack: ExitStack
) -> None:
    first = stack.enter_context(closing(sockets.open_listener(HERE[family]._replace(transport=transport))))
    here = bound(first)._replace(transport=transport)
    with pytest.raises(OSError, match="in use"):
        sockets.open_listener(here)
    second = stack.enter_context(closing(sockets.open_listener(here, shared=True)))
    assert bound(second) == bound(first)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_beside_a_foreign_socket_nothing_is_bound(transport: Transport, stack: ExitStack) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    foreign = stack.enter_context(socket.socket(socket.AF_INET, kind))
    foreign.bind(("127.0.0.1", 0))
    if transport == "tcp":
        foreign.listen()
    with pytest.raises(OSError, match="in use"):
        sockets.open_listener(bound(foreign)._replace(transport=transport), shared=True)


@pytest.mark.parametrize("here", [*HERE.values(), *ANY.values()], ids=str)
def test_who_is_turned_away_comes_to_the_other(here: Address, stack: ExitStack) -> None:
    first = stack.enter_context(closing(sockets.open_listener(here)))
    second = stack.enter_context(closing(sockets.open_listener(bound(first), shared=True)))
    host = "::1" if len(here.ip) == 16 else "127.0.0.1"
    strangers = [stack.enter_context(socket.socket(first.family, socket.SOCK_DGRAM)) for _ in range(40)]
    for words in (b"before", b"after"):
        for stranger in strangers:
            stranger.sendto(words, (host, bound(first).port))
        sockets.stop_receiving(first)
    at_first, at_second = list(waiting(first)), list(waiting(second))
    assert at_first == [b"before"] * len(at_first)
    assert sorted(at_first + at_second) == [b"after"] * 40 + [b"before"] * 40


def waiting(sock: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            yield sock.recv(100)


@families
def test_no_new_handshakes_and_those_begun_are_kept(family: str, stack: ExitStack) -> None:
    first = stack.enter_context(closing(sockets.tcp_listener(HERE[family])))
    early = stack.enter_context(socket.create_connection(bound_pair(first)))
    sockets.drop_new_handshakes(first)
    with pytest.raises(TimeoutError):
        socket.create_connection(bound_pair(first), timeout=0.3)
    accepted = stack.enter_context(first.accept()[0])
    early.sendall(b"hello")
    assert accepted.recv(100) == b"hello"


CLOSE_AS_NOBODY = """
import encodings.idna, os, socket
from turn.engines.loop import sockets
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
listener = sockets.tcp_listener(sockets.address(("127.0.0.1", 0)))
early = socket.create_connection(listener.getsockname())
sockets.drop_new_handshakes(listener)
accepted, _ = listener.accept()
early.sendall(b"hello")
print(accepted.recv(100).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_listener_closes_without_the_right_to_filter() -> None:
    """There are kernels that refuse it to everybody but root; the relay runs as somebody else."""
    done = subprocess.run([sys.executable, "-c", CLOSE_AS_NOBODY], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("hello", "")


def bound_pair(sock: socket.socket) -> tuple[str, int]:
    return sockets.sockaddr(bound(sock))
