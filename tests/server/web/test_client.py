"""A browser's socket: what waits is sent as fast as the browser reads."""

from __future__ import annotations

from ipaddress import ip_address
from typing import cast

from server.web.browser_socket import BrowserSocket
from server.web.client import Client


class SlowSocket:
    """Takes so many messages, then none until it is given more room."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got: list[str | bytes] = []

    def can_write(self) -> bool:
        return len(self.got) < self.room

    def send_message(self, data: str | bytes) -> None:
        self.got.append(data)


def test_what_waits_is_sent_in_order_and_no_faster_than_it_is_read() -> None:
    socket = SlowSocket(2)
    client = Client(cast(BrowserSocket, socket), ip_address("192.0.2.1"), b"", 0.0)
    for text in ("a", "b", "c"):
        client.outbox.push(text)
    client.flush()
    assert (socket.got, len(client.outbox)) == (["a", "b"], 1)
    socket.room = 9
    client.flush()
    assert (socket.got, len(client.outbox)) == (["a", "b", "c"], 0)
