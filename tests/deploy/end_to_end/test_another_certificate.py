"""A site gets other names, other authorities, and at last one of its own: browsers always see what the file
says, and certbot renews nothing that nobody wants.

The tests are stages of one story, in order.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.remote.certificates import names_in
from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.image import fetched
from tests.deploy.end_to_end.network import OUTSIDE
from tests.deploy.end_to_end.pebble import DIRECTORY, NAMES, PORT, ROOTS, Pebble
from tests.deploy.end_to_end.target import Snapshot, Target
from tests.deploy.end_to_end.zone import open_zone

ADDRESS = ADDRESSES[NAME]
ZONE = NAME.partition(".")[2]
OTHER, MORE = "talk.example.test", "www.example.test"
SECOND = DIRECTORY.replace(str(PORT), str(PORT + 1))
GONE = DIRECTORY.replace(str(PORT), str(PORT + 2))  # nobody listens there
CONFIG: dict[str, Any] = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {"hosts": f"root@{ADDRESS}", "tls": "internal"},
}
SHOWN = "openssl s_client -connect {address}:{port} -servername {name} </dev/null 2>/dev/null | openssl x509"
ISSUER = "openssl x509 -noout -issuer"
LEFT = "find /etc/letsencrypt -type f -o -type l"


@pytest.fixture(scope="module")
def second(pebble: Pebble, folder: Path) -> str:
    """Another authority beside the first one; its directory."""
    settings = json.loads((folder / "pebble.json").read_text())
    settings["pebble"] |= {
        "listenAddress": f"{OUTSIDE}:{PORT + 1}",
        "managementListenAddress": f"{OUTSIDE}:{ROOTS + 1}",
    }
    (folder / "second.json").write_text(json.dumps(settings))
    pebble.begin("pebble", "-config", str(folder / "second.json"), "-dnsserver", f"{OUTSIDE}:53")
    for name in (OTHER, MORE):
        said = json.dumps({"host": name, "addresses": [ADDRESS]})
        pebble.fetch(f"http://127.0.0.1:{NAMES}/add-a", "--data", said)
    return SECOND


@pytest.fixture(scope="module")
def plugin() -> list[Path]:
    """What asks a DNS server for a change, as packages."""
    return fetched("bookworm", "python3-certbot-dns-rfc2136")


@pytest.fixture(scope="module")
def binds(plugin: list[Path]) -> list[Path]:
    return [plugin[0].parent]


@pytest.fixture(scope="module")
def targets(target: Target, before: Snapshot) -> list[Target]:
    return [target]


def shown(target: Target, port: int, name: str = NAME) -> str:
    """The certificate that a browser gets, as PEM."""
    line = SHOWN.format(address=ADDRESS, port=port, name=name)
    asked = target.network.outside("sh", "-c", line)
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def issuer(pem: str) -> str:
    return subprocess.run(
        ISSUER.split(), input=pem, capture_output=True, text=True, check=True
    ).stdout.strip()


def applied(admin: Admin, site: dict[str, Any], deploy: dict[str, Any], *more: str) -> str:
    """What the plan says; then it is done, and nothing is left to do."""
    config = {"site": {**CONFIG["site"], **site}, "deploy": {"hosts": CONFIG["deploy"]["hosts"], **deploy}}
    admin.file.write_text(yaml.safe_dump(config))
    planned = admin.do("plan", *more)
    assert planned.code == 0, planned.said
    done = admin.do("apply", *more)
    assert done.code == 0, done.said
    again = admin.do("apply")
    assert changed(again.said) == []
    return planned.said


def test_an_authority_takes_the_place_of_an_own_one(admin: Admin, target: Target) -> None:
    applied(admin, {}, {"tls": "internal"})
    assert "Calln" in issuer(shown(target, 443))
    assert f"Get a certificate for {NAME}." in applied(admin, {}, {"acme_directory": DIRECTORY})
    for port in (443, 5349):
        pem = shown(target, port)
        assert "Pebble" in issuer(pem)
        assert names_in(pem) == {NAME}


def test_a_second_name_and_then_another_first_one(admin: Admin, target: Target, second: str) -> None:
    more, acme = {"more_urls": [f"https://{MORE}"]}, {"acme_directory": DIRECTORY}
    says = f"Get a certificate for {NAME}, {MORE}: the present one is for {NAME}."
    assert says in applied(admin, more, acme)
    assert names_in(shown(target, 443)) == {NAME, MORE}
    admin.file.write_text(yaml.safe_dump({"site": {"url": f"https://{OTHER}"}, "deploy": CONFIG["deploy"]}))
    assert f"This machine serves https://{NAME} already" in admin.do("plan").said
    planned = applied(admin, {"url": f"https://{OTHER}"}, acme, "--rename")
    assert f"Get a certificate for {OTHER}: the present one is for {NAME}, {MORE}." in planned
    assert names_in(shown(target, 443, OTHER)) == names_in(shown(target, 5349, OTHER)) == {OTHER}


def test_an_authority_that_does_not_answer_changes_nothing(admin: Admin, target: Target) -> None:
    release, pem = target.run("readlink /opt/calln/current"), shown(target, 443)
    config = {"site": {"url": f"https://{NAME}"}, "deploy": {**CONFIG["deploy"], "tls": "acme"}}
    config["deploy"]["acme_directory"] = GONE
    admin.file.write_text(yaml.safe_dump(config))
    done = admin.do("apply", "--rename")
    assert done.code != 0
    assert "FAILED: Get a certificate" in done.said
    assert (target.run("readlink /opt/calln/current"), shown(target, 443)) == (release, pem)


def test_from_one_authority_to_another(admin: Admin, target: Target, second: str) -> None:
    before = shown(target, 443)
    planned = applied(admin, {}, {"acme_directory": second}, "--rename")
    assert f"the present one is from {DIRECTORY}" in planned
    after = shown(target, 443)
    assert names_in(after) == {NAME}
    assert issuer(after) != issuer(before)
    target.run("certbot renew --force-renewal --no-random-sleep-on-renew")
    renewed = shown(target, 443)
    assert renewed != after
    assert issuer(renewed) == issuer(after)


def test_what_certbot_shall_not_renew_any_more_it_does_not(admin: Admin, target: Target) -> None:
    planned = applied(admin, {}, {"tls": "internal"})
    assert "Let certbot delete the certificate." in planned
    assert "calln" not in target.run(LEFT)
    target.ask("certbot renew --force-renewal --no-random-sleep-on-renew")
    assert "Calln" in issuer(shown(target, 443))
    assert "Calln" in issuer(shown(target, 5349))


def test_an_authority_looks_into_the_dns(
    admin: Admin, target: Target, pebble: Pebble, folder: Path, plugin: list[Path]
) -> None:
    """A certificate with a star, from an authority that does not reach port 80."""
    directory, credentials = open_zone(pebble, folder / "zone", ZONE)
    target.run(f"dpkg --install {shlex.join(map(str, plugin))}")
    file = admin.tree / "dns.ini"
    file.write_text(credentials)
    file.chmod(0o600)
    asked = {"acme_dns": "rfc2136", "acme_dns_credentials": file.name, "acme_dns_seconds": 1}
    applied(admin, {}, {"acme_directory": directory, "acme_wildcard": True, **asked}, "--rename")
    first = shown(target, 443)
    assert names_in(first) == names_in(shown(target, 5349)) == {f"*.{ZONE}"}
    target.run("certbot renew --force-renewal --no-random-sleep-on-renew")
    assert issuer(shown(target, 443)) == issuer(first)
    assert shown(target, 443) != first


def test_nothing_is_left(admin: Admin, target: Target, before: Snapshot) -> None:
    done = admin.do("destroy", "--purge", "--yes")
    assert done.code == 0, done.said
    marks = [line for line in before.difference(target.snapshot()) if "calln" in line.lower()]
    assert not marks, "\n".join(marks)
