"""How soon media without encryption are stopped, codec by codec, and that encrypted ones never are.

    python -m tests.bench.plain_media [--table]

Speech, music and silence, with noise of 0 to 300 rms as a room has it, go through ffmpeg's encoders; video is
its test pictures. Comfort noise, DTMF events and text are made here. Debian has no encoder of iLBC, so frames
that libilbc made of the same sounds are in tests/bench/data. Each stream is begun at many places: once plain
from its first packet on, and once after packets that look encrypted, when an engine carries it. `--table`
writes the table into docs/encrypted-only.md.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from pylibsrtp import Policy, Session

from tests.documents import DOCS, rewritten
from tests.turn.call import VOICE, noise, rtp
from turn.gate.streams import Stream
from turn.wire.srtp import RTP_HEADER, SAMPLE, between, sealed_part

DOCUMENT, BY = DOCS / "encrypted-only.md", "make codecs"
DATA = Path(__file__).parent / "data"
SOUNDS, SONGS = Path("/usr/share/sounds/alsa"), Path("/usr/share/games/frozen-bubble/snd")
NOISES = (0, 30, 100, 300)  # rms, of samples of 16 bits
SECONDS = 10
STEP = 29  # packets between two places where a stream is begun
ENOUGH = 200  # packets within which a stream has to be stopped
ENCRYPTED = 250_000  # packets of each profile of SRTP
WORDS = (
    "Good morning, how are you today? I wanted to tell you about the trip that we made last week. We went to "
    "the sea, it rained, and nobody had an umbrella. So we sat in a small cafe and talked about everything."
)

Payloads = list[bytes]
SERIAL = count()


class Codec(NamedTuple):
    """One kind of media: what makes payloads of samples at this rate."""

    name: str
    rate: int
    encode: Callable[[bytes], Payloads]


def ffmpeg(*words: str, given: bytes = b"") -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", *words]
    if given:
        command.remove("-nostdin")
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def frames(rate: int, size: int, *words: str) -> Callable[[bytes], Payloads]:
    """What ffmpeg writes, cut into packets of 20 ms."""

    def encode(samples: bytes) -> Payloads:
        whole = ffmpeg("-f", "s16le", "-ar", str(rate), "-ac", "1", "-i", "-", *words, "-", given=samples)
        return [whole[at : at + size] for at in range(0, len(whole) - size + 1, size)]

    return encode


def packets(*words: str, given: bytes = b"") -> Payloads:
    """The payloads that ffmpeg sends as RTP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(0.5)
        target = f"rtp://127.0.0.1:{ear.getsockname()[1]}?pkt_size=1200&rtcpport=9"
        sender = subprocess.Popen(
            ["ffmpeg", "-v", "error", *words, "-f", "rtp", target],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert sender.stdin is not None
        with sender.stdin as into:
            into.write(given)
        heard: Payloads = []
        while True:
            try:
                heard.append(ear.recv(2048)[RTP_HEADER:])
            except TimeoutError:
                if sender.poll() is not None:
                    return heard


def opus(*words: str) -> Callable[[bytes], Payloads]:
    given = ("-f", "s16le", "-ar", "48000", "-ac", "1", "-readrate", "40", "-i", "-", "-c:a", "libopus")
    return lambda samples: packets(*given, *words, given=samples)


CODECS = (
    Codec("G.711, µ-law", 8000, frames(8000, 160, "-f", "mulaw")),
    Codec("G.711, A-law", 8000, frames(8000, 160, "-f", "alaw")),
    Codec("G.722", 16000, frames(16000, 160, "-c:a", "g722", "-f", "g722")),
    Codec("L16, 8 kHz", 8000, frames(8000, 320, "-f", "s16be")),
    Codec("L16, 44.1 kHz", 44100, frames(44100, 882, "-f", "s16be")),
    Codec("GSM", 8000, frames(8000, 33, "-c:a", "libgsm", "-f", "gsm")),
    Codec("Opus, voice", 48000, opus("-b:a", "24k", "-application", "voip")),
    Codec("Opus, music", 48000, opus("-b:a", "64k")),
    Codec("Opus, constant rate", 48000, opus("-b:a", "32k", "-vbr", "off")),
)
VIDEOS = {
    "VP8": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M"),
    "VP9": (
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-b:v",
        "1M",
        "-strict",
        "experimental",
    ),
    "H.264": ("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-b:v", "1M"),
}
PICTURES = ("testsrc2=size=320x240:rate=30", "mandelbrot=size=320x240:rate=30")


def sounds() -> Iterator[list[str]]:
    """What ffmpeg reads each sound from."""
    with TemporaryDirectory() as folder:
        spoken = f"{folder}/spoken.wav"
        subprocess.run(["espeak-ng", "-v", "en+f3", "-s", "140", "-w", spoken, WORDS], check=True)
        yield ["-i", spoken]
    yield ["-stream_loop", "9", "-i", str(SOUNDS / "Front_Center.wav")]
    for name in ("introzik.ogg", "frozen-mainzik-1p.ogg"):
        yield ["-i", str(SONGS / name)]
    yield ["-f", "lavfi", "-i", "anullsrc=channel_layout=mono"]


def samples(source: list[str], rate: int, rms: int) -> bytes:
    whole = ffmpeg(*source, "-t", str(SECONDS), "-ac", "1", "-ar", str(rate), "-f", "s16le", "-")
    sound = np.frombuffer(whole, "<i2").astype(np.int32)
    added = np.rint(np.random.default_rng(rms).normal(0, rms, len(sound))).astype(np.int32)
    mixed: bytes = np.clip(sound + added, -32768, 32767).astype("<i2").tobytes()
    return mixed


def events() -> Payloads:
    """DTMF: each digit for 160 ms, its end three times (RFC 4733 §2.3)."""
    return [
        bytes((digit, (0x80 if at > 7 else 0) | 10)) + (160 * min(at + 1, 8)).to_bytes(2, "big")
        for turn in range(40)
        for digit in range(10)
        for at in range(10)
    ]


def comfort_noise() -> Payloads:
    """A level that varies a little, and a spectrum (RFC 3389 §3)."""
    return [
        bytes((60 + noise(number, 1)[0] % 4, *(120 + byte % 16 for byte in noise(number, 10))))
        for number in range(600)
    ]


def text() -> Payloads:
    line = (WORDS + "\r\n").encode() * 40
    return [line[37 * number % 97 :][: 40 + number % 60] for number in range(600)]


def recorded(name: str, size: int) -> Payloads:
    whole = (DATA / name).read_bytes()
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def streams() -> Iterator[tuple[str, Payloads]]:
    """All that is tried: the codec and one stream of it."""
    for codec in CODECS:
        for source in sounds():
            for rms in NOISES:
                yield codec.name, codec.encode(samples(source, codec.rate, rms))
    yield "iLBC, 20 ms", recorded("ilbc_20ms.bin", 38)
    yield "iLBC, 30 ms", recorded("ilbc_30ms.bin", 50)
    for name, words in VIDEOS.items():
        for picture in PICTURES:
            yield (
                name,
                packets("-f", "lavfi", "-readrate", "5", "-i", picture, "-t", str(2 * SECONDS), *words),
            )
    yield "DTMF events", events()
    yield "comfort noise", comfort_noise()
    yield "text", text()


def whole(payload: bytes) -> bytes:
    """A packet with a header; no two are the same."""
    return next(SERIAL).to_bytes(RTP_HEADER, "big") + payload


def passed_at_first(payloads: Payloads) -> int:
    """How many packets pass before the stream is stopped; all of them if it never is."""
    stream = Stream()
    judged = (stream.judge(whole(payload), payload, 0.0) for payload in payloads)
    return next((number for number, passes in enumerate(judged) if not passes), len(payloads))


def passed_later(payloads: Payloads) -> int:
    """The same where the stream was encrypted before, and an engine carries it."""
    stream, serial, left = Stream(), next(SERIAL), 0
    for number in range(SAMPLE):
        payload = noise(f"{serial} {number}", 90)
        stream.judge(whole(payload), payload, 0.0)
    left = between(whole(b""))
    for number, payload in enumerate(payloads):
        packet = whole(payload)
        if not stream.is_tested:
            if not stream.judge(packet, payload, 0.0):
                return number
        elif left:
            left -= 1
        else:
            stream.inspect(packet, payload)
            left = between(packet)
    return len(payloads)


class Figures(NamedTuple):
    """What was found of one codec."""

    at_first: list[int]
    later: list[int]


def measure() -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for name, payloads in streams():
        figures = found.setdefault(name, Figures([], []))
        long_enough = [payload for payload in payloads if len(payload) >= 4]  # shorter ones never pass
        for start in range(0, len(long_enough) - ENOUGH, STEP):
            part = long_enough[start : start + ENOUGH + 1]
            figures.at_first.append(passed_at_first(part))
            figures.later.append(passed_later(part))
        print(name, len(payloads), file=sys.stderr, flush=True)
    return found


def encrypted(profile: int, key: int) -> tuple[int, int]:
    """Of so many packets of libsrtp, all looked at: how many are refused, and how many tests follow."""
    policy = Policy(key=noise(key, key), ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
    session, stream, refused, tests = Session(policy=policy), Stream(), 0, 0
    for number in range(ENCRYPTED):
        packet = session.protect(rtp(VOICE, number, bytes(number % 200)))
        sealed = sealed_part(packet, VOICE)
        assert sealed is not None
        if stream.is_tested:
            stream.inspect(packet, sealed)
            tests += not stream.is_tested
        else:
            refused += not stream.judge(packet, sealed, 0.0)
    return refused, tests


def table(found: dict[str, Figures], refused: int, tests: int) -> str:
    rows = [
        "| without encryption | places | pass at first: median, most "
        "| pass when it turns plain: median, most | never stopped |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, (at_first, later) in found.items():
        missed = sum(passed > ENOUGH for passed in (*at_first, *later))
        first, second = (f"{statistics.median(each):.0f}, {max(each)}" for each in (at_first, later))
        rows.append(f"| {name} | {len(at_first)} | {first} | {second} | {missed} |")
    total = 4 * ENCRYPTED
    rows += [
        "",
        f"Of {total:,} packets that libsrtp made with AES-CM and AES-GCM, all of them looked at, {refused} "
        f"were\nrefused; one of {total // max(tests, 1):,} led to another test.",
    ]
    return "\n".join(rows)


PROFILES: Sequence[tuple[int, int]] = (
    (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.plain_media", description=__doc__)
    parser.add_argument("--table", action="store_true", help="write the table into docs/encrypted-only.md")
    options = parser.parse_args()
    found = measure()
    outcomes = [encrypted(profile, key) for profile, key in PROFILES]
    block = table(found, *map(sum, zip(*outcomes, strict=True)))
    print(block)
    if options.table:
        DOCUMENT.write_text(rewritten(DOCUMENT.read_text("utf-8"), BY, block), "utf-8")


if __name__ == "__main__":
    main()
