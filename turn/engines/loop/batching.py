"""Several packets for one destination in one system call (UDP segmentation offload, Linux 4.18).

Where packets of one size wait for one end, as in a burst or under load, the stack is walked once for all of
them: four cost 1.4 µs each instead of 3.8. What arrives are the same packets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from socket import IPPROTO_UDP, socket

from turn.engines.loop import dscp
from turn.engines.transmit import Transmit, push

UDP_SEGMENT = 103  # from Linux's headers
SEGMENT = struct.Struct("=H")
LARGEST_SEGMENT = 1232  # what fits any path (RFC 8200 §5: 1280, less its header and UDP's): never fragmented


Control = tuple[int, int, bytes]  # level, kind and value of a control message


class Batch:
    """Whether senders keep what they are given until it ends, and which of them hold something."""

    __slots__ = ("is_open", "senders")

    def __init__(self) -> None:
        self.is_open = False
        self.senders: list[Sender] = []

    def flush(self) -> None:
        holding, self.senders = self.senders, []
        for sender in holding:
            sender.flush()

    def finish(self) -> None:
        self.is_open = False
        self.flush()

    def discard(self) -> None:
        """Whoever filled the buffer went wrong: what is held must not leave later, out of others' bytes."""
        self.is_open = False
        holding, self.senders = self.senders, []
        for sender in holding:
            sender.pending.clear()


class Sender:
    """Sends on one connected socket: at once, or together with what follows."""

    __slots__ = ("batch", "pending", "send", "sock")

    def __init__(self, sock: socket, gather: Batch) -> None:
        self.batch = gather
        self.sock = sock
        self.send: Transmit = sock.send
        self.pending: list[memoryview] = []

    def __call__(self, data: memoryview) -> None:
        """May raise OSError while nothing is gathered."""
        if not self.batch.is_open:
            self.send(data)
            return
        if not self.pending:
            self.batch.senders.append(self)
        self.pending.append(data)

    def set_mark(self, mark: int) -> None:
        """What leaves from now on, the held included, is marked so (see turn.engines.dscp)."""
        dscp.set_on(self.sock, mark)

    def flush(self) -> None:
        held, self.pending = self.pending, []
        for run in runs(held):
            if len(run) == 1 or not 0 < len(run[0]) <= LARGEST_SEGMENT or not self.send_segmented(run):
                for data in run:
                    push(self.send, data)

    def send_segmented(self, run: list[memoryview]) -> bool:
        """One call for all; False where the path or the device cannot, or an earlier packet was refused."""
        try:
            self.sock.sendmsg(run, [(IPPROTO_UDP, UDP_SEGMENT, SEGMENT.pack(len(run[0])))])
        except OSError:
            return False
        return True


class AddressedSender(Sender):
    """The same to one end of a socket that many share; `control` says what else the system is told."""

    __slots__ = ("control", "destination")

    def __init__(
        self, sock: socket, gather: Batch, there: tuple[str, int], control: Sequence[Control] = ()
    ) -> None:
        super().__init__(sock, gather)
        self.destination, self.control = there, control
        if control:
            self.send = lambda data: sock.sendmsg([data], control, 0, there)
        else:
            self.send = lambda data: sock.sendto(data, there)

    def set_mark(self, mark: int) -> None:
        """Others' packets leave by the same socket: best effort."""

    def send_segmented(self, run: list[memoryview]) -> bool:
        size = (IPPROTO_UDP, UDP_SEGMENT, SEGMENT.pack(len(run[0])))
        try:
            self.sock.sendmsg(run, [*self.control, size], 0, self.destination)
        except OSError:
            return False
        return True


def runs(held: list[memoryview]) -> Iterator[list[memoryview]]:
    """Neighbours of one size."""
    for _, run in groupby(held, len):
        yield list(run)
