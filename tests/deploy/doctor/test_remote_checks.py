"""What the doctor finds from outside, on loopback."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from threading import Thread

import pytest

from config.deploy import Host
from deploy.doctor import remote_checks
from deploy.doctor.remote_checks import RemoteMachine
from deploy.remote import internal_ca
from deploy.remote.hosts import Target

NAME = "localhost"


def local_machine(
    folder: Path, *, roles: tuple[str, ...] = ("server", "turn"), address: str = "127.0.0.1"
) -> RemoteMachine:
    host = Host.model_validate({"address": address, "roles": roles})
    context = ssl.create_default_context(cafile=internal_ca.root_certificate(folder))
    return RemoteMachine(Target(host, NAME, host.roles), ["127.0.0.1"], None, context)


def test_a_name_that_is_not_there_is_all_that_is_told() -> None:
    host = Host.model_validate({"address": "127.0.0.1"})
    [finding] = remote_checks.check_target(Target(host, "nowhere.invalid", host.roles), None)
    assert not finding.well
    assert "not in the DNS" in finding.text


@pytest.mark.parametrize(("address", "well"), [("127.0.0.1", True), ("127.0.0.9", False), ("local", True)])
def test_the_name_must_lead_to_where_ssh_goes(tmp_path: Path, address: str, well: bool) -> None:
    [finding] = remote_checks.check_name(local_machine(tmp_path, address=address))
    assert finding.well is well


def test_ports_are_those_of_the_roles(tmp_path: Path) -> None:
    assert remote_checks.tcp_ports(local_machine(tmp_path)) == [80, 443, 3478, 5349]
    assert remote_checks.tcp_ports(local_machine(tmp_path, roles=("turn",))) == [3478, 5349, 443]
    assert remote_checks.tcp_ports(local_machine(tmp_path, roles=("server",))) == [80, 443]


def test_a_port_answers_or_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        assert remote_checks.check_tcp_port("127.0.0.1", port).well
    finding = remote_checks.check_tcp_port("127.0.0.1", port)
    assert not finding.well
    assert finding.text == f"Nothing listens at TCP port {port} of 127.0.0.1."
    assert finding.advice.startswith("see calln deploy status; if all runs there, a firewall")


def test_a_certificate_is_believed_for_its_name_only(tmp_path: Path) -> None:
    for names, well in (([NAME], True), (["other.example"], False)):
        internal_ca.issue(tmp_path, names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / f"{names[0]}.pem", tmp_path / f"{names[0]}.key")
        with socket.create_server(("127.0.0.1", 0)) as door:
            thread = Thread(target=greet, args=(door, context))
            thread.start()
            finding = remote_checks.check_certificate(local_machine(tmp_path), door.getsockname()[1])
            thread.join()
        assert finding.well is well
        assert ("valid for 396 days" if well else "refuse the certificate") in finding.text


def greet(door: socket.socket, context: ssl.SSLContext) -> None:
    plain, _ = door.accept()
    with plain:
        try:
            context.wrap_socket(plain, server_side=True).close()
        except ssl.SSLError:
            return


def test_without_a_credential_no_call_is_tried(tmp_path: Path) -> None:
    [finding] = remote_checks.check_calls(local_machine(tmp_path))
    assert "nothing is deployed" in finding.text


def test_what_this_side_has_no_way_to_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert remote_checks.is_routable("192.0.2.7")
    assert remote_checks.is_routable("::1")
    monkeypatch.setattr(remote_checks, "source_towards", lambda _: None)
    assert not remote_checks.is_routable("2001:db8::7")
    monkeypatch.setattr(remote_checks, "resolve", lambda _: ["2001:db8::7"])
    host = Host.model_validate({"address": "a.example"})
    [finding] = remote_checks.check_target(Target(host, "a.example", host.roles), None)
    assert finding.well
    assert "was not checked" in finding.text
