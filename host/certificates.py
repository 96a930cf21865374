"""Whether a certificate is valid now: TLS itself shows an expired one without a complaint."""

from __future__ import annotations

import logging
import ssl

from host.tls import BadCertificate, Certificate, server_context

log = logging.getLogger("calln.relay")

TIMES = {9: "is not valid yet", 10: "has expired"}  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED


def validity_problem(certificate: Certificate) -> str | None:
    """What is wrong with its dates, or None. Raises BadCertificate.

    No part of the standard library reads the dates of a certificate. So it is shown to a client that trusts
    this very certificate and checks no name: then only the dates can be wrong.
    """
    try:
        verified(certificate)
    except ssl.SSLCertVerificationError as error:
        return TIMES.get(error.verify_code)
    return None


def expiry(certificate: Certificate) -> float:
    """When it expires, in seconds since 1970; 0: it is not valid now. Raises BadCertificate."""
    try:
        seen = verified(certificate).getpeercert() or {}
    except ssl.SSLCertVerificationError:
        return 0
    return ssl.cert_time_to_seconds(str(seen["notAfter"]))


def verified(certificate: Certificate) -> ssl.SSLObject:
    """The client that has checked it. Raises BadCertificate, and ssl.SSLCertVerificationError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(certificate).wrap_bio(to_server, to_client, server_side=True)
    client = trusting_context(certificate).wrap_bio(to_client, to_server)
    try:
        for side in (client, server, client):
            do_handshake(side)
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:  # such as a key of a curve that TLS does not know
        raise BadCertificate(f"{certificate.chain}: TLS cannot use it ({error.reason})") from None
    return client


def warn_if_invalid(certificate: Certificate | None) -> None:
    """In the log, without the names of files, which the doctor says. Raises BadCertificate for files that TLS
    can never use."""
    wrong = validity_problem(certificate) if certificate else None
    if wrong is not None:
        log.warning("the certificate %s: clients refuse TLS; calln doctor says what to do", wrong)


def trusting_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate.chain)
    return context


def do_handshake(side: ssl.SSLObject) -> None:
    """As far as it gets with what has arrived."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return
