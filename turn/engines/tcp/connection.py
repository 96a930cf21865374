"""A client's connection: bytes in, whole frames on; whole packets out, at the reader's pace."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT
from socket import socket
from time import monotonic

from turn.engines.framing import ROOM, BadStream, frame_size, is_channel
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.table import Client
from turn.engines.tcp.send_queue import Outbox, Overflow
from turn.flows import Address, Packet

READ = 16 << 10  # bytes per turn: one record of TLS
FRAMES = 16  # per turn, so that a stream of tiny ones keeps nobody waiting
WHOLE_FRAME = 10.0  # seconds for the first frame, and for the rest of any other
STUCK = 10.0  # seconds in which a client reads nothing of what waits for it
IDLE = 60.0  # seconds without a frame of a client that holds nothing: who wants to stay asks now and then
NOT_YET = (BlockingIOError, ssl.SSLWantReadError)


class Together(Sender):
    """Sends to the client of a connection: at once, or together with what follows, of whatever size."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.sock, connection.epoll.gather)
        self.connection = connection
        self.send = connection.send

    def mark(self, mark: int) -> None:
        """A stream has no marks."""

    def flush(self) -> None:
        held, self.held = self.held, []
        self.connection.send_all(held)


class Connection:
    """`settled` is called when its client first holds an allocation, `left` when it has closed."""

    __slots__ = (
        "client",
        "closed",
        "epoll",
        "heard",
        "here",
        "is_known",
        "is_settled",
        "left",
        "outbox",
        "read_by",
        "rest",
        "resuming",
        "settled",
        "sock",
        "there",
        "way",
        "write_by",
    )

    def __init__(self, epoll: Epoll, sock: socket, here: Address, there: Address) -> None:
        self.epoll = epoll
        self.sock = sock
        self.here = here
        self.there = there
        self.way = b""  # the proxy that it comes by, if it comes by one
        self.client: Client | None = None  # while it has a linked flow
        self.outbox: Outbox | None = None  # while something waits
        self.rest = b""  # of what was read: less than one frame, or more than one turn's
        self.is_known = self.is_settled = self.resuming = self.closed = False
        self.write_by = math.inf
        self.heard = 0.0  # when its last frame came that no flow carried
        self.settled: Callable[[], None]
        self.left: Callable[[Connection], None]

    def start(self, settled: Callable[[], None], left: Callable[[Connection], None]) -> None:
        self.settled, self.left = settled, left
        self.read_by = monotonic() + WHOLE_FRAME
        self.epoll.watch(self.sock, self.drain)

    def drain(self, _most: int) -> None:
        """One turn: what waits goes out, one read at most comes in, a few frames go on."""
        if self.closed:
            return
        try:
            if self.outbox is not None:
                self.flush(self.outbox)
            with suppress(*NOT_YET):
                self.take()
        except (OSError, BadStream):
            self.epoll.gather.end()
            self.close()
        except Exception:
            self.close()  # what was read is lost, and where the next frame begins
            raise

    def take(self) -> None:
        """Raises OSError and BadStream."""
        view, start, end = self.epoll.view, ROOM, self.load(self.rest)
        if not has_frame(view, start, end):
            end += self.read(view[end : end + READ])
        if not self.is_known and is_channel(view[start]):  # nobody can have a channel yet: "GET " looks so
            raise BadStream
        frames, gather = 0, self.epoll.gather
        while frames < FRAMES and has_frame(view, start, end):
            size = frame_size(view, start, end)
            frames += 1
            if self.client is not None:
                # Not where a mate's frame around this one would be written over those before.
                gather.on = not self.client.mates and (frames > 1 or start + size < end)
                if self.client.carry(view, start, size):
                    start += size
                    continue
                gather.end()
            frame, rest = bytes(view[start : start + size]), bytes(view[start + size : end])
            self.up(frame)
            if self.closed:
                return
            start, end = ROOM, self.load(rest)  # the core's answer may have used the buffer
        gather.end()
        self.keep(bytes(view[start:end]), progress=frames > 0)

    def load(self, rest: bytes) -> int:
        """Put this at the buffer's beginning; where it ends."""
        end = ROOM + len(rest)
        self.epoll.view[ROOM:end] = rest
        return end

    def read(self, room: memoryview) -> int:
        """Raises OSError, at the stream's end too."""
        size = self.sock.recv_into(room)
        if not size:
            raise ConnectionResetError
        return size

    def up(self, frame: bytes) -> None:
        """What no flow carries; a channel's padding belongs to the stream and not to the packet."""
        self.is_known = True
        self.heard = monotonic()
        if is_channel(frame[0]):
            frame = frame[: 4 + int.from_bytes(frame[2:4])]
        self.epoll.up(Packet(self.here, self.there, frame))
        if not self.is_settled and not self.closed and self.epoll.holds(self.there, self.here):
            self.settle()

    def settle(self) -> None:
        """Its client holds something. Again: nothing happens."""
        if not self.is_settled:
            self.is_settled = True
            self.settled()

    def keep(self, rest: bytes, *, progress: bool) -> None:
        """What was not used up has its turn later. Raises BadStream."""
        self.rest = rest
        if not self.resuming and (has_frame(memoryview(rest), 0, len(rest)) or self.holds_more()):
            self.resuming = True
            self.epoll.later(self.resume)
        if progress and not rest:
            self.read_by = math.inf
        elif progress or (rest and self.read_by == math.inf):
            self.read_by = monotonic() + WHOLE_FRAME

    def holds_more(self) -> bool:
        """Whether something was read from the system that epoll no longer knows of."""
        return False

    def resume(self) -> None:
        self.resuming = False
        self.drain(1)

    def send(self, data: memoryview) -> None:
        """A whole frame, padded for the stream; kept while the client is slow, or lost with it."""
        if self.closed:
            return
        if len(data) & 3:
            data = memoryview(padded(data))
        try:
            if self.outbox is None:
                self.send_now(self.seal(data))
            else:
                self.outbox.put(bytes(data))
        except (OSError, Overflow):
            self.close()

    def send_all(self, frames: list[memoryview]) -> None:
        """In one call, where none waits for the client. Each is sealed by itself: some clients, coturn's
        among them, take a record of TLS for one frame."""
        if self.closed or self.outbox is not None or len(frames) == 1:
            for frame in frames:
                self.send(frame)
            return
        try:
            self.send_now(b"".join(self.seal(padded(frame)) for frame in frames))
        except OSError:
            self.close()

    def seal(self, data: bytes | memoryview) -> bytes | memoryview:
        """What travels for this packet."""
        return data

    def send_now(self, data: bytes | memoryview) -> None:
        """Raises OSError."""
        sent = 0
        with suppress(BlockingIOError):
            sent = self.sock.send(data)
        if sent < len(data):
            self.outbox = Outbox(bytes(data[sent:]), lambda packet: bytes(self.seal(packet)))
            self.write_by = monotonic() + STUCK
            self.epoll.heed(self.sock, EPOLLIN | EPOLLOUT)

    def flush(self, outbox: Outbox) -> None:
        """Raises OSError."""
        with suppress(BlockingIOError):
            while outbox.sent(self.sock.send(outbox.head)):
                self.write_by = monotonic() + STUCK
            self.outbox = None
            self.write_by = math.inf
            self.epoll.heed(self.sock, EPOLLIN)

    def is_overdue(self, now: float) -> bool:
        return now > self.read_by or now > self.write_by or self.is_idle(now)

    def is_idle(self, now: float) -> bool:
        """Whether nothing was said for long, and nothing is there to stay for."""
        if not self.is_known or self.client is not None or now <= self.heard + IDLE:
            return False
        return not self.epoll.holds(self.there, self.here)

    def close(self) -> None:
        """Of one that is closed: nothing happens."""
        if not self.closed:
            self.closed = True
            self.epoll.drop(self.sock)
            self.left(self)


def padded(frame: memoryview) -> bytes:
    """As a stream has it (RFC 8656 §12.5)."""
    return bytes(frame) + bytes(-len(frame) & 3)


def has_frame(view: memoryview, start: int, end: int) -> bool:
    """Raises BadStream."""
    return 0 < frame_size(view, start, end) <= end - start
