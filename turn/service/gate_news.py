"""How the processes of this relay tell each other which sessions are proven to be encrypted, what was offered
in them, and what a server has told. Each process has a socket, for the others that run now, and a file with
what is proven and told, also for a process that starts later. Both hold names of users and sessions, and no
address.

The files also repair what a full socket has lost: each process reads the files of the others now and then.
So a call that moves to another process by a restart of ICE is known there.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from turn.core.relay import Known, RelayNews
from turn.errors import BadRequest
from turn.gate.sessions import Offered, Proven
from turn.gate.vouched import Ufrags
from turn.wire.hello import ClientHello
from turn.wire.notices import (
    Notification,
    pack_notices,
    pack_notification,
    unpack_notices,
    unpack_notification,
)

# The first word of a message: about an offer, what a server told, and all that servers have told. A message
# about a proven session has none.
OFFER, TOLD, KNOWN = "offer", "told", "known"
# Names in site.state_dir, each with a process's own behind it. Other versions know them, so they stay.
SOCKET, FILE, DRAFT = "ear", "proved", "draft"
NOTHING = Known(())
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

    def broadcast(self, news: Iterable[RelayNews]) -> None:
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

    def received(self) -> Iterator[RelayNews]:
        """What the others have sent since the last time."""
        for _ in range(AT_ONCE):
            try:
                message = self.sock.recv(LONGEST)
            except OSError:
                return
            yield from understood(message)

    def save(self, proved: Sequence[Proven], wall: float, known: Known = NOTHING) -> None:
        """Replace the file by all that is proven and told now; without any, there is no file. Raises OSError.

        What was told comes last: older versions stop reading there.
        """
        if not (proved or known.notices):
            self.file.unlink(missing_ok=True)
            return
        draft = self.folder / f"{DRAFT}.{self.name}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(json.dumps(wall).encode() + b"\n")
            file.writelines(encode(one) + b"\n" for one in proved)
            if known.notices:
                file.write(encode(known) + b"\n")
        draft.rename(self.file)

    def read_files(self, wall: float) -> Iterator[RelayNews]:
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


def read_file(path: Path, wall: float) -> Iterator[RelayNews]:
    """Nothing from a file that is too old, which is removed, or that cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        lines = path.read_bytes().splitlines()
        age = wall - float(json.loads(lines[0] if lines else b"0"))
        if not 0 <= age <= VALID_SECONDS:
            path.unlink()
            return
        for line in lines[1:]:
            for one in understood(line):
                yield aged(one, age) if isinstance(one, Known) else one


def aged(known: Known, seconds: float) -> Known:
    """What still holds so many seconds later."""
    later = (one._replace(seconds=int(one.seconds - seconds)) for one in known.notices)
    return Known(tuple(one for one in later if one.seconds > 0))


def understood(message: bytes) -> Iterator[RelayNews]:
    """Nothing for what another version says in another format."""
    with suppress(ValueError, TypeError, BadRequest):
        yield decode(message)


def encode(news: RelayNews) -> bytes:
    """As JSON; bytes that are no text are written one by one."""
    if isinstance(news, Notification):
        return json.dumps([TOLD, pack_notification(news).decode("latin-1")]).encode()
    if isinstance(news, Known):
        return json.dumps([KNOWN, pack_notices(news.notices).decode("latin-1")]).encode()
    ufrags = [ufrag.decode("latin-1") for ufrag in news.ufrags]
    if isinstance(news, Proven):
        return json.dumps([news.user, ufrags, news.unified, news.srtp, news.ssrcs]).encode()
    suites, profiles = news.offer
    known = None if profiles is None else sorted(profiles)
    return json.dumps([OFFER, news.user, ufrags, news.speaker, sorted(suites), known]).encode()


def decode(message: bytes) -> RelayNews:
    """Raises ValueError, TypeError and BadRequest."""
    words = json.loads(message)
    reader = READERS.get(words[0]) if isinstance(words, list) and len(words) in (2, 6) else None
    return reader(*words[1:]) if reader else proven(*words)


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


def told(packed: str) -> Notification:
    return unpack_notification(bytes(packed, "latin-1"))


def known(packed: str) -> Known:
    return Known(unpack_notices(bytes(packed, "latin-1")))


READERS: Mapping[str, Callable[..., RelayNews]] = {OFFER: offered, TOLD: told, KNOWN: known}
