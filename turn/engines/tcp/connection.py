"""A client's TCP connection: cuts what it receives into frames, and queues what a slow client cannot take."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT
from socket import socket
from time import monotonic

from turn.engines.framing import HEADROOM, BadStream, frame_size, is_channel
from turn.engines.loop.batching import Sender
from turn.engines.loop.epoll import Epoll
from turn.engines.table import LinkedClient
from turn.engines.tcp.send_queue import Overflow, SendQueue
from turn.flows import Address, Packet

READ = 16 << 10  # bytes per turn: one record of TLS
FRAMES = 16  # per turn, so that a stream of tiny ones delays nobody else
WHOLE_FRAME = 10.0  # seconds for the first frame, and for the rest of any other
STUCK = 10.0  # seconds in which a client takes nothing of what waits for it
IDLE = 60.0  # seconds without a frame from a client that has no allocation
NOT_YET = (BlockingIOError, ssl.SSLWantReadError)


class ConnectionSender(Sender):
    """Sends to the client of a connection: at once, or in one call with what follows, of any size."""

    __slots__ = ("connection",)

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__(connection.sock, connection.epoll.batch)
        self.connection = connection
        self.send = connection.send

    def mark_packets(self, mark: int) -> None:
        """A stream has no marks."""

    def flush(self) -> None:
        self.connection.send_all(self.take_pending())


class ClientConnection:
    """`on_allocation` is called when its client first holds an allocation, `on_close` when it has closed."""

    __slots__ = (
        "client",
        "closed",
        "epoll",
        "has_allocated",
        "has_punted",
        "last_punt",
        "local",
        "on_allocation",
        "on_close",
        "proxy_ip",
        "queue",
        "read_by",
        "remote",
        "resuming",
        "sock",
        "unread",
        "write_by",
    )

    def __init__(self, epoll: Epoll, sock: socket, local: Address, remote: Address) -> None:
        self.epoll = epoll
        self.sock = sock
        self.local = local
        self.remote = remote
        self.proxy_ip = b""  # of the proxy that it comes by, if there is one
        self.client: LinkedClient | None = None  # while it has a linked flow
        self.queue: SendQueue | None = None  # while something waits
        self.unread = b""  # what was read but not used: part of a frame, or more than one turn's
        self.has_punted = self.has_allocated = self.resuming = self.closed = False
        self.write_by = math.inf
        self.last_punt = 0.0  # when the last frame came that no flow carried
        self.on_allocation: Callable[[], None]
        self.on_close: Callable[[ClientConnection], None]

    def start_reading(
        self, on_allocation: Callable[[], None], on_close: Callable[[ClientConnection], None]
    ) -> None:
        self.on_allocation, self.on_close = on_allocation, on_close
        self.read_by = monotonic() + WHOLE_FRAME
        self.epoll.register(self.sock, self.on_ready)

    def on_ready(self, _most: int) -> None:
        """One turn: send what waits, read once at most, handle a few frames."""
        if self.closed:
            return
        try:
            if self.queue is not None:
                self.flush_queue(self.queue)
            with suppress(*NOT_YET):
                self.read_frames()
        except (OSError, BadStream):
            self.epoll.batch.finish()
            self.close()
        except Exception:
            self.close()  # what was read is lost, so nobody knows where the next frame begins
            raise

    def read_frames(self) -> None:
        """Raises OSError and BadStream."""
        view, start, end = self.epoll.view, HEADROOM, self.put_in_buffer(self.unread)
        if not has_frame(view, start, end):
            end += self.receive_into(view[end : end + READ])
        if not self.has_punted and is_channel(
            view[start]
        ):  # no client can have a channel yet, but "GET " looks like one
            raise BadStream
        frames, batch = 0, self.epoll.batch
        while frames < FRAMES and has_frame(view, start, end):
            size = frame_size(view, start, end)
            frames += 1
            if self.client is not None:
                # Not where another client's frame around this one would be written over the frames before it.
                batch.is_open = not self.client.internal_lanes and (frames > 1 or start + size < end)
                if self.client.carry(view, start, size):
                    start += size
                    continue
                batch.finish()
            frame, rest = bytes(view[start : start + size]), bytes(view[start + size : end])
            self.punt_frame(frame)
            if self.closed:
                return
            start, end = HEADROOM, self.put_in_buffer(rest)  # the core's answer may have used the buffer
        batch.finish()
        self.save_unread(bytes(view[start:end]), progress=frames > 0)

    def put_in_buffer(self, rest: bytes) -> int:
        """Put this at the buffer's beginning; returns where it ends."""
        end = HEADROOM + len(rest)
        self.epoll.view[HEADROOM:end] = rest
        return end

    def receive_into(self, room: memoryview) -> int:
        """Raises OSError, at the stream's end too."""
        size = self.sock.recv_into(room)
        if not size:
            raise ConnectionResetError
        return size

    def punt_frame(self, frame: bytes) -> None:
        """A frame that no flow carries. The padding of ChannelData belongs to the stream and is left out."""
        self.has_punted = True
        self.last_punt = monotonic()
        if is_channel(frame[0]):
            frame = frame[: 4 + int.from_bytes(frame[2:4])]
        self.epoll.punt(Packet(self.local, self.remote, frame))
        if not self.has_allocated and not self.closed and self.epoll.holds(self.remote, self.local):
            self.mark_allocated()

    def mark_allocated(self) -> None:
        """The client holds an allocation. Called again: nothing happens."""
        if not self.has_allocated:
            self.has_allocated = True
            self.on_allocation()

    def save_unread(self, rest: bytes, *, progress: bool) -> None:
        """The rest of what was read has its turn later. Raises BadStream."""
        self.unread = rest
        if not self.resuming and (has_frame(memoryview(rest), 0, len(rest)) or self.has_buffered()):
            self.resuming = True
            self.epoll.call_soon(self.resume)
        if progress and not rest:
            self.read_by = math.inf
        elif progress or (rest and self.read_by == math.inf):
            self.read_by = monotonic() + WHOLE_FRAME

    def has_buffered(self) -> bool:
        """Whether data was read from the socket that epoll no longer reports."""
        return False

    def resume(self) -> None:
        self.resuming = False
        self.on_ready(1)

    def send(self, data: memoryview) -> None:
        """Send a whole frame, padded for the stream. It is queued where the client is slow."""
        if self.closed:
            return
        if len(data) & 3:
            data = memoryview(padded(data))
        try:
            if self.queue is None:
                self.send_now(self.encrypt(data))
            else:
                self.queue.put(bytes(data))
        except (OSError, Overflow):
            self.close()

    def send_all(self, frames: list[memoryview]) -> None:
        """Send in one call, where nothing waits for the client. Each frame is encrypted by itself: some
        clients, such as coturn's, expect one frame in each TLS record."""
        if self.closed or self.queue is not None or len(frames) == 1:
            for frame in frames:
                self.send(frame)
            return
        try:
            self.send_now(b"".join(self.encrypt(padded(frame)) for frame in frames))
        except OSError:
            self.close()

    def encrypt(self, data: bytes | memoryview) -> bytes | memoryview:
        """What is sent for this packet: without TLS, the packet itself."""
        return data

    def send_now(self, data: bytes | memoryview) -> None:
        """Raises OSError."""
        sent = 0
        with suppress(BlockingIOError):
            sent = self.sock.send(data)
        if sent < len(data):
            self.queue = SendQueue(bytes(data[sent:]), lambda packet: bytes(self.encrypt(packet)))
            self.write_by = monotonic() + STUCK
            self.epoll.modify(self.sock, EPOLLIN | EPOLLOUT)

    def flush_queue(self, queue: SendQueue) -> None:
        """Raises OSError."""
        with suppress(BlockingIOError):
            while queue.sent(self.sock.send(queue.head)):
                self.write_by = monotonic() + STUCK
            self.queue = None
            self.write_by = math.inf
            self.epoll.modify(self.sock, EPOLLIN)

    def is_overdue(self, now: float) -> bool:
        return now > self.read_by or now > self.write_by or self.is_idle(now)

    def is_idle(self, now: float) -> bool:
        """Whether the client has sent nothing for long, and has no allocation."""
        if not self.has_punted or self.client is not None or now <= self.last_punt + IDLE:
            return False
        return not self.epoll.holds(self.remote, self.local)

    def close(self) -> None:
        """Called again: nothing happens."""
        if not self.closed:
            self.closed = True
            self.epoll.close_socket(self.sock)
            self.on_close(self)


def padded(frame: memoryview) -> bytes:
    """Padded to a multiple of 4 bytes (RFC 8656 §12.5)."""
    return bytes(frame) + bytes(-len(frame) & 3)


def has_frame(view: memoryview, start: int, end: int) -> bool:
    """Raises BadStream."""
    return 0 < frame_size(view, start, end) <= end - start
