"""Nonces that need no memory: each holds its time, and a tag that shows that we made it for this client."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

from turn.flows import Address

LIFETIME = 600.0  # seconds until 438 asks for a new one: bounds how long an overheard request can be used
TAG_BYTES = 8
COOKIE = b"obMatJos2" + b64encode(b"\0\0\1")  # a password's hash may be chosen (RFC 8489 §9.2, §18.1)
NONCE_BYTES = 16  # in base64; so short that a 401 is at most twice as large as the smallest Allocate


class Nonces:
    """Makes and checks nonces. Each is for one client's address, port and transport; no other can use it.

    If somebody on the path removes the cookie to hide what we offer, the nonce is not valid any more.
    """

    def __init__(self, key: bytes, cookie: bytes = b"") -> None:
        self._key, self._cookie = key, cookie

    def make(self, client: Address, now: float) -> bytes:
        made = (int(now) & 0xFFFFFFFF).to_bytes(4, "big")
        return self._cookie + b64encode(made + self._tag(client, made))

    def accepts(self, nonce: bytes, client: Address, now: float) -> bool:
        start = len(self._cookie)
        if len(nonce) != start + NONCE_BYTES or not nonce.startswith(self._cookie):
            return False
        try:
            raw = b64decode(nonce[start:], validate=True)
        except ValueError:
            return False
        made, tag = raw[:4], raw[4:]
        age = int(now) - int.from_bytes(made, "big") & 0xFFFFFFFF
        return hmac.compare_digest(tag, self._tag(client, made)) and age <= LIFETIME

    def _tag(self, client: Address, made: bytes) -> bytes:
        text = self._cookie + made + client.port.to_bytes(2, "big") + client.ip + client.transport.encode()
        return hmac.digest(self._key, text, hashlib.sha256)[:TAG_BYTES]
