"""Mails and webhooks, to servers that listen here."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy.doctor import alerts
from deploy.doctor.alerts import NotTold, Recipients, parse_recipients, tell
from deploy.doctor.changes import changes_since
from deploy.doctor.machine import Finding
from deploy.remote.hosts import parse_config_file, targets
from deploy.remote.render import alert_file
from tests.deploy.example_configs import CONFIGS
from tests.ports import free_port

NOBODY = Recipients("", None, "", "https://call.example.org", "call.example.org", ("server", "turn"))
FOUND = changes_since({}, [Finding(False, "The relay \u2026 does not run.", "start it")])


class MailServer(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as one mail needs."""

    mails: list[str] = []  # emptied by each test

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().decode():
            if line.upper().startswith("DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.mails.append("".join(line.decode() for line in lines))
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith("QUIT") else b"250 well\r\n")


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    bodies: list[Any] = []  # emptied by each test

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204 if self.path == "/hook" else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """Its port."""
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_yet() -> None:
    MailServer.mails.clear()
    Hook.bodies.clear()


def test_a_mail_through_a_server() -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer)) as port:
        tell(NOBODY._replace(mail="admin@example.org", smtp=("127.0.0.1", port)), FOUND)
    mail = message_from_string(MailServer.mails[0])
    assert mail["Subject"] == "Calln on call.example.org: 1 new trouble"
    assert (mail["From"], mail["To"]) == ("calln@call.example.org", "admin@example.org")
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert "The relay \u2026 does not run." in payload.decode()


def test_a_mail_by_sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/words\ncat >{tmp_path}/mail\n')
    program.chmod(0o755)
    monkeypatch.setattr(alerts, "SENDMAIL", str(program))
    tell(NOBODY._replace(mail="admin@example.org"), FOUND)
    assert (tmp_path / "words").read_text() == "-t -oi\n"
    assert message_from_string((tmp_path / "mail").read_text())["To"] == "admin@example.org"


def test_a_webhook() -> None:
    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        tell(NOBODY._replace(webhook=f"http://127.0.0.1:{port}/hook"), FOUND)
    (body,) = Hook.bodies
    assert body["text"].startswith("Calln on call.example.org: 1 new trouble\nNot well: ")
    assert (body["site"], body["machine"], body["over"]) == (
        "https://call.example.org",
        "call.example.org",
        [],
    )
    assert body["begun"] == [FOUND.begun[0]._asdict()]


def test_who_cannot_be_told_does_not_stop_the_others() -> None:
    away = ("127.0.0.1", free_port())
    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        to = NOBODY._replace(mail="a@b", smtp=away, webhook=f"http://127.0.0.1:{port}/hook")
        with pytest.raises(NotTold, match=r"no mail to a@b: .*refused"):
            tell(to, FOUND)
    assert len(Hook.bodies) == 1


def test_the_address_of_a_webhook_is_not_told() -> None:
    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as port, pytest.raises(NotTold) as problem:
        tell(NOBODY._replace(webhook=f"http://127.0.0.1:{port}/canary"), FOUND)
    assert "canary" not in str(problem.value)
    assert "the webhook of deploy.alert" in str(problem.value)


def test_whom_to_tell_is_written_by_a_deployment_and_read_here() -> None:
    text = (
        "deploy: {alert: {mail: admin@example.org, smtp: 'mail.example.org:25', webhook: 'https://a.b/c'}}\n"
    )
    source = parse_config_file(CONFIGS["one machine"] + text, Path("c"))
    file = alert_file(source.config, targets(source.config)[0])
    assert file.mode == 0o600
    assert parse_recipients(file.text) == NOBODY._replace(
        mail="admin@example.org", smtp=("mail.example.org", 25), webhook="https://a.b/c"
    )
