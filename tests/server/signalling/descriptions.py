"""Session descriptions and candidates as browsers write them."""

from __future__ import annotations

PRINT = "sha-256 " + ":".join(["AB"] * 32)
HOST = "candidate:1 1 udp 2122260223 192.168.1.17 54321 typ host generation 0 ufrag abcd network-id 1"
MDNS = "candidate:1 1 udp 2122260223 4d1c7a0e-9f4c-4f5e-8a59-0e1f6f4f5d3a.local 54321 typ host"
SRFLX = "candidate:2 1 udp 1686052607 203.0.113.9 54321 typ srflx raddr 192.168.1.17 rport 54321"
PRFLX = "candidate:3 1 udp 1686052607 203.0.113.9 54321 typ prflx raddr 192.168.1.17 rport 54321"
TCP = "candidate:4 1 tcp 1518280447 192.168.1.17 9 typ host tcptype active"
RELAY = "candidate:5 1 udp 41885439 198.51.100.4 50000 typ relay raddr 203.0.113.9 rport 54321 generation 0"
HIDDEN = "candidate:5 1 udp 41885439 198.51.100.4 50000 typ relay raddr 0.0.0.0 rport 9 generation 0"
AUDIO = (
    "v=0",
    "o=- 46117317 2 IN IP4 192.168.1.17",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=audio 54321 UDP/TLS/RTP/SAVPF 111 63",
    "c=IN IP4 203.0.113.9",
    "a=rtcp:54321 IN IP4 203.0.113.9",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    f"a=fingerprint:{PRINT}",
    "a=setup:actpass",
    "a=mid:0",
    "a=rtpmap:111 opus/48000/2",
)


def sdp(*more: str, drop: str = "", replace: tuple[str, str] = ("", "")) -> str:
    lines = [line.replace(*replace) for line in AUDIO if not drop or not line.startswith(drop)]
    return "".join(f"{line}\r\n" for line in (*lines, *more))


CANDIDATES = {
    "": "",
    HOST: None,
    MDNS: None,
    SRFLX: None,
    PRFLX: None,
    TCP: None,
    RELAY: HIDDEN,
    HIDDEN: HIDDEN,
    RELAY.replace("198.51.100.4", "at.home.example"): None,
    RELAY.replace("raddr", "RADDR").replace("rport", "Rport"): HIDDEN,
    RELAY.replace("198.51.100.4", "2001:db8::4"): HIDDEN.replace("198.51.100.4", "2001:db8::4"),
}
