"""Which language the reader of an answer gets."""

from __future__ import annotations

import pytest

from server.web.reader import COOKIE, language_for


@pytest.mark.parametrize(
    ("asked", "cookie", "accepted", "code"),
    [
        ("de", "fr", "en", "de"),
        (None, "fr", "en", "fr"),
        ("xx", "yy", "de-AT, en;q=0.5", "de"),
        (None, None, "it, ja", "en"),
        (None, None, None, "en"),
    ],
)
def test_the_nearest_wish_counts(
    asked: str | None, cookie: str | None, accepted: str | None, code: str
) -> None:
    said = {b"cookie": cookie and f"a=b; {COOKIE}={cookie}", b"accept-language": accepted}
    headers = [(name, text.encode()) for name, text in said.items() if text]
    assert language_for({"headers": headers}, ("en", "de", "fr"), asked) == code
