"""What a lock takes for the password and for its own cookie, as tables."""

from __future__ import annotations

import pytest

from server.web.password import COOKIE_SECONDS, SitePassword, check_password

PASSWORD, KEPT, WALL = "Grüner Tee um vier", b"0123456789abcdef", 1_800_000_000.0
LOCK = SitePassword(PASSWORD, KEPT)


@pytest.mark.parametrize(
    ("guess", "opens"),
    [
        (PASSWORD, True),
        (f" {PASSWORD}\r\n", True),  # pasted with what stood beside it
        (PASSWORD.replace("ü", "u\u0308"), True),  # as another keyboard writes it
        (PASSWORD.lower(), False),
        (PASSWORD[:-1], False),
        (PASSWORD + "x", False),
        (PASSWORD.replace(" ", ""), False),
        ("", False),
        ("\0", False),
        ("\ud800", False),
        ("x" * 4096, False),
    ],
)
def test_guesses(guess: str, opens: bool) -> None:
    assert LOCK.matches(guess) is opens


def test_a_cookie_is_good_for_its_time_and_for_every_server_that_shares_the_key() -> None:
    cookie = LOCK.new_cookie(WALL)
    assert SitePassword(PASSWORD, KEPT).accepts_cookie(cookie, WALL)
    assert LOCK.accepts_cookie(cookie, WALL + COOKIE_SECONDS - 1)
    assert not LOCK.accepts_cookie(cookie, WALL + COOKIE_SECONDS)


def test_a_new_password_or_key_ends_every_cookie() -> None:
    cookie = LOCK.new_cookie(WALL)
    assert not SitePassword(f"{PASSWORD}!", KEPT).accepts_cookie(cookie, WALL)
    assert not SitePassword(PASSWORD, b"another key of it").accepts_cookie(cookie, WALL)


GOOD = LOCK.new_cookie(WALL)
EXPIRES, _, PROOF = GOOD.partition(".")


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        ".",
        EXPIRES,
        f"{EXPIRES}.",
        f".{PROOF}",
        PROOF,
        f"{int(EXPIRES) + 1}.{PROOF}",
        f"0{EXPIRES}.{PROOF}",
        f"{EXPIRES}.{PROOF.upper()}",
        f"{EXPIRES}.{PROOF[:-1]}",
        f"{EXPIRES}.{PROOF}.",
        f'"{GOOD}"',
        f"{'9' * 5000}.{PROOF}",
        f"-1.{PROOF}",
        f"²³.{PROOF}",
        f"{EXPIRES}.\xff\xfe",
        f"{EXPIRES}.\ud800",
    ],
)
def test_cookies_that_nobody_signed(cookie: str) -> None:
    assert LOCK.accepts_cookie(GOOD, WALL)
    assert not LOCK.accepts_cookie(cookie, WALL)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "8 to 200 characters"),
        ("canary1", "8 to 200 characters"),
        ("canary" * 40, "8 to 200 characters"),
        ("canary one\ncanary two", "one line"),
        ("canary\x07bell", "can be typed"),
    ],
)
def test_what_is_no_password_is_refused_without_naming_it(password: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        check_password(password)
    assert "canary" not in str(refusal.value)


def test_neither_password_nor_key_shows() -> None:
    assert "Tee" not in repr(LOCK)
    assert not any(value in (PASSWORD, PASSWORD.encode()) for value in (LOCK.key, LOCK.expected))
