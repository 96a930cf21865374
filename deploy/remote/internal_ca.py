"""A small certificate authority for closed networks. Its key stays on this computer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT, ROOT_KEY = "root.pem", "root.key"
ROOT_DAYS, LEAF_DAYS = 3650, 397  # the longest that browsers accept
RENEW_DAYS = 60
EARLY = timedelta(hours=1)  # for machines whose clock is late


def root_certificate(folder: Path) -> Path:
    """The root certificate, which browsers must trust; made once."""
    place = folder / ROOT
    if not place.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Calln's own authority")])
        usage = x509.KeyUsage(**{**dict.fromkeys(USAGES, False), "key_cert_sign": True, "crl_sign": True})
        made = (
            certificate_builder(name, name, key.public_key(), ROOT_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        write_whole(folder / ROOT_KEY, pem_of(key), 0o600)
        write_whole(place, made.public_bytes(serialization.Encoding.PEM), 0o644)
    return place


USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def issue(folder: Path, names: Sequence[str], now: datetime | None = None) -> tuple[str, str]:
    """Certificate and key for these names and addresses, as PEM. They are made anew before they end."""
    now = now or datetime.now(UTC)
    root_certificate(folder)
    place, key_place = folder / f"{names[0]}.pem", folder / f"{names[0]}.key"
    if not (place.exists() and key_place.exists() and is_good(place.read_bytes(), names, now)):
        key = ec.generate_private_key(ec.SECP256R1())
        write_whole(key_place, pem_of(key), 0o600)
        write_whole(place, sign_leaf(folder, names, key.public_key()), 0o644)
    return place.read_text(), key_place.read_text()


def is_good(pem: bytes, names: Sequence[str], now: datetime) -> bool:
    made = x509.load_pem_x509_certificate(pem)
    said = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    lasting = made.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
    return lasting and list(said) == list(general_names(names))


def sign_leaf(folder: Path, names: Sequence[str], public: ec.EllipticCurvePublicKey) -> bytes:
    parent = x509.load_pem_x509_certificate((folder / ROOT).read_bytes())
    key = serialization.load_pem_private_key((folder / ROOT_KEY).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    made = (
        certificate_builder(subject, parent.subject, public, LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName(general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def certificate_builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    begin = datetime.now(UTC) - EARLY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [general_name(name) for name in names]


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_whole(path: Path, data: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    draft.rename(path)
