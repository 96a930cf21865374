"""Tokens of other programs (RFC 6750): what may be one, and whether one that was sent is among ours."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from starlette.types import Scope

from server.web.origins import header

SHORTEST, LONGEST = 16, 200  # characters: nobody guesses it at the allowed rate, and it fits a header
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
SCHEME = "bearer"


class Tokens:
    """All that are valid: while one replaces another, both are. Only digests are kept."""

    __slots__ = ("digests",)

    def __init__(self, lines: Iterable[str]) -> None:
        self.digests = tuple(token_digest(check_token(line)) for line in lines)

    def include(self, token: str) -> bool:
        """The time that it takes tells neither how much of a guess is right nor which token is."""
        guess = token_digest(token)
        return sum(hmac.compare_digest(guess, one) for one in self.digests) > 0  # all are compared


def token_digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def check_token(token: str) -> str:
    """The token. Raises ValueError for a bad one; the text does not contain it."""
    if not SHORTEST <= len(token) <= LONGEST:
        raise ValueError(
            f"a token must have from {SHORTEST} to {LONGEST} characters; make one with: openssl rand -hex 24"
        )
    if not TOKEN.fullmatch(token):
        raise ValueError(
            "a token has only letters, digits and the characters . _ ~ + / - with = at its end; make one "
            "with: openssl rand -hex 24"
        )
    return token


def sent_token(scope: Scope) -> str:
    """The token in the header Authorization, whose scheme may have any case; empty: there is none.

    See: RFC 9110 §11.4.
    """
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == SCHEME else ""
