"""Time-limited credentials: minted by the server, checked by the relay, stored by neither."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple

MAX_EXPIRY_DIGITS = 12  # a longer number is no time; keeps a stranger's number small


class MintedCredential(NamedTuple):
    """What a TURN client is given."""

    username: str
    password: str


def mint(secret: bytes, user: str, expires: int) -> MintedCredential:
    """A credential for `user` until `expires`, in seconds since 1970."""
    username = f"{expires}:{user}"
    return MintedCredential(username, password_for(username, secret))


def password_for(username: str, secret: bytes) -> str:
    """The password that belongs to a username under one secret."""
    digest = hmac.digest(secret, username.encode("utf-8", "surrogatepass"), hashlib.sha1)
    return b64encode(digest).decode("ascii")


def passwords_for(username: str, secrets: Sequence[bytes]) -> tuple[str, ...]:
    """The same under several secrets: while one replaces another, both are good."""
    return tuple(password_for(username, secret) for secret in secrets)


def user_of(username: str) -> str:
    """Whom limits count: the part after the first colon, else the whole name."""
    _, colon, user = username.partition(":")
    return user if colon else username


def expiry_of(username: str) -> int | None:
    """When a username ends, in seconds since 1970; None for one that is not time-limited."""
    digits = username.partition(":")[0]
    well_formed = digits.isascii() and digits.isdecimal() and len(digits) <= MAX_EXPIRY_DIGITS
    return int(digits) if well_formed else None


def is_live(username: str, wall: float) -> bool:
    """Whether a time-limited username still opens allocations at `wall`, in seconds since 1970."""
    expires = expiry_of(username)
    return expires is not None and wall < expires
