"""Certificates for some days, from an authority of the test's own."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from host.tls import Certificate


def issued(folder: Path, first: int, last: int, *, by: Certificate | None = None) -> Certificate:
    """A certificate for some days, by itself or by another one."""
    made = Certificate(folder / "some.pem", folder / "some.key")
    now = datetime.now(UTC)
    start, end = ((now + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ") for days in (first, last))
    openssl("req", "-new", "-nodes", "-newkey", "rsa:2048", "-keyout", made.key, "-out", folder / "csr",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")  # fmt: skip
    (folder / "index").touch()
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=x\n[x]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n"
    )
    issuer = ("-cert", by.chain, "-keyfile", by.key) if by else ("-selfsign", "-keyfile", made.key)
    openssl("ca", "-batch", "-notext", "-config", "ca.conf", *issuer, "-in", "csr", "-out", made.chain,
            "-startdate", start, "-enddate", end, folder=folder)  # fmt: skip
    if by is not None:
        made.chain.write_text(made.chain.read_text() + by.chain.read_text())
    return made


def openssl(*words: object, folder: Path | None = None) -> None:
    subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True)
