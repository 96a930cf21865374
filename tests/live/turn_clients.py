"""Other people's TURN clients, the relay that they are run against, and what they say."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import yaml
from aioice.turn import TurnTransport, create_turn_endpoint
from playwright.async_api import Playwright

from host.tls import Certificate
from tests.live.visitors import CHROMIUM
from tests.turn.engines.certificates import certificate

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds for a client that paces itself, on a busy machine
SECRET = "a secret for these tests"
USER, PASSWORD = "alice", "password of hers"
RELAY_PORTS = "26000-27999"  # below the ports that the system gives out
MESSAGES, CLIENTS = 20, 2
HOSTS = {"ipv4": "127.0.0.1", "ipv6": "::1"}
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


class Relay(NamedTuple):
    """The running relay's port and the one for TLS, an echoing peer's, and what uclient said, by row and
    family."""

    port: int
    tls: int
    peer: int
    said: dict[tuple[str, str], asyncio.Task[str]]


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
    async with asyncio.timeout(PATIENCE):
        while not (line := await process.stdout.readline()).startswith(b"calln relay: "):
            assert line.startswith(b"{"), line.decode()  # else it is no line of the log
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


async def closed(transport: TurnTransport) -> None:
    """aioice gives its allocation back in a task of its own."""
    transport.close()
    await asyncio.sleep(0.2)


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
