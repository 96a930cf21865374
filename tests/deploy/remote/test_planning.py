"""From what a machine is to what it shall be: the steps as an operator reads them; a second run has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.deploy import Role
from deploy.remote.facts import Facts
from deploy.remote.hosts import Target
from deploy.remote.planning import RELOAD, STAMP, Plan, destroy_steps, packages, paths, steps, what_stays
from deploy.remote.render import CERTIFICATE, SECRET
from deploy.remote.steps import AddRelease, Prune, Put, Run, Step, Switch, described
from tests.deploy.example_configs import CONFIGS, machines, written
from tests.deploy.minds import after, machine, planned

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "data/plans.yaml").read_text())
EACH = [(name, target) for name in CONFIGS for target in machines(name)]


def deployed(name: str, target: Target, facts: Facts | None = None) -> Facts:
    """A machine on which everything was carried out."""
    begun = facts or machine()
    return after(begun, steps(planned(name, target, begun), begun))


def words(plan: Plan, made: tuple[Step, ...]) -> list[str]:
    return [str(step).replace(plan.release, "RELEASE") for step in made]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_steps_of_a_fresh_machine(case: dict[str, Any]) -> None:
    facts = machine(**case.get("machine", {}))
    plan = planned(case["source"], machines(case["source"])[case.get("which", 0)], facts)
    assert words(plan, steps(plan, facts)) == case["says"]


@pytest.mark.parametrize("pair", EACH, ids=lambda pair: f"{pair[0]}, {pair[1].name}")
def test_a_second_run_has_nothing_to_do(pair: tuple[str, Target]) -> None:
    facts = deployed(*pair)
    assert steps(planned(*pair, facts), facts) == ()


@pytest.mark.parametrize("pair", EACH, ids=lambda pair: f"{pair[0]}, {pair[1].name}")
def test_wherever_a_run_breaks_off_the_next_one_ends_it(pair: tuple[str, Target]) -> None:
    """The machine is then as after one whole run, and each command that was left out was run."""
    fresh = machine()
    whole = steps(planned(*pair, fresh), fresh)
    for done in range(len(whole)):
        broken = after(fresh, whole[:done])
        rest = steps(planned(*pair, broken), broken)
        assert after(broken, rest)._replace(config=None) == after(fresh, whole)._replace(config=None)
        left = {step for step in whole[done:] if isinstance(step, Run)}
        assert left <= set(rest), done


def test_new_code_is_a_release_and_a_switch_alone() -> None:
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    plan = planned("one machine", target, facts, "0.2.0-0000000000")
    made = steps(plan, facts)
    assert [type(step) for step in made] == [AddRelease, Switch]
    assert str(made[1]) == (
        f"Switch the server and the relay from {facts.current} to {plan.release}; running calls go on."
    )


def test_another_configuration_takes_the_code_that_is_there() -> None:
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    made = steps(planned("with passwords", target, facts), facts)
    (place,) = [step for step in made if isinstance(step, AddRelease)]
    assert place.like == facts.current
    assert "canary" not in described(place)


def test_a_changed_secret_is_read_while_calls_go_on() -> None:
    (target,) = machines("private")
    facts = deployed("private", target)
    known = facts.files[SECRET]._replace(sha256="0" * 64)
    facts = facts._replace(files={**facts.files, SECRET: known})
    made = steps(planned("private", target, facts), facts)
    assert [type(step) for step in made] == [Put, Run]
    assert described(made[0]) == f"Change {SECRET}.\n    +***\n"
    assert made[1] == Run((RELOAD,), "Let the services read secrets and certificates again.")


def test_a_file_that_somebody_changed_is_put_back_and_shown() -> None:
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    path = "/etc/systemd/journald@calln.conf"
    known = facts.files[path]._replace(sha256="0" * 64, text="[Journal]\nMaxRetentionSec=1year\n")
    facts = facts._replace(files={**facts.files, path: known})
    made = steps(planned("one machine", target, facts), facts)
    assert "    -MaxRetentionSec=1year\n    +MaxRetentionSec=6day\n" in "".join(map(described, made))


ENDS = {
    "server": ["Switch the server from OLD to RELEASE; running calls go on.", "End the relay"],
    "turn": ["Close ports 80 and 443.", "End the server", "Switch the relay from OLD to RELEASE"],
}


@pytest.mark.parametrize("kept", ["server", "turn"])
def test_a_part_that_is_not_wanted_any_more_ends(kept: Role) -> None:
    """A server before a relay that wants its port, a relay when pages are told of another one."""
    (whole,) = machines("one machine")
    facts = deployed("one machine", whole)
    target = whole._replace(roles=(kept,))
    plan = planned("two machines", target, facts)
    made = steps(plan, facts)
    verbs = ("Close", "End", "Switch")
    said = [word.replace(str(facts.current), "OLD") for word in words(plan, made) if word.startswith(verbs)]
    assert len(said) == len(ENDS[kept])
    assert all(word.startswith(begin) for word, begin in zip(said, ENDS[kept], strict=True)), said
    later = after(facts, made)
    assert steps(planned("two machines", target, later), later) == ()


def test_releases_beyond_those_kept_go_unless_they_run() -> None:
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    older = ("0.0.5-x", "0.0.4-x", "0.0.3-x", "0.0.2-x")
    units = {**facts.units, "calln-server@0.0.2-x.service": "deactivating"}
    facts = facts._replace(releases=(*facts.releases, *older), units=units)
    assert steps(planned("one machine", target, facts), facts) == (Prune(("0.0.3-x",)),)


def test_no_secret_is_told() -> None:
    for name, target in EACH:
        said = "".join(map(described, steps(planned(name, target, machine()), machine())))
        assert "canary" not in said
        assert f"Write {SECRET}.\n    +***\n" in said


@pytest.mark.parametrize("pair", EACH, ids=lambda pair: f"{pair[0]}, {pair[1].name}")
def test_what_is_destroyed_was_never_there(pair: tuple[str, Target]) -> None:
    facts = deployed(*pair)
    gone = after(facts, destroy_steps(facts, purge=True))
    assert gone._replace(packages=frozenset(), units={}, current=None, config=None) == machine()
    assert not any("calln" in unit for unit in gone.units)
    kept = after(facts, destroy_steps(facts))
    assert set(kept.files) <= {path for path in facts.files if path.startswith("/etc/calln/")}
    assert kept.account


def test_destroying_nothing_is_no_step() -> None:
    assert destroy_steps(machine(), purge=True) == ()


def test_what_stays_is_named() -> None:
    source = written("one machine")
    facts = machine(packages=["certbot"])
    assert what_stays(facts, source, purge=True) == (
        "These Debian packages remain: certbot; remove them with apt purge.",
    )
    assert len(what_stays(facts, source)) == 2


def test_a_machine_is_asked_about_every_file_that_it_might_have() -> None:
    for name, target in EACH:
        assert {file.path for file in planned(name, target, machine()).files} <= set(paths())
    assert {STAMP, CERTIFICATE} <= set(paths())


def test_packages_follow_the_configuration() -> None:
    assert {name: packages(written(name)) for name in CONFIGS} == {
        "one machine": ("certbot",),
        "two machines": ("certbot",),
        "private": (),
        "behind a proxy": ("certbot",),
        "with passwords": ("nftables", "certbot"),
    }
