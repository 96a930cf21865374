"""What stands in the way on a machine: the whole sentence for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.remote.hosts import parse_config_file, targets
from deploy.remote.internal_ca import issue
from deploy.remote.planning import make_plan
from deploy.remote.preflight import names_of, notices, obstacles, wrong_system
from deploy.remote.public_address import with_public_address
from tests.deploy.example_configs import CONFIGS, CONTENTS, machines, written
from tests.deploy.minds import TREE, changed, machine, planned

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "data/obstacles.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_refusals(case: dict[str, Any]) -> None:
    facts = machine(**case.get("machine", {}))
    source = case.get("source", "one machine")
    target, answers = machines(source)[case.get("which", 0)], case.get("answers", ["198.41.0.4"])
    own = with_public_address(written(source), target, facts, answers)
    made = make_plan(own, target, CONTENTS, facts, TREE)
    names = (made.target.name, *names_of(made))
    assert list(obstacles(made, facts, dict.fromkeys(names, answers))) == case["says"]


@pytest.mark.parametrize(
    ("system", "version", "python", "says"),
    [
        ("debian", "12", "3.11", None),
        ("debian", "13", "3.13", None),
        ("ubuntu", "24.04", "3.12", None),
        (
            "ubuntu",
            "22.04",
            "3.10",
            "This machine runs ubuntu 22.04, but Calln needs Debian 12 or 13 or Ubuntu 24.04",
        ),
        ("debian", "11", "3.9", "This machine runs debian 11, but"),
        ("rhel", "9.4", "3.9", "This machine runs rhel 9.4, but"),
        ("", "", "3.9", "This machine runs an unknown system, but"),
        (
            "debian",
            "12",
            "3.9",
            "python3 is 3.9, but 3.11 or later is needed. Restore the python3 of the system",
        ),
    ],
)
def test_systems(system: str, version: str, python: str, says: str | None) -> None:
    said = list(wrong_system(machine(system=system, version=version, python=python)))
    assert len(said) == (says is not None)
    assert says is None or said[0].startswith(says)


def test_offline_nothing_is_fetched() -> None:
    text = "site: {url: 'https://call.lan'}\ndeploy: {tls: internal, offline: true, firewall: nft}"
    source = parse_config_file(text, Path("c"))
    made = make_plan(source, targets(source.config)[0], CONTENTS, machine(), TREE)
    assert list(obstacles(made, machine(), {})) == [
        "These Debian packages are missing: nftables, libbpf1. With deploy.offline they cannot be "
        "downloaded: install them first."
    ]
    there = machine(packages=["nftables", "libbpf1"])
    assert obstacles(made, there, {}) == ()


def test_an_address_that_was_found_is_said() -> None:
    (target,) = machines("one machine")
    facts = machine(addresses=["10.0.0.5"], leaves_from="10.0.0.5")
    own = with_public_address(written("one machine"), target, facts, ["192.33.4.12"])
    assert notices(make_plan(own, target, CONTENTS, facts, TREE), facts) == (
        "call.example.org leads to 192.33.4.12 alone, and 10.0.0.5 is the only IPv4 address of this machine: "
        "it is behind NAT, and its relay gets turn.external_ip: 192.33.4.12/10.0.0.5. Write this line "
        "yourself if it must not follow the DNS.",
    )


def test_a_firewall_in_the_way_is_told_with_the_ports() -> None:
    (target,) = machines("private")
    facts = machine(chains=["inet filter input"])
    (said,) = notices(planned("private", target, facts), facts)
    assert said == (
        "A firewall on this machine blocks unknown packets. Open tcp 80, tcp 443, udp 3478, tcp 3478, "
        "tcp 5349, udp 49152-65535, or write deploy.firewall: nft."
    )
    assert notices(planned("private", target, machine()), machine()) == ()


def test_a_container_s_kernel_is_not_ours() -> None:
    (target,) = machines("private")
    facts = machine(container=True)
    (said,) = notices(planned("private", target, facts), facts)
    assert said.startswith("This is a container:")


def test_a_name_that_leads_elsewhere_is_said_before_the_authority_refuses_all() -> None:
    facts = machine()
    plan = changed(CONFIGS["one machine"].replace("}", ", more_urls: 'https://www.example.org'}"), facts)
    answers = {"call.example.org": ["198.41.0.4"], "www.example.org": []}
    (said,) = obstacles(plan, facts, answers)
    assert said == "www.example.org is not in the DNS: add an A record with 198.41.0.4."


def test_an_authority_that_asks_the_dns_does_not_ask_the_machine() -> None:
    """So a certificate can be there before the name leads to the machine."""
    text = CONFIGS["one machine"] + "deploy: {acme_dns: google}\n"
    facts = machine()
    assert names_of(changed(text, facts)) == ()
    assert obstacles(changed(text, facts), facts, {"call.example.org": ["192.33.4.12"]}) == ()


def test_a_certificate_of_one_s_own_that_is_for_another_name(tmp_path: Path) -> None:
    names = ["call.example.org", "*.example.net"]
    made = CONTENTS._replace(certificate=issue(tmp_path, names)[0])
    text = """
site: {url: 'https://call.example.org', more_urls: [ONE]}
deploy: {tls: files, certificate: a, key: b}
"""
    said = {}
    for url in ("https://www.example.net", "https://www.example.com"):
        source = parse_config_file(text.replace("ONE", url), Path("c"))
        said[url] = notices(make_plan(source, targets(source.config)[0], made, machine(), TREE), machine())
    assert said == {
        "https://www.example.net": (),
        "https://www.example.com": (
            "The certificate is not for www.example.com, so browsers will refuse it: get one with all names.",
        ),
    }


def test_a_second_site_is_refused_and_a_new_name_is_not() -> None:
    facts = machine(site="https://talk.example.net")
    text = CONFIGS["one machine"]
    plan = changed(text, facts)
    answers = {"call.example.org": ["198.41.0.4"], "talk.example.net": ["198.41.0.4"]}
    (said,) = obstacles(plan, facts, answers)
    assert said.startswith(
        "This machine serves https://talk.example.net already, and one machine serves one site"
    )
    assert obstacles(plan, facts, answers, renames=True) == ()
    both = text.replace("}", ", more_urls: 'https://talk.example.net'}")
    assert obstacles(changed(both, facts), facts, answers) == ()
    same = facts._replace(site="https://call.example.org")
    assert obstacles(plan, same, answers) == ()


@pytest.mark.parametrize(
    ("external", "well"),
    [("192.33.4.12", True), ("192.33.4.12/10.0.0.5", True), ("auto", True), ("192.33.4.12/10.0.0.6", False)],
)
def test_an_address_that_is_written_is_enough(external: str, well: bool) -> None:
    facts = machine(addresses=["10.0.0.5"])
    plan = changed(CONFIGS["one machine"] + f"turn: {{external_ip: {external}}}\n", facts)
    assert (obstacles(plan, facts, {"call.example.org": ["192.33.4.12"]}) == ()) is well
