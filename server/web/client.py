"""One browser's socket: what it may say how often, and what waits to be sent to it."""

from __future__ import annotations

from host.settings import IPAddress
from server.signalling.outbox import Outbox
from server.signalling.rates import CHUNK_RATE, MESSAGE_RATE, SIZE_RATE, TEXT_RATE, RefusalLimit
from server.signalling.visitors import Visitor
from server.web.browser_socket import BrowserSocket
from turn.limits.buckets import Bucket


class Client:
    """One browser's socket. `last_heard` is when it last said something, `ip` what it is counted by."""

    __slots__ = (
        "address",
        "chunk_limit",
        "ip",
        "last_heard",
        "malformed",
        "message_limit",
        "outbox",
        "refusal_limit",
        "size_limit",
        "text_limit",
        "visitor",
        "websocket",
    )

    def __init__(
        self, websocket: BrowserSocket, address: IPAddress | None, ip: bytes | None, now: float
    ) -> None:
        self.websocket = websocket
        self.address = address
        self.ip = ip
        self.last_heard = now
        self.visitor: Visitor | None = None
        self.outbox = Outbox()
        self.message_limit = Bucket(*MESSAGE_RATE)
        self.size_limit = Bucket(*SIZE_RATE)
        self.text_limit = Bucket(*TEXT_RATE)
        self.chunk_limit = Bucket(*CHUNK_RATE)
        self.refusal_limit = RefusalLimit(now)
        self.malformed = 0

    def flush(self) -> None:
        """Send what waits, as fast as the browser reads it."""
        while self.websocket.can_write():
            data = self.outbox.pop()
            if data is None:
                return
            self.websocket.send_message(data)
