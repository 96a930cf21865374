"""GStreamer's webrtcbin: a call between two ends that may only meet through the relay.

/usr/bin/python3 -m tests.interop.clients.webrtcbin HOST PORT udp|tcp|tls USER PASSWORD SECONDS

Debian's own Python has the modules for it.
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

import gi

from tests.interop.clients.voice import Counted, report

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

END = """
webrtcbin name=end bundle-policy=max-bundle ice-transport-policy=relay turn-server={relay}
audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay name=voice pt=96 !
application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000 ! end.
"""
TYPES = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
SPARE = 20  # seconds beside those of the call
SEQUENCE = 2  # where the number of an RTP packet stands, of so many bytes (RFC 3550 §5.1)


class End:
    """One of the two; `kinds` are those of its own candidates."""

    def __init__(self, relay: str, host: str) -> None:
        self.pipeline = Gst.parse_launch(END.format(relay=relay))
        self.bin = self.pipeline.get_by_name("end")
        self.agent = self.bin.get_property("ice-agent")  # kept, or it would be freed
        self.agent.emit("add-local-ip-address", host)
        self.sent = self.heard = self.lost = 0
        self.last: int | None = None
        self.kinds: set[str] = set()
        self.bin.connect("pad-added", self.on_pad)
        voice = self.pipeline.get_by_name("voice").get_static_pad("src")
        voice.add_probe(Gst.PadProbeType.BUFFER, self.on_sent)

    def on_pad(self, _: object, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        sink = Gst.ElementFactory.make("fakesink")
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))
        pad.add_probe(Gst.PadProbeType.BUFFER, self.on_heard)

    def on_sent(self, *_: object) -> Any:
        self.sent += 1
        return Gst.PadProbeReturn.OK

    def on_heard(self, _: object, info: Any) -> Any:
        number = int.from_bytes(info.get_buffer().extract_dup(SEQUENCE, SEQUENCE), "big")
        if self.last is not None:
            self.lost += (number - self.last - 1) % 65536
        self.last, self.heard = number, self.heard + 1
        return Gst.PadProbeReturn.OK

    def meet(self, other: End) -> None:
        def told(_: object, line: int, candidate: str) -> None:
            self.kinds.add(candidate.split(" typ ")[1].split()[0])
            other.bin.emit("add-ice-candidate", line, candidate)

        self.bin.connect("on-ice-candidate", told)

    def describe(self, kind: str) -> str:
        """Its offer or answer, which it then follows."""
        promise = Gst.Promise.new()
        self.bin.emit(f"create-{kind}", None, promise)
        promise.wait()
        reply = promise.get_reply()
        text: str = reply.get_value(kind).sdp.as_text()
        self.follow("local", kind, text)
        return text

    def follow(self, whose: str, kind: str, text: str) -> None:
        _, message = GstSdp.SDPMessage.new_from_text(text)
        description = GstWebRTC.WebRTCSessionDescription.new(TYPES[kind], message)
        promise = Gst.Promise.new()
        self.bin.emit(f"set-{whose}-description", description, promise)
        promise.wait()

    def counted(self) -> Counted:
        return Counted(self.sent, self.heard, self.lost, " ".join(sorted(self.kinds)))


def offer(one: End, other: End) -> None:
    other.follow("remote", "offer", one.describe("offer"))
    one.follow("remote", "answer", other.describe("answer"))


def main(words: list[str]) -> None:
    host, port, transport, user, password, seconds = words
    scheme = "turns" if transport == "tls" else "turn"
    way = "udp" if transport == "udp" else "tcp"
    account = f"{quote(user, safe='')}:{quote(password, safe='')}"
    Gst.init(None)
    one, other = (End(f"{scheme}://{account}@{host}:{port}?transport={way}", host) for _ in range(2))
    one.meet(other)
    other.meet(one)
    one.bin.connect("on-negotiation-needed", lambda _: GLib.idle_add(offer, one, other))
    for end in (one, other):
        end.pipeline.set_state(Gst.State.PLAYING)
    loop = GLib.MainLoop()
    GLib.timeout_add_seconds(int(seconds) + SPARE, loop.quit)
    loop.run()
    counts = one.counted(), other.counted()
    print(*counts, report(*counts, int(seconds)), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
