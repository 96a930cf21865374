"""An authority of this run's own, and the relay's certificate from it: Firefox takes none that is both."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
PLACES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
SERVER = ("basicConstraints=critical,CA:FALSE", PLACES, "extendedKeyUsage=serverAuth")


class Files(NamedTuple):
    trust: Path  # the authority's own certificate
    chain: Path
    key: Path


def make(folder: Path) -> Files:
    files = Files(folder / "trust.pem", folder / "chain.pem", folder / "key.pem")
    authority_key = folder / "authority.key"
    request("an authority for this run", AUTHORITY, files.trust, authority_key)
    request(
        "localhost", SERVER, files.chain, files.key, "-CA", str(files.trust), "-CAkey", str(authority_key)
    )
    return files


def request(name: str, extensions: tuple[str, ...], chain: Path, key: Path, *issuer: str) -> None:
    added = [word for line in extensions for word in ("-addext", line)]
    files = ["-keyout", str(key), "-out", str(chain)]
    command = ["openssl", "req", "-x509", *CURVE, "-subj", f"/CN={name}", *added, *issuer, *files]
    subprocess.run(command, check=True, capture_output=True)
