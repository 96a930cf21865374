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
    """The server or the relay: its socket in site.state_dir, its name, and the command that runs it where no
    deployment has made a service of it."""

    socket: str
    name: str
    command: str


SERVER = Daemon("server.sock", "server", "calln serve")
RELAY = Daemon("relay.sock", "relay", "calln relay")
CURRENT = Path("/opt/calln/current")  # a machine that calln deploy has set up has a release there
DEPLOYED_STATE = Path("/var/lib/calln")


class OperatorError(Exception):
    """No answer, or a refusal; says what to do."""


def is_deployed(state_dir: Path) -> bool:
    """Whether systemd runs the services that use this folder, as a deployment has it."""
    return state_dir == DEPLOYED_STATE and CURRENT.exists()


def how_to_start(state_dir: Path, at: Daemon) -> str:
    """The words of an advice."""
    if is_deployed(state_dir):
        return "systemctl start calln; if it does not stay, see journalctl --namespace=calln"
    return at.command


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
    status, content = exchange(place, method, path, None if body is None else json.dumps(body), at)
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise no_answer(place, at, error) from None
    if status != http.HTTPStatus.OK:
        raise OperatorError(answer.get("message", f"the {at.name} answered with the error {status}"))
    return answer


def readiness(state_dir: Path, at: Daemon) -> str:
    """What a server or relay that is ready says of itself, line by line. Raises OperatorError if it is not,
    or does not answer."""
    status, content = exchange(state_dir / at.socket, "GET", "/readyz", None, at)
    text = content.decode(errors="replace").strip()
    if status != http.HTTPStatus.OK:
        raise OperatorError(f"the {at.name} is not ready: {text}")
    return text


def exchange(place: Path, method: str, path: str, body: str | None, at: Daemon) -> tuple[int, bytes]:
    """Status and content of an answer. Raises OperatorError if there is none."""
    connection = UnixConnection(place)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise no_answer(place, at, error) from None
    finally:
        connection.close()


def no_answer(place: Path, at: Daemon, error: Exception) -> OperatorError:
    why = getattr(error, "strerror", None) or error
    return OperatorError(
        f"the {at.name} does not answer at {place} ({why}); is it running? Start it with "
        f"{how_to_start(place.parent, at)}"
    )
