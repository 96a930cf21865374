"""Several packets for one destination in one system call (UDP segmentation offload, Linux 4.18).

In a burst, or under load, packets of one size wait for one destination. Then the kernel's network stack is
walked once for all of them: four cost 1.4 µs each instead of 3.8. The receiver gets the same packets.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby
from socket import IPPROTO_UDP, socket

from turn.engines.loop import dscp
from turn.engines.transmit import Outlet, Transmit, push

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
            sender.take_pending()


class Sender(Outlet):
    """Sends on one connected socket: at once, or in one call with what follows. What follows the first
    packet of a batch is put into its list at once, without a call of ours."""

    __slots__ = ("batch", "pending", "send", "sock")

    def __init__(self, sock: socket, batch: Batch) -> None:
        super().__init__(self.put_first)
        self.batch = batch
        self.sock = sock
        self.send: Transmit = sock.send
        self.pending: list[memoryview] = []

    def put_first(self, data: memoryview) -> None:
        """May raise OSError while the batch is not open."""
        if not self.batch.is_open:
            self.send(data)
            return
        self.batch.senders.append(self)
        self.pending.append(data)
        self.put = self.pending.append

    def take_pending(self) -> list[memoryview]:
        """What was collected; from now on nothing is."""
        pending, self.pending = self.pending, []
        self.put = self.put_first
        return pending

    def mark_packets(self, mark: int) -> None:
        """What is sent from now on has this mark, collected packets included (see turn.engines.loop.dscp)."""
        dscp.set_mark(self.sock, mark)

    def flush(self) -> None:
        for run in runs(self.take_pending()):
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


def transmit_to(sock: socket, remote: tuple[str, int], control: Sequence[Control] = ()) -> Transmit:
    """What sends to one address by a socket that many clients share, with these control messages."""
    if control:
        return lambda data: sock.sendmsg([data], control, 0, remote)
    return lambda data: sock.sendto(data, remote)


class AddressedSender(Sender):
    """Sends to one address by a socket that many clients share, with these control messages."""

    __slots__ = ("control", "destination")

    def __init__(
        self, sock: socket, batch: Batch, remote: tuple[str, int], control: Sequence[Control] = ()
    ) -> None:
        super().__init__(sock, batch)
        self.destination, self.control = remote, control
        self.send = transmit_to(sock, remote, control)

    def mark_packets(self, mark: int) -> None:
        """Other clients' packets leave by the same socket, so all are best effort."""

    def send_segmented(self, run: list[memoryview]) -> bool:
        size = (IPPROTO_UDP, UDP_SEGMENT, SEGMENT.pack(len(run[0])))
        try:
            self.sock.sendmsg(run, [*self.control, size], 0, self.destination)
        except OSError:
            return False
        return True


def runs(pending: list[memoryview]) -> list[list[memoryview]]:
    """Neighbours of one size together; mostly all have one size."""
    sizes = [*map(len, pending)]
    if sizes.count(sizes[0]) == len(sizes):
        return [pending]
    return [list(run) for _, run in groupby(pending, len)]
