"""What certbot has on a machine, read and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.deploy import LETS_ENCRYPT
from config.file import parse_config
from deploy.remote.certificates import (
    certbot_command,
    certificate_names,
    missing_names,
    names_in,
    settings_of,
)
from deploy.remote.hosts import parse_config_file, targets
from deploy.remote.internal_ca import issue
from deploy.remote.inventory import packages
from deploy.remote.render import open_ports
from tests.deploy.example_configs import CONFIGS, machines, written

# As certbot 2.1 of Debian 12 writes it.
RENEWAL = """# renew_before_expiry = 30 days
version = 2.1.0
archive_dir = /etc/letsencrypt/archive/calln
cert = /etc/letsencrypt/live/calln/cert.pem

# Options used in the renewal process
[renewalparams]
account = 0123456789abcdef0123456789abcdef
authenticator = webroot
webroot_path = /var/lib/calln-acme,
server = https://acme.test:14000/dir
key_type = ecdsa
renew_hook = /etc/letsencrypt/renewal-hooks/deploy/calln
[[webroot_map]]
call.example.test = /var/lib/calln-acme
"""


def test_the_settings_of_a_renewal() -> None:
    assert settings_of(RENEWAL) == ("https://acme.test:14000/dir", "webroot")
    assert settings_of("") == (LETS_ENCRYPT, "")


def test_the_names_in_a_certificate(tmp_path: Path) -> None:
    pem, _ = issue(tmp_path, ["call.example.org", "198.41.0.4"])
    assert names_in(pem) == {"call.example.org", "198.41.0.4"}
    with pytest.raises(ValueError, match="PEM"):
        names_in("canary")


@pytest.mark.parametrize(
    ("name", "missing"),
    [("a.example.org", False), ("example.org", True), ("b.a.example.org", True), ("call.example.net", False)],
)
def test_a_star_stands_for_one_label(tmp_path: Path, name: str, missing: bool) -> None:
    pem, _ = issue(tmp_path, ["*.example.org", "call.example.net"])
    assert missing_names(pem, [name]) == [name] * missing


def test_a_server_answers_the_authority_and_a_relay_lets_certbot_do_it() -> None:
    source = written("two machines")
    server, relay = (" ".join(certbot_command(source.config, one, None)) for one in machines("two machines"))
    assert "--domain call.example.org --server" in server
    assert server.endswith("--webroot --webroot-path /var/lib/calln-acme")
    assert relay.endswith("--standalone")


COPY = "--dns-cloudflare-credentials /etc/calln/secrets/acme-dns.ini"


@pytest.mark.parametrize(
    ("keys", "ends"),
    [
        ("acme_dns: cloudflare, acme_dns_credentials: f", f"--authenticator dns-cloudflare {COPY}"),
        (
            "acme_dns: cloudflare, acme_dns_credentials: f, acme_dns_seconds: 90",
            f"--authenticator dns-cloudflare {COPY} --dns-cloudflare-propagation-seconds 90",
        ),
        ("acme_dns: route53", "--authenticator dns-route53"),
    ],
)
def test_the_dns_is_the_proof_on_every_machine(keys: str, ends: str) -> None:
    text = CONFIGS["two machines"].replace("deploy:\n", f"deploy:\n  {keys.replace(', ', chr(10) + '  ')}\n")
    source = parse_config_file(text, Path("/home/me/c.yaml"))
    for target in targets(source.config):
        command = " ".join(certbot_command(source.config, target, None))
        assert command.endswith(ends)
        assert "--webroot" not in command
        assert "--standalone" not in command
        assert ("tcp", "80") not in open_ports(source, target) or target.serves
        assert f"python3-certbot-{ends.split()[1]}" in packages(source)


@pytest.mark.parametrize(
    ("url", "more", "names"),
    [
        ("call.example.org", "", ("*.example.org",)),
        ("call.example.org", "www.example.org", ("*.example.org",)),
        ("call.example.org", "a.b.example.org", ("*.example.org", "*.b.example.org")),
        ("example.org", "www.example.org", ("example.org", "*.example.org")),
    ],
)
def test_a_star_hides_the_first_label(url: str, more: str, names: tuple[str, ...]) -> None:
    also = f", more_urls: 'https://{more}'" if more else ""
    text = f"site: {{url: 'https://{url}'{also}}}\ndeploy: {{acme_dns: google, acme_wildcard: true}}\n"
    config = parse_config(text, Path("c"))
    assert certificate_names(config, targets(config)[0]) == names
