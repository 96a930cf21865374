"""What was proved and offered in calls, told among the processes of this relay: to those that live, at once
by a socket each; what was proved, to whoever comes after too, by a file each. Names of users and sessions are
in both, and no address.

The files also repair what a full socket has lost: each process reads the others' now and then, which is how
long calls stay known where only a restart of ICE will lead them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from turn.gate.sessions import News, Offered, Proven, Ufrags
from turn.wire.hello import ClientHello

OFFER = "offer"  # how what is said of one begins; what is proved has no such word
SOCKET, FILE, DRAFT = "ear", "proved", "draft"  # in site.state_dir, each followed by a name of its own
VALID_SECONDS = 60.0  # of a file: who comes later has been away for too long
LONGEST = 1 << 16  # bytes of what is said of one session; the longest names and all its streams have 4,000
AT_ONCE = 64  # sessions heard of in one turn of the loop


class GateNews:
    """This process's. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, secrets.token_hex(4)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.path = folder / f"{SOCKET}.{self.name}"
        self.file = folder / f"{FILE}.{self.name}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sock.bind(str(self.path))
            self.path.chmod(0o600)
        except OSError:
            self.sock.close()
            raise

    def broadcast(self, news: Iterable[News]) -> None:
        """To all that live. Who does not read is left out: the file says it again."""
        others = [place for place in self.folder.glob(f"{SOCKET}.*") if place != self.path]
        for said in map(encode, news) if others else ():
            for place in others:
                self._send_to(said, place)

    def _send_to(self, said: bytes, place: Path) -> None:
        try:
            self.sock.sendto(said, str(place))
        except ConnectionRefusedError:  # its process has died
            place.unlink(missing_ok=True)
        except OSError:
            return

    def received(self) -> Iterator[News]:
        """What the others have told since."""
        for _ in range(AT_ONCE):
            try:
                said = self.sock.recv(LONGEST)
            except OSError:
                return
            with suppress(ValueError, TypeError):  # another version speaks otherwise
                yield decode(said)

    def save(self, proved: Sequence[Proven], wall: float) -> None:
        """All that is proved now, in the place of what was; where nothing is, no file. Raises OSError."""
        if not proved:
            self.file.unlink(missing_ok=True)
            return
        draft = self.folder / f"{DRAFT}.{self.name}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(json.dumps(wall).encode() + b"\n")
            file.writelines(encode(one) + b"\n" for one in proved)
        draft.rename(self.file)

    def read_files(self, wall: float) -> Iterator[News]:
        """What others have written, of late; what is too old goes, and what was left half written."""
        for place in self.folder.glob(f"{DRAFT}.*"):
            remove_stale(place, wall)
        for place in self.folder.glob(f"{FILE}.*"):
            if place != self.file:
                yield from read_file(place, wall)

    def close(self) -> None:
        self.sock.close()
        self.path.unlink(missing_ok=True)


def remove_stale(draft: Path, wall: float) -> None:
    with suppress(OSError):
        if wall - draft.stat().st_mtime > VALID_SECONDS:
            draft.unlink()


def read_file(place: Path, wall: float) -> Iterator[News]:
    """One file: nothing of what cannot be read, and no more once it is too old."""
    with suppress(OSError, ValueError, TypeError):
        lines = place.read_bytes().splitlines()
        if not 0 <= wall - float(json.loads(lines[0] if lines else b"0")) <= VALID_SECONDS:
            place.unlink()
            return
        yield from map(decode, lines[1:])


def encode(told: News) -> bytes:
    """As JSON; what is no text is written byte by byte."""
    ufrags = [ufrag.decode("latin-1") for ufrag in told.ufrags]
    if isinstance(told, Proven):
        return json.dumps([told.user, ufrags, told.unified, told.srtp, told.ssrcs]).encode()
    suites, profiles = told.offer
    known = None if profiles is None else sorted(profiles)
    return json.dumps([OFFER, told.user, ufrags, told.speaker, sorted(suites), known]).encode()


def decode(said: bytes) -> News:
    """Raises ValueError and TypeError."""
    words = json.loads(said)
    return offered(*words[1:]) if words[:1] == [OFFER] else proven(*words)


def proven(
    user: object, ufrags: Sequence[str], unified: object, srtp: object, ssrcs: Sequence[int]
) -> Proven:
    if not isinstance(user, str) or not all(isinstance(ssrc, int) for ssrc in ssrcs):
        raise TypeError
    return Proven(user, names(ufrags), bool(unified), bool(srtp), tuple(ssrcs))


def offered(
    user: object, ufrags: Sequence[str], speaker: object, suites: Sequence[int], known: Sequence[int] | None
) -> Offered:
    numbers = (*suites, *(known or ()))
    if not isinstance(user, str) or speaker not in (0, 1) or not all(isinstance(one, int) for one in numbers):
        raise TypeError
    offer = ClientHello(frozenset(suites), None if known is None else frozenset(known))
    return Offered(user, names(ufrags), int(bool(speaker)), offer)


def names(ufrags: Sequence[str]) -> Ufrags:
    one, other = ufrags
    return bytes(one, "latin-1"), bytes(other, "latin-1")
