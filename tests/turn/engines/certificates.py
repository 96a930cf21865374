"""Certificates for tests, made by the openssl command: signed by themselves, for this machine's loopback."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from host.tls import Certificate

FOLDER = TemporaryDirectory(prefix="calln-test-certificates-")


@cache
def certificate(name: str = "localhost") -> Certificate:
    """One pair of files per name and test run."""
    made = Certificate(Path(FOLDER.name, f"{name}.pem"), Path(FOLDER.name, f"{name}.key"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    places = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    files = ["-keyout", str(made.key), "-out", str(made.chain)]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *files, "-days", "2", "-subj", f"/CN={name}", "-addext", places],
        check=True,
        capture_output=True,
    )
    return made
