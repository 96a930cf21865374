"""Descriptions that browsers make pass; whatever would weaken a call or tell an address does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.signalling.sdp import (
    MAX_CANDIDATES,
    MAX_LINES,
    MAX_PAIRS,
    SdpError,
    check_candidate,
    check_sdp,
    relay_candidate,
    relay_only,
    split_lines,
    ufrag_pairs,
    ufrags_of,
)
from tests.server.signalling.descriptions import (
    AUDIO,
    CANDIDATES,
    HIDDEN,
    HOST,
    MDNS,
    PRFLX,
    PRINT,
    RELAY,
    SRFLX,
    TCP,
    sdp,
)


def with_session(print_: str, replace: tuple[str, str] = ("", "")) -> str:
    """With a fingerprint for the whole session before the media's own."""
    return sdp(replace=replace).replace("t=0 0\r\n", f"t=0 0\r\na=fingerprint:{print_}\r\n")


DATA = ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:1")
OF_CHROMIUM = ("a=sctp-port:5000", "a=max-message-size:262144")
OF_FIREFOX = ("a=sendrecv", "a=sctp-port:5000", "a=max-message-size:1073741823")

PASSES = {
    "audio": sdp(),
    "newlines alone": sdp().replace("\r\n", "\n"),
    "no last newline": sdp().removesuffix("\r\n"),
    "a data channel with the same fingerprint": sdp(*DATA, f"a=fingerprint:{PRINT}"),
    "Chromium's data channel": sdp(*DATA, f"a=fingerprint:{PRINT}", *OF_CHROMIUM),
    "Firefox's data channel": sdp(*DATA, f"a=fingerprint:{PRINT}", *OF_FIREFOX),
    "small letters in one of two fingerprints": sdp(*DATA, f"a=fingerprint:{PRINT.lower()}"),
    "the fingerprint for the whole session": sdp(drop="a=fingerprint").replace(
        "t=0 0\r\n", f"t=0 0\r\na=fingerprint:{PRINT}\r\n"
    ),
    "a refused m-line without": sdp("m=video 0 UDP/TLS/RTP/SAVPF 120", "a=inactive"),
    "sha-384": sdp(replace=(PRINT, "sha-384 " + ":".join(["0A"] * 48))),
    "sha-512": sdp(replace=(PRINT, "sha-512 " + ":".join(["0A"] * 64))),
    "candidates": sdp(*[f"a={line}" for line in (HOST, MDNS, SRFLX, TCP, RELAY)]),
    "64 candidates": sdp(*[f"a={HOST}"] * MAX_CANDIDATES),
}

REFUSED = {
    "nothing": "",
    "no description": "hello",
    "no m-line": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    "only a refused m-line": "v=0\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\n",
    "another version": sdp(replace=("v=0", "v=1")),
    "no fingerprint": sdp(drop="a=fingerprint"),
    "no fingerprint for the second": sdp(*DATA),
    "no fingerprint for a bundle-only m-line": sdp("m=video 0 UDP/TLS/RTP/SAVPF 120", "a=bundle-only"),
    "two fingerprints": sdp(*DATA, "a=fingerprint:sha-256 " + ":".join(["CD"] * 32)),
    "md5": sdp(replace=(PRINT, "md5 " + ":".join(["AB"] * 16))),
    "sha-1": sdp(replace=(PRINT, "sha-1 " + ":".join(["AB"] * 20))),
    "a weak one beside the strong one": sdp("a=fingerprint:md5 " + ":".join(["AB"] * 16)),
    "md5 under a session's sha-256": with_session(PRINT, replace=(PRINT, "md5 " + ":".join(["AB"] * 16))),
    "sha-1 under a session's sha-256": with_session(PRINT, replace=(PRINT, "sha-1 " + ":".join(["AB"] * 20))),
    "null under a session's sha-256": with_session(PRINT, replace=(PRINT, "null")),
    "a weak one for the session": with_session("md5 " + ":".join(["AB"] * 16)),
    "another one for the session": with_session("sha-256 " + ":".join(["CD"] * 32)),
    "more lines than two people need": sdp(*["a=x"] * MAX_LINES),
    "a short sha-256": sdp(replace=(PRINT, PRINT[:-3])),
    "SDES": sdp("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40),
    "SDES in capitals": sdp("a=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40),
    "plain RTP": sdp(replace=("UDP/TLS/RTP/SAVPF", "RTP/AVP")),
    "plain RTP with feedback": sdp(replace=("UDP/TLS/RTP/SAVPF", "RTP/AVPF")),
    "SRTP by other keys": sdp(replace=("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")),
    "TCP": sdp("m=audio 9 TCP/DTLS/RTP/SAVPF 111", f"a=fingerprint:{PRINT}"),
    "plain RTP in the second": sdp("m=video 9 RTP/AVPF 120", f"a=fingerprint:{PRINT}"),
    "audio as a data channel": sdp("m=audio 9 UDP/DTLS/SCTP webrtc-datachannel", f"a=fingerprint:{PRINT}"),
    "a data channel as media": sdp("m=application 9 UDP/TLS/RTP/SAVPF 111", f"a=fingerprint:{PRINT}"),
    "a data channel for something else": sdp("m=application 9 UDP/DTLS/SCTP t140", f"a=fingerprint:{PRINT}"),
    "a data channel over TCP": sdp(
        "m=application 9 TCP/DTLS/SCTP webrtc-datachannel", f"a=fingerprint:{PRINT}"
    ),
    "a data channel of an old draft": sdp(
        "m=application 9 DTLS/SCTP 5000", "a=sctpmap:5000 webrtc-datachannel 1024", f"a=fingerprint:{PRINT}"
    ),
    "two data channels' sections": sdp(*DATA, f"a=fingerprint:{PRINT}", *DATA, f"a=fingerprint:{PRINT}"),
    "more than a number for its port": sdp(*DATA, f"a=fingerprint:{PRINT}", "a=sctp-port:5000 203.0.113.9"),
    "text and other media": sdp("m=text 9 UDP/TLS/RTP/SAVPF 98", f"a=fingerprint:{PRINT}"),
    "an m-line without formats": sdp("m=audio 9 UDP/TLS/RTP/SAVPF"),
    "65 candidates": sdp(*[f"a={HOST}"] * (MAX_CANDIDATES + 1)),
    "10,000 candidates": sdp(*[f"a={HOST}"] * 10_000),
    "a broken candidate": sdp("a=candidate:1 1 udp"),
    "NUL": sdp("a=x\x00y"),
    "a lone CR": sdp("a=x\ra=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
    "an indented line": sdp(" a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
    "an attribute that begins with a space": sdp(f"a= {HOST}"),
    "an attribute with a space in its name": sdp("a=rtcp :9 IN IP4 203.0.113.9"),
    "a connection in small letters": sdp("c=in ip4 203.0.113.9"),
    "a connection with two spaces": sdp("c=IN  IP4  203.0.113.9"),
    "an origin without an address": sdp(replace=("IN IP4 192.168.1.17", "192.168.1.17")),
    "digits of another script": sdp("m=audio ٩ UDP/TLS/RTP/SAVPF 111", f"a=fingerprint:{PRINT}"),
    "a line without its letter": sdp("crypto:1"),
}


BROKEN = [
    "hello",
    "candidate:",
    f"a={HOST}\n",
    HOST.replace("typ host", "typ magic"),
    HOST.replace("54321", "543210"),
    HOST.replace("192.168.1.17", "192.168.1.17\r\na=crypto:1"),
    HOST + " odd",
    HOST + "\x00",
    HOST.replace("udp", "udp udp"),
    "candidate:1 1 udp 1 " + "x" * 254 + " 5 typ host",
]


@pytest.mark.parametrize("name", PASSES)
def test_passes(name: str) -> None:
    check_sdp(PASSES[name])
    check_sdp(relay_only(PASSES[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(SdpError, match="bad_sdp"):
        check_sdp(REFUSED[name])


@pytest.mark.parametrize("line", CANDIDATES)
def test_candidates_of_a_relayed_call(line: str) -> None:
    check_candidate(line)
    assert relay_candidate(line) == CANDIDATES[line]


@pytest.mark.parametrize("line", BROKEN)
def test_broken_candidates(line: str) -> None:
    with pytest.raises(SdpError, match="bad_candidate"):
        check_candidate(line)
    assert relay_candidate(line) is None


def test_a_hidden_description_tells_no_address() -> None:
    lines = [f"a={line}" for line in (HOST, MDNS, SRFLX, PRFLX, TCP, RELAY)]
    odd = (
        "a=remote-candidates:1 192.168.1.17 5",
        "a=Remote-Candidates:1 192.168.1.17 5",
        "a=RTCP:54321 IN IP4 203.0.113.9",
        "a=source-filter: incl IN IP4 * 203.0.113.9",
        "a=alt:1 1 : x y 192.168.1.17 54321",
        "i=203.0.113.9",
    )
    hidden = relay_only(sdp(*odd, *lines))
    assert not any(address in hidden for address in ("192.168", "203.0.113", ".local", "54321"))
    assert hidden.endswith(f"a={HIDDEN}\r\n")
    kept = [line for line in AUDIO if not line.startswith(("o=", "c=", "m=", "a=rtcp:"))]
    assert all(f"{line}\r\n" in hidden for line in kept)
    for line in (
        "o=- 46117317 2 IN IP4 0.0.0.0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "c=IN IP4 0.0.0.0",
    ):
        assert f"{line}\r\n" in hidden


@given(st.lists(st.sampled_from([*AUDIO, f"a={HOST}", "a=crypto:1", "", "m=audio 0 RTP/AVP 0", "\x00"])))
def test_any_mixture_is_decided(lines: list[str]) -> None:
    mixture = "\r\n".join(lines)
    try:
        check_sdp(mixture)
    except SdpError:
        return
    assert "a=crypto" not in mixture
    assert "a=fingerprint" in mixture


@given(st.text())
def test_noise_is_no_candidate(noise: str) -> None:
    assert relay_candidate(noise) in (None, "")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("a=ice-ufrag:abcd", "abcd"),
        ("a=ice-ufrag:a+/9", "a+/9"),
        ("a=ice-ufrag:" + "x" * 126, "x" * 126),
        ("a=ice-ufrag:" + "x" * 127, ""),
        ("a=ice-ufrag:abc", ""),
        ("a=ice-ufrag:ab cd", ""),
        ("a=ICE-ufrag:abcd", ""),
        ("a=ice-pwd:abcd", ""),
    ],
)
def test_a_ufrag_is_read_as_a_relay_would_read_it(line: str, read: str) -> None:
    assert ufrags_of(check_sdp(sdp(drop="a=ice-ufrag").replace("a=mid:0", line))) == (read,)


def test_a_ufrag_of_the_session_is_that_of_each_m_line_without_one() -> None:
    m_lines = ("m=video 9 UDP/TLS/RTP/SAVPF 96", "a=ice-ufrag:own1", "m=audio 9 UDP/TLS/RTP/SAVPF 0")
    text = sdp(*m_lines, drop="a=ice-ufrag", replace=("s=-", "s=-\r\na=ice-ufrag:every"))
    assert ufrags_of(list(split_lines(text))) == ("every", "own1", "every")


def test_pairs_are_bounded() -> None:
    offered, answered = [f"offer{number}" for number in range(9)], ["answer"] * 9
    assert ufrag_pairs(offered, answered) == tuple((name, "answer") for name in offered[:MAX_PAIRS])
