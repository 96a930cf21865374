"""aiortc: a call with voice and words between two ends that may only meet through the relay.

python -m tests.interop.clients.rtc URL USER PASSWORD COUNT PAUSE
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

from tests.interop.clients.numbered import Returned, numbers

VOICE = 49  # frames a second that have to be heard, of the 50 that are sent


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


async def say_words(channel: RTCDataChannel, returned: Returned, pause: float) -> None:
    opened = asyncio.Event()
    channel.on("message", lambda word: returned.add(int(word)))
    channel.on("open", opened.set)
    if channel.readyState != "open":
        await opened.wait()
    async for number in numbers(returned.count, pause):
        channel.send(str(number))
    await returned.wait()


def kinds(end: RTCPeerConnection) -> set[str]:
    """Those of its own candidates."""
    lines = end.localDescription.sdp.splitlines()
    return {line.split(" typ ")[1].split()[0] for line in lines if " typ " in line}


async def lost_voice(receivers: list[RTCRtpReceiver]) -> int:
    reports = [report for receiver in receivers for report in (await receiver.getStats()).values()]
    # aioice may send the first packets in another order, and aiortc then counts fewer than none as lost.
    return sum(max(0, report.packetsLost) for report in reports if report.type == "inbound-rtp")


def answer(channel: RTCDataChannel) -> None:
    channel.on("message", channel.send)


async def main(words: list[str]) -> None:
    *place, number, pause = words
    count, frames = int(number), int(float(pause) * int(number) * VOICE)
    one, other = end(place), end(place)
    channel = one.createDataChannel("words", ordered=False, maxRetransmits=0)
    other.on("datachannel", answer)
    await meet(one, other)
    receivers: list[RTCRtpReceiver] = [*one.getReceivers(), *other.getReceivers()]
    voices = [hear_voice(receiver.track, max(count, frames)) for receiver in receivers]
    returned = Returned(count)
    try:
        await asyncio.gather(say_words(channel, returned, float(pause)), *voices)
        lost = await lost_voice(receivers)
    finally:
        await asyncio.gather(one.close(), other.close())
    if lost:
        raise SystemExit(f"lost: {lost} packets of voice")
    print(returned.report(kinds(one) | kinds(other)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
