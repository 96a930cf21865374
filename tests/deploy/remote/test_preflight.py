"""What stands in the way on a machine: the whole sentence for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.remote.hosts import targets, wished
from deploy.remote.planning import plan
from deploy.remote.preflight import notices, refusals
from tests.deploy.minds import TREE, machine, planned
from tests.deploy.wishes import CONTENTS, machines

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "data/refusals.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_refusals(case: dict[str, Any]) -> None:
    facts = machine(**case.get("machine", {}))
    wish = case.get("wish", "one machine")
    made = planned(wish, machines(wish)[case.get("which", 0)], facts)
    assert list(refusals(made, facts, case.get("answers", ["198.41.0.4"]))) == case["says"]


def test_offline_nothing_is_fetched() -> None:
    text = "site: {url: 'https://call.lan'}\ndeploy: {tls: internal, offline: true, firewall: nft}"
    wish = wished(text, Path("c"))
    made = plan(wish, targets(wish.config)[0], CONTENTS, machine(), TREE)
    assert list(refusals(made, machine(), [])) == [
        "Debian's nftables are missing, and deploy.offline lets nothing be fetched: install them first."
    ]
    there = machine(packages=["nftables"])
    assert refusals(made, there, []) == ()


def test_a_firewall_in_the_way_is_told_with_the_ports() -> None:
    (target,) = machines("private")
    facts = machine(chains=["inet filter input"])
    (said,) = notices(planned("private", target, facts), facts)
    assert said == (
        "A firewall here drops what it does not know. Open tcp 80, tcp 443, udp 3478, tcp 3478, tcp 5349, "
        "udp 49152-65535, or write deploy.firewall: nft."
    )
    assert notices(planned("private", target, machine()), machine()) == ()


def test_a_container_s_kernel_is_not_ours() -> None:
    (target,) = machines("private")
    facts = machine(container=True)
    (said,) = notices(planned("private", target, facts), facts)
    assert said.startswith("This is a container:")
