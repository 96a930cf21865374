"""The certificate that certbot keeps on a machine, beside the one that the file asks for.

It is compared by what matters: its names, who issued it, and how it is renewed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cryptography import x509

from config.deploy import LETS_ENCRYPT
from config.file import Config
from deploy.remote.hosts import Target, browser_names
from deploy.remote.inventory import HOOK
from deploy.remote.render import ACME, DNS
from deploy.remote.steps import Issue, Run

LIVE = "/etc/letsencrypt/live/calln"
SETTING = re.compile(r"^(server|authenticator) *= *(\S+)", re.MULTILINE)
# For a certificate that certbot has already, but with other names, another authority, or another way.
ANOTHER = ("--force-renewal", "--renew-with-new-domains", "--break-my-certs")
FORGET = (  # certbot keeps copies of the private key; hooks of other programs stay
    'cd /etc/letsencrypt && test -z "$(ls renewal)" || exit 0; '
    f"rm -rf accounts archive csr keys live renewal {HOOK} /var/lib/letsencrypt; "
    "find renewal-hooks -depth -type d -empty -delete"
)


class Lineage(NamedTuple):
    """A certificate that certbot renews: its names, its authority, how it proves that the names are ours
    (`authenticator`), and the SHA-256 of its file."""

    names: frozenset[str]
    authority: str
    authenticator: str
    sha256: str


def names_in(pem: str) -> frozenset[str]:
    """The names and addresses in the first certificate of a file. Raises ValueError if it cannot be read."""
    extensions = x509.load_pem_x509_certificate(pem.encode()).extensions
    try:
        said = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:  # browsers find no name in it either
        return frozenset()
    addresses = said.get_values_for_type(x509.IPAddress)
    return frozenset((*said.get_values_for_type(x509.DNSName), *map(str, addresses)))


def settings_of(text: str) -> tuple[str, str]:
    """Authority and authenticator in certbot's file for a renewal."""
    said = dict(SETTING.findall(text))
    return said.get("server", LETS_ENCRYPT), said.get("authenticator", "")


def missing_names(pem: str, names: Sequence[str]) -> list[str]:
    """Those that no name in the certificate covers; `*.example.org` covers one label (RFC 9525 §6.3). None if
    it cannot be read, which is said where it is used."""
    try:
        there = names_in(pem)
    except ValueError:
        return []
    return [name for name in names if not there & {name, f"*.{name.partition('.')[2]}"}]


def certificate_names(config: Config, target: Target) -> tuple[str, ...]:
    """The names that the authority is asked for."""
    names = browser_names(config, target)
    return tuple(dict.fromkeys(map(starred, names))) if config.deploy.acme_wildcard else names


def starred(name: str) -> str:
    """A star for the first label, but not directly below a top-level domain, which is another's."""
    return f"*.{name.partition('.')[2]}" if name.count(".") > 1 else name


def authenticator(config: Config, target: Target) -> str:
    """What proves to the authority that the names are ours: the DNS; else a server answers at port 80, and
    without one, certbot does."""
    if config.deploy.acme_dns:
        return f"dns-{config.deploy.acme_dns}"
    return "webroot" if target.serves else "standalone"


def proof(config: Config, target: Target) -> Iterator[str]:
    """The words for that in certbot's command."""
    way, deploy = authenticator(config, target), config.deploy
    if not deploy.acme_dns:
        yield from ("--webroot", "--webroot-path", ACME) if target.serves else ("--standalone",)
        return
    yield from ("--authenticator", way)
    if deploy.acme_dns_credentials:
        yield from (f"--{way}-credentials", DNS)
    if deploy.acme_dns_seconds:
        yield from (f"--{way}-propagation-seconds", str(deploy.acme_dns_seconds))


def differences(config: Config, target: Target, lineage: Lineage) -> Iterator[str]:
    """Why what certbot has is not what the file asks for."""
    wanted = set(certificate_names(config, target))
    if lineage.names != wanted:
        yield f"the present one is for {', '.join(sorted(lineage.names)) or 'no name'}"
    if lineage.authority != config.deploy.acme_directory:
        yield f"the present one is from {lineage.authority}"
    if lineage.authenticator != authenticator(config, target):
        yield "the present one would be renewed in another way"


def certificate_steps(
    config: Config, target: Target, lineage: Lineage | None, in_use: str | None
) -> Iterator[Issue | Run]:
    """Get the certificate, or give the services what certbot has; `in_use` is the SHA-256 of theirs."""
    why = tuple(differences(config, target, lineage)) if lineage else ()
    if lineage is None or why:
        yield Issue(
            certificate_names(config, target), certbot_command(config, target, lineage), "; ".join(why)
        )
    elif lineage.sha256 != in_use:
        argv = ("env", f"RENEWED_LINEAGE={LIVE}", HOOK)
        yield Run(argv, "Give the services the certificate that certbot has.")


def certbot_command(config: Config, target: Target, lineage: Lineage | None) -> tuple[str, ...]:
    """The command for a certificate. Without our server, certbot answers at port 80 itself."""
    deploy = config.deploy
    words = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--cert-name", "calln"]
    for name in certificate_names(config, target):
        words += ["--domain", name]
    words += ["--server", deploy.acme_directory, "--deploy-hook", HOOK]
    words += ["--email", deploy.email] if deploy.email else ["--register-unsafely-without-email"]
    return (*words, *proof(config, target), *(ANOTHER if lineage else ()))


def forget_steps(lineage: Lineage | None) -> Iterator[Run]:
    """Let certbot renew nothing for Calln any more."""
    if lineage:
        argv = ("certbot", "delete", "--non-interactive", "--cert-name", "calln")
        yield Run(argv, "Let certbot delete the certificate.")
    yield Run(
        ("sh", "-c", FORGET), "Remove the keys and the account of certbot if it has no other certificate."
    )
