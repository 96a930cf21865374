"""MESSAGE-INTEGRITY and its SHA-256 form under a long-term key, and FINGERPRINT."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from aioice.stun import message_fingerprint, message_integrity

from turn.wire.preparation import forms

INTEGRITY_HEADER = b"\x00\x08\x00\x14"
INTEGRITY_BYTES = 20
SHA256_HEADER = b"\x00\x1c\x00\x20"
SHA256_BYTES = 32
FINGERPRINT_HEADER = b"\x80\x28\x00\x04"

# What a password may be hashed with, by the value of PASSWORD-ALGORITHM, best first (RFC 8489 §14.12, §18.5).
# NAMES_NONE is for clients that do not know this choice.
NAMES_NONE = b""
ALGORITHMS: dict[bytes, Callable[[bytes], hashlib._Hash]] = {
    b"\x00\x02\x00\x00": hashlib.sha256,
    b"\x00\x01\x00\x00": hashlib.md5,
}
OFFERED = b"".join(ALGORITHMS)  # the value of PASSWORD-ALGORITHMS; no algorithm has parameters


def long_term_key(username: str, realm: str, password: str, algorithm: bytes = NAMES_NONE) -> bytes:
    """A digest of the three, with MD5 if no algorithm is named (RFC 8489 §9.2.2, §18.5)."""
    return ALGORITHMS.get(algorithm, hashlib.md5)(f"{username}:{realm}:{password}".encode()).digest()


def long_term_keys(
    username: str, realm: str, password: str, algorithm: bytes = NAMES_NONE
) -> tuple[bytes, ...]:
    """The keys of clients that write realm and password in different forms; only one for plain ASCII.

    The username is used as the client sent it: the client prepares it, which is slow for long ones.
    """
    written = forms(realm, password)
    return tuple(long_term_key(username, name, word, algorithm) for name, word in written)


def userhash(username: str, realm: str) -> bytes:
    """The hash that hides a username from those who listen on the network (RFC 8489 §14.4)."""
    return hashlib.sha256(f"{username}:{realm}".encode()).digest()


def sign(message: bytes, key: bytes) -> bytes:
    """The message with MESSAGE-INTEGRITY at its end; the length in its header must be right before."""
    return with_length(message + INTEGRITY_HEADER + message_integrity(message, key))


def verify(message: bytes, at: int, key: bytes) -> bool:
    """Whether the MESSAGE-INTEGRITY that begins at `at` was made with this key (RFC 8489 §14.5)."""
    given = message[at + 4 : at + 4 + INTEGRITY_BYTES]
    return hmac.compare_digest(given, message_integrity(message[:at], key))


def sign_sha256(message: bytes, key: bytes) -> bytes:
    """The message with MESSAGE-INTEGRITY-SHA256 at its end."""
    return with_length(message + SHA256_HEADER + digest_sha256(message, key))


def verify_sha256(message: bytes, at: int, key: bytes) -> bool:
    """Whether the MESSAGE-INTEGRITY-SHA256 that begins at `at` was made with this key (RFC 8489 §14.6)."""
    return hmac.compare_digest(message[at + 4 : at + 4 + SHA256_BYTES], digest_sha256(message[:at], key))


def digest_sha256(message: bytes, key: bytes) -> bytes:
    """The digest of the message with a length that includes the attribute itself."""
    length = (len(message) - 20 + 4 + SHA256_BYTES).to_bytes(2, "big")
    return hmac.digest(key, message[:2] + length + message[4:], "sha256")


def add_fingerprint(message: bytes) -> bytes:
    """The message with FINGERPRINT at its end."""
    return with_length(message + FINGERPRINT_HEADER + message_fingerprint(message).to_bytes(4, "big"))


def has_fingerprint(message: bytes, at: int) -> bool:
    """Whether the FINGERPRINT that begins at `at` is right (RFC 8489 §14.7)."""
    return int.from_bytes(message[at + 4 : at + 8], "big") == message_fingerprint(message[:at])


def with_length(message: bytes) -> bytes:
    """The message with the right length in its header."""
    return message[:2] + (len(message) - 20).to_bytes(2, "big") + message[4:]
