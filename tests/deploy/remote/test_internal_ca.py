"""A certificate of our own authority, seen by TLS itself."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from deploy.remote import internal_ca

NAMES = ["call.example.org", "192.0.2.7"]


def shake(folder: Path, name: str) -> None:
    """A handshake that trusts the root alone. Raises ssl.SSLCertVerificationError."""
    ours, theirs = socket.socketpair()
    server, client = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.create_default_context(cafile=folder / internal_ca.ROOT),
    )
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server.load_cert_chain(folder / f"{NAMES[0]}.pem", folder / f"{NAMES[0]}.key")

    def serve() -> None:
        try:
            server.wrap_socket(ours, server_side=True).close()
        except ssl.SSLError:
            ours.close()

    thread = Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(theirs, server_hostname=name).close()
    finally:
        theirs.close()
        thread.join()


def test_who_trusts_the_root_trusts_these_names_and_no_other(tmp_path: Path) -> None:
    internal_ca.issue(tmp_path, NAMES)
    for name in NAMES:
        shake(tmp_path, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(tmp_path, "other.example.org")


def test_made_once_until_it_is_about_to_end_or_the_names_change(tmp_path: Path) -> None:
    first = internal_ca.issue(tmp_path, NAMES)
    assert internal_ca.issue(tmp_path, NAMES) == first
    late = datetime.now(UTC) + timedelta(days=internal_ca.LEAF_DAYS - internal_ca.RENEW_DAYS + 1)
    second = internal_ca.issue(tmp_path, NAMES, late)
    assert second != first
    assert internal_ca.issue(tmp_path, [*NAMES, "b.example"]) != second


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    internal_ca.issue(tmp_path / "ca", NAMES)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "ca").glob("*.key")}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 2
