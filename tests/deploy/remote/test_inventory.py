"""What Calln may have on a machine."""

from __future__ import annotations

from pathlib import Path

from deploy.remote.hosts import parse_config_file
from deploy.remote.inventory import STAMP, packages, paths
from deploy.remote.render import CERTIFICATE
from tests.deploy.example_configs import CONFIGS, written
from tests.deploy.minds import EACH, machine, planned


def test_a_machine_is_asked_about_every_file_that_it_might_have() -> None:
    for name, target in EACH:
        assert {file.path for file in planned(name, target, machine()).files} <= set(paths())
    assert {STAMP, CERTIFICATE} <= set(paths())


def test_packages_follow_the_configuration() -> None:
    assert {name: packages(written(name)) for name in CONFIGS} == {
        "one machine": ("certbot", "libbpf1"),
        "two machines": ("certbot", "libbpf1"),
        "private": (),
        "a relay alone": ("certbot", "libbpf1"),
        "behind a proxy": ("certbot", "libbpf1"),
        "with passwords": ("nftables", "certbot", "libbpf1"),
    }
    text = CONFIGS["private"].replace("offline", "backup: {keep: 1, age: %s}, offline")
    for key, wanted in (("''", ()), (f"age1{'q' * 58}", ("age",))):
        assert packages(parse_config_file(text % key, Path("c"))) == wanted
