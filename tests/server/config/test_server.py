"""The section `server:`: what it refuses, and how little its defaults open and keep."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from host.settings import HostPort, is_read_at_start
from server.config.server import Server


@pytest.mark.parametrize(
    "values",
    [
        {"listen": []},
        {"call_log_days": 8},
        {"call_log_days": -1},
        {"call_log_days": "7"},
        {"drain_seconds": 1.5},
        {"visitors": True},
        {"unknown": 1},
    ],
)
def test_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Server.model_validate(values)


def test_the_defaults_stay_on_this_machine_and_keep_little() -> None:
    server = Server()
    assert server.listen == (HostPort("127.0.0.1", 8080),)
    assert (server.trusted_proxies, server.metrics_listen, server.call_log_days) == ((), None, 7)


def test_tls_needs_a_certificate_and_its_key() -> None:
    for files in ({}, {"certificate": "c.pem"}, {"key": "k.pem"}):
        with pytest.raises(ValidationError, match="PEM files"):
            Server.model_validate({"tls_listen": "127.0.0.1:8443", **files})
    server = Server.model_validate({"tls_listen": "127.0.0.1:8443", "certificate": "c.pem", "key": "k.pem"})
    assert server.tls_listen == (HostPort("127.0.0.1", 8443),)


def test_only_the_certificate_is_read_again() -> None:
    again = {key for key, field in Server.model_fields.items() if not is_read_at_start(field)}
    assert again == {"certificate", "key", "ice_api"}  # of that section its own test says more
