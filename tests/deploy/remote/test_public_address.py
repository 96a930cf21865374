"""Which relay gets a public address that nobody wrote, as data; and that its machine's file has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.file import parse_config
from deploy.remote.hosts import parse_config_file, targets
from deploy.remote.public_address import deployed_pairs, relay_name, with_public_address
from deploy.remote.render import config_file
from tests.deploy.example_configs import CONFIGS
from tests.deploy.minds import machine
from turn.config.values import parse_external

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "data/public_addresses.yaml").read_text()
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_a_relay_gets(case: dict[str, Any]) -> None:
    text = CONFIGS[case.get("source", "one machine")]
    if "external_ip" in case:
        text += f"turn: {{external_ip: {case['external_ip']}}}\n"
    source = parse_config_file(text, Path("calln.yaml"))
    target = targets(source.config)[case.get("which", 0)]
    own = with_public_address(source, target, machine(**case["machine"]), case["answers"])
    wanted: list[str] = case["gets"] or []
    there = parse_config(config_file(own, target, "x").text, Path("/c.yaml"))
    assert list(there.turn.external_ip) == [parse_external(one) for one in wanted]
    assert own.config.turn.external_ip == there.turn.external_ip
    assert own.found_pair == ("" if own is source else wanted[-1])
    assert "external_ip" not in source.values.get("turn", {}) or "external_ip" in case


def test_a_machine_that_has_it_is_as_the_file_says() -> None:
    """Else each deployment would bring a new release."""
    source = parse_config_file(CONFIGS["one machine"], Path("calln.yaml"))
    (target,) = targets(source.config)
    facts = machine(addresses=["10.0.0.5"], leaves_from="10.0.0.5")
    one, other = (with_public_address(source, target, facts, ["192.33.4.12"]) for _ in range(2))
    assert config_file(one, target, "x") == config_file(other, target, "x")
    assert deployed_pairs(facts._replace(config=config_file(one, target, "x").text)) == [
        "192.33.4.12/10.0.0.5"
    ]


@pytest.mark.parametrize("text", [None, "", "turn: [", "turn:", "turn: {}", "[]", "turn: {external_ip: 5}"])
def test_a_file_without_it(text: str | None) -> None:
    assert deployed_pairs(machine(config=text)) == []


@pytest.mark.parametrize(
    ("turn", "name"), [("{}", "call.example.org"), ("{host: turn.example.org}", "turn.example.org")]
)
def test_the_name_by_which_browsers_reach_it(turn: str, name: str) -> None:
    config = parse_config(f"{CONFIGS['one machine']}turn: {turn}\n", Path("c"))
    assert relay_name(config, targets(config)[0]) == name
