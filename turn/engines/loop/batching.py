"""Several packets for one destination in one system call (UDP segmentation offload, Linux 4.18).

In a burst, or under load, packets of one size wait for one destination. Then the kernel's network stack is
walked once for all of them: four cost 1.4 µs each instead of 3.8. The receiver gets the same packets.
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
LARGEST_SEGMENT = 1232  # fits every path (RFC 8200 §5: 1280, less its header and UDP's): never fragmented

Control = tuple[int, int, bytes]  # level, kind and value of a control message


class Batch:
    """While it is open, senders collect their packets; when it finishes, they send them."""

    __slots__ = ("is_open", "senders")

    def __init__(self) -> None:
        self.is_open = False
        self.senders: list[Sender] = []

    def flush(self) -> None:
        senders, self.senders = self.senders, []
        for sender in senders:
            sender.flush()

    def finish(self) -> None:
        self.is_open = False
        self.flush()

    def discard(self) -> None:
        """After an error. What was collected must not be sent later, when other bytes stand in the buffer."""
        self.is_open = False
        senders, self.senders = self.senders, []
        for sender in senders:
            sender.pending.clear()


class Sender:
    """Sends on one connected socket: at once, or in one call with what follows."""

    __slots__ = ("batch", "pending", "send", "sock")

    def __init__(self, sock: socket, batch: Batch) -> None:
        self.batch = batch
        self.sock = sock
        self.send: Transmit = sock.send
        self.pending: list[memoryview] = []

    def __call__(self, data: memoryview) -> None:
        """May raise OSError while the batch is not open."""
        if not self.batch.is_open:
            self.send(data)
            return
        if not self.pending:
            self.batch.senders.append(self)
        self.pending.append(data)

    def mark_packets(self, mark: int) -> None:
        """What is sent from now on has this mark, collected packets included (see turn.engines.loop.dscp)."""
        dscp.set_mark(self.sock, mark)

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        for run in runs(pending):
            if len(run) == 1 or not 0 < len(run[0]) <= LARGEST_SEGMENT or not self.send_segmented(run):
                for data in run:
                    push(self.send, data)

    def send_segmented(self, run: list[memoryview]) -> bool:
        """One call for all. False where the path or the device cannot, or an earlier packet was refused."""
        try:
            self.sock.sendmsg(run, [(IPPROTO_UDP, UDP_SEGMENT, SEGMENT.pack(len(run[0])))])
        except OSError:
            return False
        return True


class AddressedSender(Sender):
    """Sends to one address by a socket that many clients share, with these control messages."""

    __slots__ = ("control", "destination")

    def __init__(
        self, sock: socket, batch: Batch, remote: tuple[str, int], control: Sequence[Control] = ()
    ) -> None:
        super().__init__(sock, batch)
        self.destination, self.control = remote, control
        if control:
            self.send = lambda data: sock.sendmsg([data], control, 0, remote)
        else:
            self.send = lambda data: sock.sendto(data, remote)

    def mark_packets(self, mark: int) -> None:
        """Other clients' packets leave by the same socket, so all are best effort."""

    def send_segmented(self, run: list[memoryview]) -> bool:
        size = (IPPROTO_UDP, UDP_SEGMENT, SEGMENT.pack(len(run[0])))
        try:
            self.sock.sendmsg(run, [*self.control, size], 0, self.destination)
        except OSError:
            return False
        return True


def runs(pending: list[memoryview]) -> Iterator[list[memoryview]]:
    """Neighbours of one size together."""
    for _, run in groupby(pending, len):
        yield list(run)
