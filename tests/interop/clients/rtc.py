"""aiortc: a call with voice and words between two ends that may only meet through the relay.

python -m tests.interop.clients.rtc URL USER PASSWORD COUNT
"""

from __future__ import annotations

import asyncio
import sys

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpReceiver,
)
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack


def end(words: list[str]) -> RTCPeerConnection:
    url, user, password = words
    servers = [RTCIceServer(urls=url, username=user, credential=password)]
    made = RTCPeerConnection(
        RTCConfiguration(iceServers=servers, iceTransportPolicy=RTCIceTransportPolicy.RELAY)
    )
    made.addTrack(AudioStreamTrack())
    return made


async def meet(one: RTCPeerConnection, other: RTCPeerConnection) -> None:
    await one.setLocalDescription(await one.createOffer())
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription(await other.createAnswer())
    await one.setRemoteDescription(other.localDescription)


async def hear_voice(track: MediaStreamTrack, count: int) -> None:
    for _ in range(count):
        await track.recv()


async def hear_words(channel: RTCDataChannel, count: int) -> None:
    """Each comes back before the next goes."""
    back: asyncio.Queue[str] = asyncio.Queue()
    opened = asyncio.Event()
    channel.on("message", back.put_nowait)
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await opened.wait()
    for number in range(count):
        channel.send(f"word {number}")
        assert await back.get() == f"word {number}"


def answer(channel: RTCDataChannel) -> None:
    channel.on("message", channel.send)


async def main(words: list[str]) -> None:
    *place, count = words
    one, other = end(place), end(place)
    channel = one.createDataChannel("words")
    other.on("datachannel", answer)
    await meet(one, other)
    receivers: list[RTCRtpReceiver] = [*one.getReceivers(), *other.getReceivers()]
    voices = [hear_voice(receiver.track, int(count)) for receiver in receivers]
    await asyncio.gather(hear_words(channel, int(count)), *voices)
    lines = f"{one.localDescription.sdp}{other.localDescription.sdp}".splitlines()
    kinds = {line.split(" typ ")[1].split()[0] for line in lines if " typ " in line}
    print(f"heard {count} through {' '.join(sorted(kinds))}")
    await asyncio.gather(one.close(), other.close())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
