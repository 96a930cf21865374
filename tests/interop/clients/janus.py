"""Janus as an ICE-lite peer: aiortc calls its echo test through the relay, and hears its own voice.

python -m tests.interop.clients.janus ONE OTHER PORT USER PASSWORD SECONDS

Janus is in the network of the second telephone, the namespace OTHER.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection, connect

from tests.interop.clients.rtc import end, kinds
from tests.interop.clients.voice import Counted, report
from tests.interop.homes import RELAY_SIDE, TELEPHONES, within

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")
CONFIG = """
general: {{ configs_folder = "{folder}", debug_level = 3 }}
{nat}
plugins: {{ disable = "{plugins}" }}
transports: {{ disable = "{transports}" }}
loggers: {{ disable = "libjanus_jsonlog.so" }}
"""
LITE = "nat: { ice_lite = true }"
PORT = 8188
LISTEN = 'general: {{ ws = true, ws_ip = "{host}", ws_port = {port} }}\n'
USED = ("libjanus_echotest.so", "libjanus_websockets.so")
PATIENCE, STEP = 10.0, 0.1  # seconds for Janus to begin
KEEPALIVE = 25.0  # seconds
SPARE = 10  # seconds beside those of the call


def others(kind: str) -> str:
    return ",".join(sorted(file.name for file in (LIBRARIES / kind).glob("*.so") if file.name not in USED))


@asynccontextmanager
async def janus(namespace: str, nat: str = LITE, port: int = PORT) -> AsyncIterator[None]:
    """With these lines about its network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unused = {kind: others(kind) for kind in ("plugins", "transports")}
        (folder / "janus.jcfg").write_text(CONFIG.format(folder=folder, nat=nat, **unused))
        listen = LISTEN.format(host=TELEPHONES[1], port=port)
        (folder / "janus.transport.websockets.jcfg").write_text(listen)
        process = await asyncio.create_subprocess_exec(*within(namespace, "janus", "-F", name))
        try:
            yield
        finally:
            process.kill()
            await process.wait()


class Handle:
    """A session with Janus, and its echo test in it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.path: dict[str, int] = {}

    async def ask(self, kind: str, **more: Any) -> dict[str, Any]:
        """The first answer that is not only an acknowledgement."""
        transaction = secrets.token_hex(6)
        await self.socket.send(json.dumps({"janus": kind, "transaction": transaction, **self.path, **more}))
        while True:
            answer: dict[str, Any] = json.loads(await self.socket.recv())
            if answer.get("transaction") == transaction and (kind == "keepalive" or answer["janus"] != "ack"):
                return answer

    async def open(self) -> None:
        self.path["session_id"] = (await self.ask("create"))["data"]["id"]
        attached = await self.ask("attach", plugin="janus.plugin.echotest")
        self.path["handle_id"] = attached["data"]["id"]

    async def call(self, connection: RTCPeerConnection) -> str:
        """The session description of Janus, with all its candidates."""
        await connection.setLocalDescription(await connection.createOffer())
        offer = {"type": "offer", "sdp": connection.localDescription.sdp}
        answer = await self.ask("message", body={"audio": True, "video": False}, jsep=offer)
        return str(answer["jsep"]["sdp"])

    async def keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE)
            await self.ask("keepalive")


async def reached(port: int = PORT) -> ClientConnection:
    for _ in range(int(PATIENCE / STEP)):
        with suppress(OSError):
            return await connect(f"ws://{TELEPHONES[1]}:{port}", subprotocols=["janus-protocol"])  # type: ignore[list-item]
        await asyncio.sleep(STEP)
    raise SystemExit("Janus did not begin")


async def counted(connection: RTCPeerConnection) -> Counted:
    """What aiortc sent and heard; Janus does not say what it has heard."""
    ends = [*connection.getSenders(), *connection.getReceivers()]
    found = {report.type: report for end in ends for report in (await end.getStats()).values()}
    sent, heard = found["outbound-rtp"], found["inbound-rtp"]
    kind = " ".join(sorted(kinds(connection)))
    return Counted(sent.packetsSent, heard.packetsReceived, heard.packetsLost, kind)


async def talk(connection: RTCPeerConnection, handle: Handle, answer: str, seconds: int) -> None:
    """Hear the own voice for so long, and print what has come of it."""
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    alive = asyncio.create_task(handle.keep_alive())
    await asyncio.sleep(seconds + SPARE)
    alive.cancel()
    echo = await counted(connection)
    await connection.close()
    print(echo, report(echo, echo, seconds), sep="\n")


async def main(words: list[str]) -> None:
    _, namespace, port, user, password, seconds = words
    connection = end([f"turn:{RELAY_SIDE[0]}:{port}", user, password])
    async with janus(namespace), await reached() as socket:
        handle = Handle(socket)
        await handle.open()
        await talk(connection, handle, await handle.call(connection), int(seconds))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
