"""The site's password: whether a guess is right, and cookies that only a server with that password signs."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

MIN_LENGTH, MAX_LENGTH = (
    8,
    200,
)  # characters: long enough for the rate of guesses, short enough for a small form
COOKIE_SECONDS = 30 * 86_400  # a colleague types it once a month; who has left is rid of by a new password
COOKIE_LABEL = b"calln: a cookie of who knows "  # what the key is for, so that it never signs anything else
EXPIRES_DIGITS = 12


class SitePassword:
    """Made of the password and of a key that all servers of one state folder share: they take each other's
    cookies, a new password ends them all, and no cookie is of use for guessing the password elsewhere."""

    __slots__ = ("cookie_key", "expected", "key")

    def __init__(self, password: str, kept: bytes) -> None:
        check_password(password)
        self.key = kept
        self.expected = self.digest(password)
        self.cookie_key = hmac.digest(kept, COOKIE_LABEL + normalized(password), hashlib.sha256)

    def digest(self, guess: str) -> bytes:
        return hmac.digest(self.key, normalized(guess), hashlib.sha256)

    def matches(self, guess: str) -> bool:
        """In a time that tells nothing of how much of it is right."""
        return hmac.compare_digest(self.digest(guess), self.expected)

    def new_cookie(self, wall: float) -> str:
        """A cookie's value: until when it is good, and the proof."""
        expires = str(int(wall) + COOKIE_SECONDS)
        return f"{expires}.{self.signature(expires)}"

    def accepts_cookie(self, cookie: str, wall: float) -> bool:
        expires, _, proof = cookie.partition(".")
        if not expires.isascii() or not expires.isdecimal() or len(expires) > EXPIRES_DIGITS:
            return False
        right = self.signature(expires).encode()
        return hmac.compare_digest(proof.encode(errors="replace"), right) and wall < int(expires)

    def signature(self, expires: str) -> str:
        return hmac.digest(self.cookie_key, expires.encode(), hashlib.sha256).hex()


def normalized(password: str) -> bytes:
    """The same letters are the same bytes, whichever keyboard wrote them; half a character is none."""
    return unicodedata.normalize("NFC", password.strip()).encode(errors="replace")


def check_password(password: str) -> None:
    """Raises ValueError, without the password."""
    if "\n" in password or not password.isprintable():
        raise ValueError("the password is one line of characters that can be typed")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"the password has from {MIN_LENGTH} to {MAX_LENGTH} characters")
