"""The public address of a relay behind a cloud's NAT, where the DNS and the machine leave no doubt about it.

AWS, GCP, Azure and Oracle give a machine one private address, and map a public one to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from typing import Any

import yaml

from config.file import Config
from deploy.remote.facts import Facts
from deploy.remote.hosts import ConfigFile, Target
from host.settings import as_list
from turn.config.values import parse_external


def relay_name(config: Config, target: Target) -> str:
    """The name by which browsers reach the relay of a machine."""
    return config.turn.host or target.name


def with_public_address(
    source: ConfigFile, target: Target, facts: Facts, answers: Sequence[str]
) -> ConfigFile:
    """The file of one machine, with `turn.external_ip` if it is needed, not written, and beyond doubt.

    Args:
        source: the file of the operator.
        target: the machine.
        facts: what it has.
        answers: the addresses of its relay's name in the DNS.
    """
    if not lacks_public_address(source.config, target, facts):
        return source
    pair = only_pair(facts, answers)
    return with_pair(source, pair) if pair else source


def lacks_public_address(config: Config, target: Target, facts: Facts) -> bool:
    """Whether a relay has private IPv4 addresses only, and the file says of none how it is seen."""
    own = own_ipv4(facts)
    is_known = any(external.local in (None, *own) for external in config.turn.external_ip)
    wants_it = target.relays and config.deploy.network == "public" and not is_known
    return wants_it and bool(own) and not any(one.is_global for one in own)


def only_pair(facts: Facts, answers: Sequence[str]) -> str | None:
    """PUBLIC/PRIVATE if there is one of each, and the private one is that of the default route."""
    own, public = own_ipv4(facts), public_ipv4(answers)
    if len(own) != 1 or len(public) != 1 or str(own[0]) != facts.leaves_from or not own[0].is_private:
        return None
    others = [one for one in map(ip_address, answers) if one.version == 4 and one != public[0]]
    return None if others else f"{public[0]}/{own[0]}"


def with_pair(source: ConfigFile, pair: str) -> ConfigFile:
    written = source.values.get("turn", {}).get("external_ip") or []
    listed = [*as_list(written), pair]  # type: ignore[misc]  # a text or a list, as it was checked
    external = (*source.config.turn.external_ip, parse_external(pair))
    turn = source.config.turn.model_copy(update={"external_ip": external})
    values: Mapping[str, Mapping[str, Any]] = {
        **source.values,
        "turn": {**source.values.get("turn", {}), "external_ip": listed},
    }
    return source._replace(
        config=source.config.model_copy(update={"turn": turn}), values=values, found_pair=pair
    )


def deployed_pairs(facts: Facts) -> list[str]:
    """What the configuration that runs there says of public addresses; nothing if it cannot be read."""
    with suppress(yaml.YAMLError, KeyError, TypeError):
        found = as_list(yaml.safe_load(facts.config or "")["turn"]["external_ip"])
        return [str(one) for one in found] if isinstance(found, list) else []
    return []


def own_ipv4(facts: Facts) -> list[IPv4Address]:
    return [one for one in map(ip_address, sorted(facts.addresses)) if isinstance(one, IPv4Address)]


def public_ipv4(answers: Sequence[str]) -> list[IPv4Address]:
    found = (ip_address(answer) for answer in dict.fromkeys(answers))
    return [one for one in found if isinstance(one, IPv4Address) and one.is_global]
