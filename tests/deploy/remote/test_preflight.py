"""What stands in the way on a machine: the whole sentence for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.remote.hosts import parse_config_file, targets
from deploy.remote.planning import make_plan
from deploy.remote.preflight import notices, obstacles
from tests.deploy.example_configs import CONTENTS, machines
from tests.deploy.minds import TREE, machine, planned

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "data/obstacles.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_refusals(case: dict[str, Any]) -> None:
    facts = machine(**case.get("machine", {}))
    source = case.get("source", "one machine")
    made = planned(source, machines(source)[case.get("which", 0)], facts)
    assert list(obstacles(made, facts, case.get("answers", ["198.41.0.4"]))) == case["says"]


def test_offline_nothing_is_fetched() -> None:
    text = "site: {url: 'https://call.lan'}\ndeploy: {tls: internal, offline: true, firewall: nft}"
    source = parse_config_file(text, Path("c"))
    made = make_plan(source, targets(source.config)[0], CONTENTS, machine(), TREE)
    assert list(obstacles(made, machine(), [])) == [
        "These Debian packages are missing: nftables. With deploy.offline they cannot be downloaded: "
        "install them first."
    ]
    there = machine(packages=["nftables"])
    assert obstacles(made, there, []) == ()


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
