"""Time-limited credentials: the server mints them, the relay checks them, and neither stores them.

The scheme is "REST API for access to TURN services" (draft-uberti-behave-turn-rest): a username that holds
its own expiry, and a password that is a digest of it under a secret which server and relay share.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple

MAX_EXPIRY_DIGITS = 12  # a longer number is not a time; bounds the numbers that a stranger can make us read


class MintedCredential(NamedTuple):
    """Username and password for a TURN client.

    Args:
        username: `expires:user`, with the expiry in seconds since 1970.
        password: base64.
    """

    username: str
    password: str


def mint(secret: bytes, user: str, expires: int) -> MintedCredential:
    """Make a credential that opens allocations for `user` until `expires`.

    Args:
        secret: what server and relay share.
        user: the name that limits count; it may contain colons.
        expires: in whole seconds since 1970.

    Returns:
        The username `expires:user`, and its password.

    See: RFC 8489 §9.2 (how the relay uses them).
    """
    username = f"{expires}:{user}"
    return MintedCredential(username, password_for(username, secret))


def password_for(username: str, secret: bytes) -> str:
    """The password of a username under one secret.

    Args:
        username: the whole username, with its expiry.
        secret: what server and relay share.

    Returns:
        The SHA-1 HMAC of the username under the secret, in base64.
    """
    digest = hmac.digest(secret, username.encode("utf-8", "surrogatepass"), hashlib.sha1)
    return b64encode(digest).decode("ascii")


def passwords_for(username: str, secrets: Sequence[bytes]) -> tuple[str, ...]:
    """The passwords of a username under several secrets: while one replaces another, both are right.

    Args:
        username: the whole username, with its expiry.
        secrets: all that are valid now.

    Returns:
        One password for each secret, in the same order.
    """
    return tuple(password_for(username, secret) for secret in secrets)


def server_key(secret: bytes) -> bytes:
    """The key under which our server signs what it tells a relay, and the relay its answers.

    Args:
        secret: what server and relay share.

    Returns:
        32 bytes that show nothing of the secret, and that no credential is made with.
    """
    return hmac.digest(secret, b"calln: from server to relay", hashlib.sha256)


def user_of(username: str) -> str:
    """The user that limits count.

    Args:
        username: the whole username.

    Returns:
        The part after the first colon; without a colon, the whole name.
    """
    _, colon, user = username.partition(":")
    return user if colon else username


def expiry_of(username: str) -> int | None:
    """When a username expires.

    Args:
        username: the whole username.

    Returns:
        Seconds since 1970, or None if the username is not time-limited.
    """
    digits = username.partition(":")[0]
    well_formed = digits.isascii() and digits.isdecimal() and len(digits) <= MAX_EXPIRY_DIGITS
    return int(digits) if well_formed else None


def is_live(username: str, wall: float) -> bool:
    """Whether a time-limited username may still open allocations.

    Args:
        username: the whole username.
        wall: the time now, in seconds since 1970.

    Returns:
        False if it has expired, or is not time-limited.
    """
    expires = expiry_of(username)
    return expires is not None and wall < expires
