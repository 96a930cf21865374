"""TLS towards clients: what is spoken, what is refused, and files that are no certificate."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from host.tls import BadCertificate, Certificate, server_context
from tests.turn.engines.certificates import certificate

PATIENCE = 5


@contextmanager
def served() -> Iterator[int]:
    """The port of one handshake."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(PATIENCE)

        def shake() -> None:
            sock, _ = door.accept()
            sock.settimeout(PATIENCE)
            try:
                server_context(certificate()).wrap_socket(sock, server_side=True).close()
            except OSError:
                sock.close()

        thread = Thread(target=shake)
        thread.start()
        yield door.getsockname()[1]
        thread.join()


def connected(context: ssl.SSLContext, port: int, name: str | None) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname=name)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate().chain)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("offered", "chosen"), [(["stun.turn"], "stun.turn"), (["h2", "stun.turn"], "stun.turn"), (["h2"], None)]
)
def test_versions_and_alpn(version: ssl.TLSVersion, offered: list[str], chosen: str | None) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(offered)
    with served() as port, connected(context, port, "localhost") as tls:
        assert (tls.selected_alpn_protocol(), tls.compression()) == (chosen, None)


REFUSED = {  # arguments of `openssl s_client`
    "TLS 1.0": ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    "TLS 1.1": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    "no encryption": ("-tls1_2", "-cipher", "NULL:@SECLEVEL=0"),
    "no certificate": ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
    "no forward secrecy": ("-tls1_2", "-cipher", "kRSA"),
    "CBC": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_weak_is_refused(name: str) -> None:
    with served() as port:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *REFUSED[name]]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    assert b"alert" in done.stderr
    assert done.returncode


@pytest.mark.parametrize("name", ["", "nobody.example", "x" * 60 + ".example"])
def test_any_name_gets_the_one_certificate(name: str) -> None:
    context = trusting()
    context.check_hostname = False
    with served() as port, connected(context, port, name or None) as tls:
        assert tls.getpeercert()


def files(folder: Path) -> dict[str, tuple[Certificate, str]]:
    good, other = certificate(), certificate("other")
    (folder / "empty").touch()
    (folder / "locked").write_bytes(
        subprocess.run(
            ["openssl", "ec", "-in", str(good.key), "-aes128", "-passout", "pass:x"],
            check=True,
            capture_output=True,
        ).stdout
    )
    return {
        "mismatch": (Certificate(good.chain, other.key), "the key belongs to another certificate"),
        "missing": (Certificate(folder / "none", good.key), "No such file"),
        "a folder": (Certificate(folder, good.key), "directory|PEM"),
        "empty": (Certificate(folder / "empty", good.key), "no certificate and key in PEM"),
        "swapped": (Certificate(good.key, good.chain), "no certificate and key in PEM"),
        "password": (Certificate(good.chain, folder / "locked"), "protected by a password"),
    }


@pytest.mark.parametrize("name", ["mismatch", "missing", "a folder", "empty", "swapped", "password"])
def test_files_that_are_no_certificate_and_key(tmp_path: Path, name: str) -> None:
    pair, says = files(tmp_path)[name]
    with pytest.raises(BadCertificate, match=says):
        server_context(pair)
