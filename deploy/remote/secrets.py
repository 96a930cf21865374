"""The secrets of the machines, and their certificate if it is sent from here."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Sequence
from pathlib import Path

from config.file import Config
from config.ice_tokens import read_ice_tokens
from config.password import read_site_password
from config.secrets import SECRET_VARIABLE, read_secret_file, turn_secrets
from deploy.remote import internal_ca
from deploy.remote.hosts import Target, browser_names
from deploy.remote.orders import DeployError
from deploy.remote.render import SecretFiles

SECRET_BYTES = 32
AUTHORITY = "calln-authority"  # a folder next to the configuration file


def choose_secret(config: Config, kept: Sequence[str | None]) -> str:
    """The secret of the operator, or else of the machines, or else a new one. Raises ConfigError."""
    if is_operators(config):
        return "".join(f"{line.decode()}\n" for line in turn_secrets(config))
    return next((text for text in kept if text), f"{new_secret()}\n")


def new_secret() -> str:
    return secrets.token_hex(SECRET_BYTES)


def is_operators(config: Config) -> bool:
    """Whether the operator keeps the secret, not the machines."""
    turn = config.turn
    return bool(os.environ.get(SECRET_VARIABLE) or turn.secret_file or turn.secret.get_secret_value())


def collect_secrets(config: Config, file: Path, targets: Sequence[Target], secret: str) -> SecretFiles:
    """All secret files. Raises DeployError for a bad certificate, ConfigError for a bad password or token."""
    password, tokens = read_site_password(config), read_ice_tokens(config)
    made = with_certificate(config, file, targets, secret)
    lines = "".join(f"{token}\n" for token in tokens)
    made = made._replace(password=f"{password}\n" if password else "", tokens=lines)
    dns = config.deploy.acme_dns_credentials
    return made._replace(dns=read_secret_file(dns)) if dns else made


def with_certificate(config: Config, file: Path, targets: Sequence[Target], secret: str) -> SecretFiles:
    """The secret, and the certificate if it is sent from here. Raises DeployError."""
    if config.deploy.tls == "internal":
        names = list(dict.fromkeys(name for target in targets for name in browser_names(config, target)))
        return SecretFiles(secret, *internal_ca.issue(file.parent / AUTHORITY, names))
    if config.deploy.tls == "files":
        return SecretFiles(
            secret, *read_pair(config.deploy.certificate or Path(), config.deploy.key or Path())
        )
    return SecretFiles(secret)


def read_pair(certificate: Path, key: Path) -> tuple[str, str]:
    """Read certificate and key, and check that they fit. Raises DeployError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        return certificate.read_text("ascii"), key.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise DeployError(
            f"deploy.certificate and deploy.key ({certificate}, {key}) cannot be used: {why}"
        ) from None


def root_of(config: Config, file: Path) -> str | None:
    """The root certificate to install in browsers; None if they trust the authority anyway."""
    return (
        str(internal_ca.root_certificate(file.parent / AUTHORITY))
        if config.deploy.tls == "internal"
        else None
    )
