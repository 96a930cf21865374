"""Asks the running server or relay through its Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, NamedTuple

from host.unix_socket import living

TIMEOUT = 5.0  # seconds for an answer from this machine


class Daemon(NamedTuple):
    """The server or the relay: its socket in site.state_dir, its name, and the command that runs it."""

    socket: str
    name: str
    command: str


SERVER = Daemon("server.sock", "server", "calln serve")
RELAY = Daemon("relay.sock", "relay", "calln relay")


class OperatorError(Exception):
    """No answer, or a refusal; says what to do."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(str(self.path))
        except (ConnectionRefusedError, FileNotFoundError):
            # The newest process was killed. Older ones may still have calls.
            older = living(self.path)
            if not older:
                raise
            self.sock.connect(str(older[0]))


def request_json(state_dir: Path, method: str, path: str, body: object = None, at: Daemon = SERVER) -> Any:
    """The JSON of the answer. Raises OperatorError."""
    place = state_dir / at.socket
    connection = UnixConnection(place)
    try:
        body = None if body is None else json.dumps(body)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OperatorError(
            f"the {at.name} does not answer at {place} ({why}); is it running? Start it with {at.command}"
        ) from None
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise OperatorError(answer.get("message", f"the {at.name} answered with the error {response.status}"))
    return answer
