"""TLS for clients: versions, ciphers and the certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

ALPN = ["stun.turn"]  # RFC 7443
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: forward secret and authenticated (RFC 9325 §4.2)


class Certificate(NamedTuple):
    """PEM files: a certificate with its intermediates, and its private key."""

    chain: Path
    key: Path


class BadCertificate(Exception):
    """TLS cannot use these files; the text says which and why."""


def server_context(certificate: Certificate, alpn: list[str] = ALPN) -> ssl.SSLContext:
    """Raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(alpn)
    # A renegotiation costs us more than the client. A ticket key that never changes breaks forward secrecy.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate.chain, certificate.key, password=refuse_password)
    except ssl.SSLError as error:
        raise BadCertificate(f"{certificate.chain}, {certificate.key}: {reason(error)}") from None
    except OSError as error:
        raise BadCertificate(f"{certificate.chain}, {certificate.key}: {error.strerror}") from None
    return context


def refuse_password() -> str:
    """Instead of asking at a terminal."""
    raise BadCertificate("the key is protected by a password; store it without one, readable by us only")


def reason(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    return f"no certificate and key in PEM ({error.reason or 'unreadable'})"
