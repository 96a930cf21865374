"""The site's password: whether a guess is right, and cookies that only a server with it can sign."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

MIN_LENGTH, MAX_LENGTH = 8, 200  # characters: too many to guess at the allowed rate, few enough for a form
COOKIE_SECONDS = 30 * 86_400  # typed once a month; a new password ends all cookies
COOKIE_LABEL = (
    b"calln: a cookie of who knows "  # what the key is for; it must stay as it is, or all cookies end
)
EXPIRES_DIGITS = 12


class SitePassword:
    """A password, and a key that all servers of one state folder share: they accept each other's cookies. A
    new password ends all cookies. Without the key, a cookie does not help to guess the password."""

    __slots__ = ("cookie_key", "expected", "key")

    def __init__(self, password: str, key: bytes) -> None:
        check_password(password)
        self.key = key
        self.expected = self.digest(password)
        self.cookie_key = hmac.digest(key, COOKIE_LABEL + normalized(password), hashlib.sha256)

    def digest(self, guess: str) -> bytes:
        return hmac.digest(self.key, normalized(guess), hashlib.sha256)

    def matches(self, guess: str) -> bool:
        """The time that it takes does not tell how much of the guess is right."""
        return hmac.compare_digest(self.digest(guess), self.expected)

    def new_cookie(self, wall: float) -> str:
        """The value of a cookie: when it expires, and a signature."""
        expires = str(int(wall) + COOKIE_SECONDS)
        return f"{expires}.{self.signature(expires)}"

    def accepts_cookie(self, cookie: str, wall: float) -> bool:
        expires, _, signature = cookie.partition(".")
        if not expires.isascii() or not expires.isdecimal() or len(expires) > EXPIRES_DIGITS:
            return False
        expected = self.signature(expires).encode()
        return hmac.compare_digest(signature.encode(errors="replace"), expected) and wall < int(expires)

    def signature(self, expires: str) -> str:
        return hmac.digest(self.cookie_key, expires.encode(), hashlib.sha256).hex()


def normalized(password: str) -> bytes:
    """The same letters give the same bytes, whichever keyboard wrote them; half a character is replaced."""
    return unicodedata.normalize("NFC", password.strip()).encode(errors="replace")


def check_password(password: str) -> None:
    """Raise ValueError for a bad password; the text does not contain it."""
    if "\n" in password or not password.isprintable():
        raise ValueError("the password must be one line of characters that can be typed")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"the password must have from {MIN_LENGTH} to {MAX_LENGTH} characters")
