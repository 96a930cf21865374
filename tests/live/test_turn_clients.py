"""Other people's TURN clients against the running relay: turnutils, aioice and Chromium; UDP, TCP and TLS."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import pytest_asyncio
import yaml
from aioice.turn import TurnTransport, create_turn_endpoint
from playwright.async_api import Playwright

from host.tls import Certificate
from tests.live.visitors import CHROMIUM
from tests.ports import free_port
from tests.turn.engines.certificates import certificate
from tests.turn.engines.tcp.test_acceptor import shown
from turn.flows import Address

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds for a client that paces itself, on a busy machine
SECRET = "a secret for these tests"
USER, PASSWORD = "alice", "password of hers"
RELAY_PORTS = "26000-27999"  # below the ports that the system gives out
MESSAGES, CLIENTS = 20, 2
HOSTS = {"ipv4": "127.0.0.1", "ipv6": "::1"}

pytestmark = pytest.mark.asyncio(loop_scope="module")
turnutils = pytest.mark.skipif(
    shutil.which("turnutils_uclient") is None, reason="Debian's coturn is not installed: no turnutils_uclient"
)

STATIC = ("-u", USER, "-w", PASSWORD)
REST = ("-u", "bob", "-W", SECRET)
ROWS: dict[str, tuple[str, ...]] = {  # flags of uclient: -y to each other, -s indications, -c no RTCP
    "channels to a peer": STATIC,
    "channels to a peer, no RTCP": (*STATIC, "-c"),
    "indications to a peer": (*STATIC, "-s"),
    "indications to a peer, no RTCP": (*STATIC, "-s", "-c"),
    "channels to each other": (*STATIC, "-y"),
    "channels to each other, no RTCP": (*STATIC, "-y", "-c"),
    "indications to each other": (*STATIC, "-y", "-s"),
    "indications to each other, no RTCP": (*STATIC, "-y", "-s", "-c"),
    "time-limited, to a peer": REST,
    "time-limited, to each other": (*REST, "-y", "-s", "-c"),
    "time-limited, channels to each other": (*REST, "-y"),
}
STREAMS = {"tcp": ("-t",), "tls": ("-t", "-S")}
STREAM_ROWS = {
    f"{row}, over {transport}": (*ROWS[row], *flags)
    for transport, flags in STREAMS.items()
    for row in (
        "channels to a peer",
        "indications to a peer, no RTCP",
        "channels to each other",
        "time-limited, to each other",
    )
}
ROWS.update(STREAM_ROWS)


class Relay(NamedTuple):
    """The running relay's port and the one for TLS, an echoing peer's, and what uclient said, by row and
    family."""

    port: int
    tls: int
    peer: int
    said: dict[tuple[str, str], asyncio.Task[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    """All rows of uclient begin together: each takes some seconds, of which it sleeps most."""
    relay = Relay(free_port(), free_port(), free_port(), {})
    processes = [await begin_relay(relay, tmp_path_factory.mktemp("relay"))]
    if shutil.which("turnutils_uclient"):
        listen = [word for host in HOSTS.values() for word in ("-L", host)]
        processes.append(await begin("turnutils_peer", *listen, "-p", str(relay.peer)))
        rows = [(row, family) for row in ROWS for family in HOSTS]
        relay.said.update({key: asyncio.create_task(uclient(relay, *key)) for key in rows})
    yield relay
    for process in reversed(processes):
        process.kill()  # told to end, the relay would let what lives go on
        await process.communicate()


async def begin_relay(
    relay: Relay, folder: Path, files: Certificate | None = None, **keys: object
) -> asyncio.subprocess.Process:
    chain, key = files or certificate()
    limits = dict.fromkeys(("allocations_per_user", "allocations_per_address", "new_peers_per_second"), 0)
    turn = {
        "listen": [
            *(f"{host}:{relay.port}" for host in ("127.0.0.1", "[::1]")),
            *(f"tls://{host}:{relay.tls}" for host in ("127.0.0.1", "[::1]")),
        ],
        "certificate": str(chain),
        "key": str(key),
        "relay_ports": RELAY_PORTS,
        "secret": SECRET,
        "users": {USER: PASSWORD},
        "allow_loopback_peers": True,
        "encrypted_only": "off",  # plain words are said here
        "limits": limits,
        **keys,
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"site": {"state_dir": str(folder)}, "turn": turn}))
    process = await begin(sys.executable, "-m", "turn", "--config", str(file))
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    assert line.startswith(b"calln relay: ")
    return process


async def begin(*command: str) -> asyncio.subprocess.Process:
    pipe, together = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=together)


async def uclient(relay: Relay, row: str, family: str) -> str:
    host = HOSTS[family]
    size = ["-n", str(MESSAGES), "-m", str(CLIENTS), "-l", "170"]
    port = relay.tls if "-S" in ROWS[row] else relay.port
    places = ["-e", host, "-r", str(relay.peer), "-p", str(port)]
    process = await begin(
        "turnutils_uclient", *ROWS[row], *size, *(["-x"] if family == "ipv6" else []), *places, host
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return f"{said.decode()}\nexit code {process.returncode}"


@turnutils
@pytest.mark.parametrize("family", HOSTS)
@pytest.mark.parametrize("row", ROWS)
async def test_uclient_loses_nothing(relay: Relay, row: str, family: str) -> None:
    said = await relay.said[row, family]
    assert lost(said) == 0, said


def lost(said: str) -> int | None:
    """How many messages uclient misses; None where it did not say all, or failed."""
    totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", said)
    missing = re.findall(r"Total lost packets (\d+)", said)
    if not totals or len(missing) != 1 or not said.endswith("exit code 0"):
        return None
    sent, received = map(int, totals[-1])
    return max(sent - received, int(missing[0])) if sent >= MESSAGES * CLIENTS else None


class Heard(asyncio.DatagramProtocol):
    """Keeps what arrives; an echo answers with the same."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)  # Python 3.11's own is no subclass

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.queue.put_nowait(data)
        if self.echo:
            self.transport.sendto(data, address)

    async def next(self) -> bytes:
        return await asyncio.wait_for(self.queue.get(), PATIENCE)


Account = tuple[str, str]


async def aioice_client(
    relay: Relay, host: str, account: Account, transport: str = "udp"
) -> tuple[TurnTransport, Heard]:
    heard = Heard()
    options: dict[str, Any] = {"transport": "udp" if transport == "udp" else "tcp"}
    if transport == "tls":
        options["ssl"] = ssl.create_default_context(cafile=certificate().chain)
    port = relay.tls if transport == "tls" else relay.port
    endpoint, _ = await create_turn_endpoint(lambda: heard, (host, port), *account, **options)
    return endpoint, heard


@pytest.mark.parametrize("over", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("size", [1, 160, 1200])
async def test_aioice_hears_its_echo(relay: Relay, size: int, over: str) -> None:
    loop, host = asyncio.get_running_loop(), HOSTS["ipv4"]
    echo, _ = await loop.create_datagram_endpoint(lambda: Heard(echo=True), (host, 0))
    transport, heard = await aioice_client(relay, host, (USER, PASSWORD), over)
    there = echo.get_extra_info("sockname")
    for number in range(50):
        data = bytes([number]) * size
        transport.sendto(data, there)
        assert await heard.next() == data
    await closed(transport)
    echo.close()


@pytest.mark.parametrize("ways", [("udp", "udp"), ("udp", "tcp"), ("tcp", "tls"), ("tls", "tls")])
async def test_two_aioice_clients_hear_each_other(relay: Relay, ways: tuple[str, str]) -> None:
    clients = [await aioice_client(relay, HOSTS["ipv4"], (USER, PASSWORD), over) for over in ways]
    places = [transport.get_extra_info("sockname") for transport, _ in clients]
    for (transport, _), there in zip(clients, reversed(places), strict=True):
        transport.sendto(b"knock", there)  # binds the channel; the other side may have no permission yet
    await asyncio.sleep(0.5)
    for number in range(50):
        for (transport, _), there in zip(clients, reversed(places), strict=True):
            transport.sendto(b"voice %d" % number, there)
    for _, heard in clients:
        data = [await heard.next()]
        while data[-1] != b"voice 49":
            data.append(await heard.next())
        assert [one for one in data if one != b"knock"] == [b"voice %d" % number for number in range(50)]
    for transport, _ in clients:
        await closed(transport)


async def closed(transport: TurnTransport) -> None:
    """aioice gives its allocation back in a task of its own."""
    transport.close()
    await asyncio.sleep(0.2)


async def test_a_renewed_certificate_is_shown_and_calls_go_on(tmp_path: Path) -> None:
    files = Certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    put(certificate(), files)
    relay = Relay(free_port(), free_port(), free_port(), {})
    process = await begin_relay(relay, tmp_path, files)
    echo, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Heard(echo=True), (HOSTS["ipv4"], 0)
    )
    client, heard = await aioice_client(relay, HOSTS["ipv4"], (USER, PASSWORD), "tls")
    door = Address.of(HOSTS["ipv4"], relay.tls, "tls")
    seen = [await shown(door)]
    assert process.stdout
    for now in (certificate("other"), Certificate(certificate().chain, certificate("other").key)):
        put(now, files)
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while b"the configuration" not in await process.stdout.readline():
                continue
        client.sendto(b"still here", echo.get_extra_info("sockname"))
        assert await heard.next() == b"still here"
        seen.append(await shown(door))
    assert seen[0] != seen[1] == seen[2]  # a key that does not belong to it changes nothing
    await closed(client)
    echo.close()
    process.kill()
    await process.communicate()


def put(made: Certificate, files: Certificate) -> None:
    for source, target in zip(made, files, strict=True):
        target.write_bytes(source.read_bytes())


# Two connections of one page that may only meet through the relay; what one hears of the other, and how each
# reaches the relay.
TALK = """async ([url, username, credential]) => {
  const settings = { iceServers: [{ urls: url, username, credential }], iceTransportPolicy: "relay" };
  const [one, two] = [new RTCPeerConnection(settings), new RTCPeerConnection(settings)];
  one.onicecandidate = (event) => event.candidate && two.addIceCandidate(event.candidate);
  two.onicecandidate = (event) => event.candidate && one.addIceCandidate(event.candidate);
  const channel = one.createDataChannel("words");
  const heard = new Promise((resolve) => {
    channel.onmessage = (event) => resolve(event.data);
  });
  two.ondatachannel = (event) => {
    event.channel.onmessage = (message) => event.channel.send(message.data + " and back");
  };
  channel.onopen = () => channel.send("there");
  await one.setLocalDescription();
  await two.setRemoteDescription(one.localDescription);
  await two.setLocalDescription();
  await one.setRemoteDescription(two.localDescription);
  const words = await heard;
  const reports = [...(await one.getStats()).values()];
  const pair = reports.find((report) => report.type === "candidate-pair" && report.nominated);
  const local = reports.find((report) => report.id === pair.localCandidateId);
  one.close();
  two.close();
  return [words, local.candidateType, local.relayProtocol];
}"""


@pytest.mark.skipif(
    shutil.which("certutil") is None, reason="Debian's libnss3-tools is not installed: no certutil"
)
@pytest.mark.parametrize("over", ["udp", "tcp", "tls"])
async def test_chromium_talks_through_the_relay_alone(
    relay: Relay, playwright: Playwright, tmp_path: Path, over: str
) -> None:
    assert await talk(relay, playwright, tmp_path, over) == ["there and back", "relay", over]


async def talk(relay: Relay, playwright: Playwright, home: Path, over: str) -> list[str]:
    """What was heard, and by which candidate."""
    trust_in(home)
    url = {
        "udp": f"turn:127.0.0.1:{relay.port}?transport=udp",
        "tcp": f"turn:127.0.0.1:{relay.port}?transport=tcp",
        "tls": f"turns:127.0.0.1:{relay.tls}?transport=tcp",
    }[over]
    browser = await playwright.chromium.launch(
        executable_path="/usr/bin/chromium", args=[*CHROMIUM], env={"HOME": str(home)}
    )
    page = await browser.new_page()
    async with asyncio.timeout(PATIENCE):
        told = await page.evaluate(TALK, [url, USER, PASSWORD])
    await browser.close()
    return list(map(str, told))


def trust_in(home: Path) -> None:
    """Let a browser with this home trust the test's certificate."""
    store = home / ".pki/nssdb"
    store.mkdir(parents=True)
    begin = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*begin, "-N", "--empty-password"], check=True)
    subprocess.run([*begin, "-A", "-t", "C,,", "-n", "the relay", "-i", str(certificate().chain)], check=True)
