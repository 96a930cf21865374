"""The Unix socket of a running server, asked by a command."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from deploy.doctor import operator_client
from deploy.doctor.operator_client import RELAY, SERVER, OperatorError, how_to_start, request_json
from host.unix_socket import VersionedSocket


class Answers(BaseHTTPRequestHandler):
    """What a server might say, by path."""

    said = {
        "/good": (200, b'{"n": 1}'),
        "/refused": (404, b'{"message": "no such report"}'),
        "/odd": (200, b"<p>"),
    }

    def do_GET(self) -> None:
        status, body = self.said[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / SERVER.socket), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path
        server.shutdown()
        thread.join()


def test_answers_are_read(state_dir: Path) -> None:
    assert request_json(state_dir, "GET", "/good") == {"n": 1}
    assert request_json(state_dir, "POST", "/echo", {"code": "K7Q2-M9XD"}) == {"code": "K7Q2-M9XD"}


def test_where_the_newest_was_killed_an_older_one_answers(state_dir: Path) -> None:
    place = state_dir / SERVER.socket
    place.rename(place.with_name(f"{place.name}.0000"))
    assert request_json(state_dir, "GET", "/good") == {"n": 1}
    killed = VersionedSocket(place)
    killed.publish()
    killed.sock.close()
    assert request_json(state_dir, "GET", "/good") == {"n": 1}


@pytest.mark.parametrize(
    ("path", "says"), [("/refused", "no such report"), ("/odd", "the server does not answer")]
)
def test_refusal_and_nonsense_are_told(state_dir: Path, path: str, says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        request_json(state_dir, "GET", path)


def test_no_server_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"server\.sock.*Start it with calln serve"):
        request_json(tmp_path, "GET", "/reports")
    with pytest.raises(OperatorError, match=r"the relay .*relay\.sock.*Start it with calln relay"):
        request_json(tmp_path, "GET", "/sessions", at=RELAY)


def test_on_a_deployed_machine_systemd_starts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_client, "DEPLOYED_STATE", tmp_path)
    assert how_to_start(tmp_path, RELAY) == "calln relay"
    monkeypatch.setattr(operator_client, "CURRENT", tmp_path)
    assert how_to_start(tmp_path, RELAY).startswith("systemctl start calln; if it does not stay")
    assert how_to_start(tmp_path / "other", SERVER) == "calln serve"
