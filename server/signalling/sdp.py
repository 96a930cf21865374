"""Session descriptions and candidates: which pass (RFC 8866, 8839, 8827), and how to hide an address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MAX_LINES = 1_024  # a call of two has some 150; each is looked at several times
MAX_CANDIDATES = 64  # each is a connectivity check that the partner's browser makes
HIDDEN_ADDRESS = "0.0.0.0"  # noqa: S104  # stands for a hidden address (RFC 8839 §5.1); nothing binds it
HIDDEN_PORT = 9

LINE = re.compile(r"[a-z]=[^\x00-\x1f\x7f]*")
STRICT_LINES = {  # browsers accept more forms of these lines; only one passes, so that nothing hides in them
    "a": re.compile(r"a=[!#-'*+.0-9A-Z^-~-]+(?::.*)?"),  # RFC 8866 §9: a name is a token
    "c": re.compile(r"c=IN IP[46] [0-9A-Za-z.:-]+(?:/[0-9/]+)?"),
    "o": re.compile(r"o=\S+ [0-9]+ [0-9]+ IN IP[46] [0-9A-Za-z.:-]+"),
}
ATTRIBUTES_WITH_ADDRESSES = frozenset({"remote-candidates", "source-filter", "alt"})
CONTACT_LINES = ("i=", "u=", "e=", "p=")  # free text, e-mail, telephone: no browser writes them
MEDIA = re.compile(  # encrypted with DTLS; nothing else is WebRTC (RFC 8834 §5, RFC 8841 §5.1)
    r"m=(?:(?:audio|video) [0-9]{1,5} UDP/TLS/RTP/SAVPF(?: [0-9]{1,3})+"
    r"|application [0-9]{1,5} UDP/DTLS/SCTP webrtc-datachannel)"
)
SCTP = re.compile(r"a=(?:sctp-port:[0-9]{1,5}|max-message-size:[0-9]{1,10})")  # RFC 8841 §5.1, §6.1
FINGERPRINT = re.compile(
    r"a=fingerprint:(?:sha-256 (?:[0-9a-f]{2}:){31}|sha-384 (?:[0-9a-f]{2}:){47}"
    r"|sha-512 (?:[0-9a-f]{2}:){63})[0-9a-f]{2}"
)
PORT = re.compile(r"^(m=[a-z]+) [1-9][0-9]*")
CONNECTION = re.compile(r"IN IP[46] [^\s/]+")
CANDIDATE = re.compile(
    r"(?:a=)?(candidate:[A-Za-z0-9+/]{1,32} [1-9][0-9]{0,2} [A-Za-z]{3,8} [0-9]{1,10} )"
    r"([0-9A-Za-z.:-]{1,253}) ([0-9]{1,5}) typ (host|srflx|prflx|relay)((?: [!-~]{1,256} [!-~]{1,256})*) ?"
)
RELATED = re.compile(r" (raddr|rport) [!-~]+", re.IGNORECASE)
IP_LITERAL = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")  # an address, no host name


UFRAG = re.compile(r"a=ice-ufrag:([A-Za-z0-9+/]{4,126})")  # the relay reads no longer ones in ICE checks
MAX_PAIRS = 4  # of one call: an m-line of its own for audio and for a data channel, and room


class SdpError(Exception):
    """A description or candidate that is refused. `code` is the error code for its sender."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def check_sdp(sdp: str) -> list[str]:
    """The lines of a description. Raises SdpError for what allows a call without encryption, or floods the
    partner with checks."""
    if sdp.count("\n") > MAX_LINES:
        raise SdpError("bad_sdp")
    lines = list(split_lines(sdp))
    if lines[:1] != ["v=0"] or not is_encrypted(lines):
        raise SdpError("bad_sdp")
    if any(line.lower().startswith("a=crypto") for line in lines):  # RFC 8827 §6.5: no SDES
        raise SdpError("bad_sdp")
    if not has_plain_channels(lines):
        raise SdpError("bad_sdp")
    candidates = [line for line in lines if line.lower().startswith("a=candidate")]
    if len(candidates) > MAX_CANDIDATES or not all(CANDIDATE.fullmatch(line) for line in candidates):
        raise SdpError("bad_sdp")
    return lines


def split_lines(sdp: str) -> Iterator[str]:
    """The lines. Raises SdpError for what a browser may split differently: a lone CR, NUL, indented lines."""
    for line in sdp.removesuffix("\n").split("\n"):
        bare = line.removesuffix("\r")
        if bare and not (LINE.fullmatch(bare) and STRICT_LINES.get(bare[0], LINE).fullmatch(bare)):
            raise SdpError("bad_sdp")
        if bare:
            yield bare


def is_encrypted(lines: list[str]) -> bool:
    """Whether every m-line has an encrypted protocol and the one fingerprint (RFC 8827 §6.5)."""
    sections = list(split_sections(lines))
    everywhere = fingerprints(sections[0])
    seen: set[str] = everywhere or set()
    for section in sections[1:]:
        if not MEDIA.fullmatch(section[0]):
            return False
        own = fingerprints(section)
        refused = (
            section[0].split(" ")[1] == "0" and "a=bundle-only" not in section
        )  # carries nothing, so needs nothing
        if own is None or everywhere is None or not (own or everywhere or refused):
            return False
        seen |= own
    return len(seen) == 1


def has_plain_channels(lines: list[str]) -> bool:
    """Whether data channels, if there are any, are described as browsers do it, in one section."""
    sections = [section for section in split_sections(lines) if section[0].startswith("m=application")]
    about = [line for line in lines if line.lower().startswith(("a=sctp", "a=max-message-size"))]
    return len(sections) <= 1 and all(SCTP.fullmatch(line) for line in about)


def split_sections(lines: list[str]) -> Iterator[list[str]]:
    """The lines of the session, then the lines of each m-line."""
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    for start, end in zip([0, *starts], [*starts, len(lines)], strict=True):
        yield lines[start:end]


def fingerprints(section: list[str]) -> set[str] | None:
    """The fingerprints of a section; None if one has a weak or unknown hash."""
    lines = {line.lower() for line in section if line.lower().startswith("a=fingerprint")}
    return lines if all(FINGERPRINT.fullmatch(line) for line in lines) else None


def ufrags_of(lines: list[str]) -> tuple[str, ...]:
    """The ICE ufrag of each m-line (RFC 8839 §5.4); empty where there is none that a relay would read.

    The lines are from `check_sdp`.
    """
    everywhere, *sections = split_sections(lines)
    return tuple(find_ufrag(section) or find_ufrag(everywhere) for section in sections)


def find_ufrag(section: list[str]) -> str:
    found = (UFRAG.fullmatch(line) for line in section)
    return next((match[1] for match in found if match), "")


def ufrag_pairs(offered: Sequence[str], answered: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of ufrags that two browsers may use for one call, m-line by m-line."""
    pairs = dict.fromkeys(zip(offered, answered, strict=False))
    return tuple(pair for pair in pairs if all(pair))[:MAX_PAIRS]


def relay_only(sdp: str) -> str:
    """The same description without any address of its sender."""
    return "".join(f"{line}\r\n" for line in map(hide_address, split_lines(sdp)) if line is not None)


def hide_address(line: str) -> str | None:
    """One line without its sender's address; None: the line is left out."""
    if line.startswith("a="):
        return hide_in_attribute(line, line[2:].partition(":")[0].lower())
    if line.startswith(CONTACT_LINES):
        return None
    if line.startswith(("o=", "c=")):
        return CONNECTION.sub(f"IN IP4 {HIDDEN_ADDRESS}", line)
    return PORT.sub(rf"\1 {HIDDEN_PORT}", line) if line.startswith("m=") else line


def hide_in_attribute(line: str, name: str) -> str | None:
    if name == "candidate":
        hidden = relay_candidate(line)
        return hidden and f"a={hidden}"
    if name in ATTRIBUTES_WITH_ADDRESSES:
        return None
    return f"a=rtcp:{HIDDEN_PORT} IN IP4 {HIDDEN_ADDRESS}" if name == "rtcp" else line


def check_candidate(line: str) -> None:
    """Raise SdpError for what is no candidate line (RFC 8839 §5.1). An empty one ends a generation."""
    if line and not CANDIDATE.fullmatch(line):
        raise SdpError("bad_candidate")


def relay_candidate(line: str) -> str | None:
    """A relayed candidate without its related address; None for a candidate of another type."""
    if not line:
        return line
    found = CANDIDATE.fullmatch(line)
    if found is None or found[4] != "relay" or not IP_LITERAL.fullmatch(found[2]):
        return None
    start, address, port, _, rest = found.groups()
    return (
        f"{start}{address} {port} typ relay raddr {HIDDEN_ADDRESS} rport {HIDDEN_PORT}{RELATED.sub('', rest)}"
    )
