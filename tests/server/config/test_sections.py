"""The sections of the service: what each kind of key takes, in its canonical form, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from host.settings import HostPort, Section, is_read_at_start
from server.config.sections import Geo, Server, Site, parse_link, parse_origin

TAKEN: list[tuple[Callable[[object], Any], str, object]] = [
    (parse_origin, "https://Call.Example.org/", "https://call.example.org"),
    (parse_origin, "https://x:443", "https://x"),
    (parse_origin, "http://x:80", "http://x"),
    (parse_origin, "http://x:443", "http://x:443"),
    (parse_origin, "http://[::1]:8080", "http://[::1]:8080"),
    (parse_origin, "http://[0:0::1]:8080", "http://[::1]:8080"),
    (parse_origin, "http://192.0.2.7:8080", "http://192.0.2.7:8080"),
    (parse_origin, "https://call1.example", "https://call1.example"),
    (parse_origin, "https://xn--mller-kva.example", "https://xn--mller-kva.example"),
    (parse_origin, "https://4call", "https://4call"),
    (parse_link, "/imprint", "/imprint"),
    (parse_link, "mailto:me@example.org", "mailto:me@example.org"),
]
REFUSED: list[tuple[Callable[[object], Any], str]] = [
    (parse_origin, "call.example.org"),
    (parse_origin, "ftp://x"),
    (parse_origin, "https://x/path"),
    (parse_origin, "https://x?y"),
    (parse_origin, "https://"),
    (parse_link, "javascript:alert(1)"),
    (parse_link, "data:text/html,x"),
]


@pytest.mark.parametrize(("parse", "text", "value"), TAKEN)
def test_taken(parse: Callable[[object], Any], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text"), REFUSED)
def test_refused(parse: Callable[[object], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r".{10}"):
        parse(text)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (Server, {"listen": []}),
        (Server, {"call_log_days": 8}),
        (Server, {"call_log_days": -1}),
        (Server, {"call_log_days": "7"}),
        (Server, {"drain_seconds": 1.5}),
        (Server, {"visitors": True}),
        (Server, {"unknown": 1}),
        (Site, {"name": ""}),
        (Site, {"name": "x" * 61}),
        (Geo, {"database": 5}),
    ],
)
def test_sections_refuse(section: type[Server | Site | Geo], values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        section.model_validate(values)


def test_the_defaults_stay_on_this_machine_and_keep_little() -> None:
    server = Server()
    assert server.listen == (HostPort("127.0.0.1", 8080),)
    assert (server.trusted_proxies, server.metrics_listen, server.call_log_days) == ((), None, 7)
    assert (Site().url, Geo().database) == (None, None)


def test_tls_needs_a_certificate_and_its_key() -> None:
    for files in ({}, {"certificate": "c.pem"}, {"key": "k.pem"}):
        with pytest.raises(ValidationError, match="PEM files"):
            Server.model_validate({"tls_listen": "127.0.0.1:8443", **files})
    server = Server.model_validate({"tls_listen": "127.0.0.1:8443", "certificate": "c.pem", "key": "k.pem"})
    assert server.tls_listen == (HostPort("127.0.0.1", 8443),)


@pytest.mark.parametrize("section", [Site, Server, Geo])
def test_all_keys_but_those_of_files_that_are_read_again_need_a_restart(section: type[Section]) -> None:
    for key, field in section.model_fields.items():
        assert is_read_at_start(field) is (key not in ("certificate", "key", "password_file"))
