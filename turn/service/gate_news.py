"""How the processes of this relay tell each other which sessions are proven to be encrypted, and what was
offered in them. Each process has a socket, for the others that run now, and a file with what is proven, also
for a process that starts later. Both hold names of users and sessions, and no address.

The files also repair what a full socket has lost: each process reads the files of the others now and then.
So a call that moves to another process by a restart of ICE is known there.
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

OFFER = "offer"  # the first word of a message about an offer; one about a proven session has none
# Names in site.state_dir, each with a process's own behind it. Other versions know them, so they stay.
SOCKET, FILE, DRAFT = "ear", "proved", "draft"
VALID_SECONDS = 60.0  # an older file is not read: the relay was down for too long
LONGEST = 1 << 16  # bytes of a message; one with the longest names and all streams has 4,000
AT_ONCE = 64  # messages in one turn of the loop


class GateNews:
    """Socket and file of this process. Raises OSError."""

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
        """To all that run. A process that does not read finds it in the file."""
        others = [path for path in self.folder.glob(f"{SOCKET}.*") if path != self.path]
        for message in map(encode, news) if others else ():
            for path in others:
                self._send_to(message, path)

    def _send_to(self, message: bytes, path: Path) -> None:
        try:
            self.sock.sendto(message, str(path))
        except ConnectionRefusedError:  # its process has died
            path.unlink(missing_ok=True)
        except OSError:
            return

    def received(self) -> Iterator[News]:
        """What the others have sent since the last time."""
        for _ in range(AT_ONCE):
            try:
                message = self.sock.recv(LONGEST)
            except OSError:
                return
            with suppress(ValueError, TypeError):  # another version has another format
                yield decode(message)

    def save(self, proved: Sequence[Proven], wall: float) -> None:
        """Replace the file by all that is proven now; without any, there is no file. Raises OSError."""
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
        """What stands in the files of the others; old files and drafts are removed."""
        for draft in self.folder.glob(f"{DRAFT}.*"):
            remove_stale(draft, wall)
        for path in self.folder.glob(f"{FILE}.*"):
            if path != self.file:
                yield from read_file(path, wall)

    def close(self) -> None:
        self.sock.close()
        self.path.unlink(missing_ok=True)


def remove_stale(draft: Path, wall: float) -> None:
    with suppress(OSError):
        if wall - draft.stat().st_mtime > VALID_SECONDS:
            draft.unlink()


def read_file(path: Path, wall: float) -> Iterator[News]:
    """Nothing from a file that is too old, which is removed, or that cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        lines = path.read_bytes().splitlines()
        if not 0 <= wall - float(json.loads(lines[0] if lines else b"0")) <= VALID_SECONDS:
            path.unlink()
            return
        yield from map(decode, lines[1:])


def encode(news: News) -> bytes:
    """As JSON; bytes that are no text are written one by one."""
    ufrags = [ufrag.decode("latin-1") for ufrag in news.ufrags]
    if isinstance(news, Proven):
        return json.dumps([news.user, ufrags, news.unified, news.srtp, news.ssrcs]).encode()
    suites, profiles = news.offer
    known = None if profiles is None else sorted(profiles)
    return json.dumps([OFFER, news.user, ufrags, news.speaker, sorted(suites), known]).encode()


def decode(message: bytes) -> News:
    """Raises ValueError and TypeError."""
    words = json.loads(message)
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
