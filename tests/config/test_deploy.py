"""The `deploy:` section: what stands for a machine, and what lies beside the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.deploy import Destination, parse_destination
from config.file import parse_config
from config.problems import ConfigError


@pytest.mark.parametrize(
    ("text", "means", "written"),
    [
        ("call.example.org", ("root", "call.example.org", 22), "root@call.example.org"),
        ("Call.Example.org", ("root", "call.example.org", 22), "root@call.example.org"),
        ("me@203.0.113.9:2222", ("me", "203.0.113.9", 2222), "me@203.0.113.9:2222"),
        ("me@[2001:db8::9]:2222", ("me", "2001:db8::9", 2222), "me@[2001:db8::9]:2222"),
        ("[2001:db8::9]", ("root", "2001:db8::9", 22), "root@[2001:db8::9]"),
        ("local", ("root", "local", 22), "root@local"),
    ],
)
def test_destination(text: str, means: tuple[str, str, int], written: str) -> None:
    assert parse_destination(text) == Destination(*means)
    assert str(parse_destination(text)) == written
    assert parse_destination(written) == parse_destination(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a@b@c",
        "-oProxyCommand=x",
        "me@-x y",
        "2001:db8::1",
        "a/b",
        "a:0",
        "a:65536",
        "a@",
        "[1.2.3]",
    ],
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match=r"^write "):
        parse_destination(text)


def test_a_machine_is_one_word_or_a_few_keys() -> None:
    text = "deploy: {hosts: [a.example, {address: me@b.example, name: turn.example, roles: turn, key: id}]}"
    first, second = parse_config(text, Path("/etc/calln.yaml")).deploy.hosts
    assert (first.roles, first.name, first.key) == (("server", "turn"), None, None)
    assert (second.roles, second.name, second.key) == (("turn",), "turn.example", Path("/etc/id"))


def test_certificates_lie_beside_the_file() -> None:
    deploy = parse_config(
        "deploy: {tls: files, certificate: c.pem, key: k.pem}", Path("/etc/calln.yaml")
    ).deploy
    assert (deploy.certificate, deploy.key) == (Path("/etc/c.pem"), Path("/etc/k.pem"))


def test_each_missing_file_is_told() -> None:
    with pytest.raises(ConfigError) as error:
        parse_config("deploy: {tls: files}", Path("c"))
    assert len(error.value.problems) == 2


def test_a_private_network_names_its_networks() -> None:
    with pytest.raises(ConfigError, match="needs the networks of the callers"):
        parse_config("deploy: {tls: internal, network: private}", Path("c"))
    accepted = parse_config(
        "deploy: {tls: internal, network: private, private_networks: 10.0.0.0/8}", Path("c")
    )
    assert [str(network) for network in accepted.deploy.private_networks] == ["10.0.0.0/8"]


def test_an_authority_of_ones_own_may_be_asked_in_a_private_network() -> None:
    text = "deploy: {acme_directory: 'https://ca.lan/acme', network: private, private_networks: [10.0.0.0/8]}"
    assert parse_config(text, Path("c")).deploy.tls == "acme"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("acme_dns: bind", "acme_dns"),
        ("acme_dns: cloudflare", "set deploy.acme_dns_credentials"),
        ("acme_dns_credentials: f", "write in acme_dns who has your DNS"),
        ("acme_dns: route53, acme_dns_credentials: f", "IAM role"),
        ("acme_dns: google, tls: internal", "only tls: acme asks an authority"),
        ("acme_wildcard: true", "set deploy.acme_dns"),
        ("acme_dns: google, acme_dns_seconds: 3601", "acme_dns_seconds"),
        ("network: private, private_networks: 10.0.0.0/8", "or acme_dns to prove your names by the DNS"),
    ],
)
def test_proofs_by_the_dns_that_would_not_work(keys: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config(f"deploy: {{{keys}}}", Path("/etc/calln.yaml"))


def test_by_the_dns_a_private_network_gets_certificates_from_anybody() -> None:
    keys = "acme_dns: ovh, acme_dns_credentials: f, network: private, private_networks: 10.0.0.0/8"
    deploy = parse_config(f"deploy: {{{keys}}}", Path("/etc/calln.yaml")).deploy
    assert deploy.acme_dns_credentials == Path("/etc/f")
    assert not deploy.answers_at_port_80
