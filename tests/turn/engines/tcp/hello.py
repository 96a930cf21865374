"""The first record of a TLS client."""

from __future__ import annotations

import ssl
from contextlib import suppress

NAME = ".".join(["x" * 50] * 4)


def client_hello(most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The record that a client begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = most
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
