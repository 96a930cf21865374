"""A body goes out compressed to browsers that read that, and not at all to those that have it."""

from __future__ import annotations

import gzip

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from server.web.content import IMMUTABLE, REVALIDATE, Content, accepts_gzip

LONG = Content(b"the same words again and again, " * 20, "text/plain; charset=utf-8")
SHORT = Content(b"!", "text/plain; charset=utf-8")
ASKED = [
    ("", False),
    ("gzip", True),
    ("br, GZIP;q=0.5", True),
    ("gzip;q=0", False),
    ("gzip; q=0.000, br", False),
    ("identity", False),
    ("x-gzipped", False),
]


def answer(content: Content, cache: str = REVALIDATE, **headers: str) -> Response:
    return content.respond(Headers({name.replace("_", "-"): value for name, value in headers.items()}), cache)


@pytest.mark.parametrize(("header", "accepted"), ASKED)
def test_what_a_browser_accepts(header: str, accepted: bool) -> None:
    assert accepts_gzip(Headers({"accept-encoding": header})) is accepted


def test_compressed_for_those_that_read_it() -> None:
    zipped, plain = answer(LONG, accept_encoding="gzip, br"), answer(LONG, accept_encoding="br")
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(zipped.body)) == plain.body
    assert "content-encoding" not in plain.headers
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert {each.headers["vary"] for each in (zipped, plain)} == {"accept-encoding"}


def test_what_gets_no_shorter_goes_as_it_is() -> None:
    assert "content-encoding" not in answer(SHORT, accept_encoding="gzip").headers


def test_a_browser_that_has_it_gets_no_body() -> None:
    for coding in ("gzip", ""):
        tag = answer(LONG, accept_encoding=coding).headers["etag"]
        for asked in (tag, f'"other", W/{tag}'):
            again = answer(LONG, accept_encoding=coding, if_none_match=asked)
            assert (again.status_code, again.body, again.headers["etag"]) == (304, b"", tag)
        assert answer(LONG, accept_encoding=coding, if_none_match='"other"').status_code == 200


def test_a_refusal_is_sent_whole_each_time() -> None:
    missing = Content(b"not here", "text/plain", 404)
    tag = answer(missing).headers["etag"]
    assert answer(missing, if_none_match=tag).status_code == 404


def test_the_caller_says_how_long_it_is_kept() -> None:
    assert answer(LONG).headers["cache-control"] == "no-cache"
    assert "immutable" in answer(LONG, IMMUTABLE).headers["cache-control"]
