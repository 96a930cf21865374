"""Addresses of the web: what is taken, in its canonical form, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.config.addresses import parse_link, parse_origin

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
