"""From what a machine is to what it shall be: the steps as an operator reads them; a second run has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.deploy import Role
from deploy.remote.hosts import Target
from deploy.remote.inventory import RELOAD
from deploy.remote.planning import Plan, steps
from deploy.remote.render import CERTIFICATE, SECRET
from deploy.remote.steps import AddRelease, Issue, Prune, Put, Run, Step, Switch, described
from tests.deploy.example_configs import machines
from tests.deploy.minds import EACH, after, changed, deployed, machine, planned

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "data/plans.yaml").read_text())


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


def test_files_of_root_in_the_state_folder_are_given_back_before_anything_starts() -> None:
    (target,) = machines("one machine")
    facts = deployed("one machine", target)._replace(foreign=("/var/lib/calln/relayed.map",))
    (step,) = steps(planned("one machine", target, facts), facts)
    assert str(step) == "Give /var/lib/calln/relayed.map back to the services."


def test_after_a_restart_nothing_is_left_to_do() -> None:
    """What runs then is a copy of the release."""
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    release = str(facts.current)
    units = {name.replace(release, f"{release}.3"): state for name, state in facts.units.items()}
    facts = facts._replace(current=f"{release}.3", releases=(f"{release}.3", release), units=units)
    assert steps(planned("one machine", target, facts), facts) == ()
    assert steps(planned("one machine", target, facts, "0.2.0-0000000000"), facts) != ()


ONE = "site: {name: A, url: 'https://call.example.org'}\n"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
# What the file says now, where it said ONE before -> the steps about certificates.
CERTIFICATES = {
    "another name": (
        ONE.replace("call.", "talk."),
        ["Get a certificate for talk.example.org: the present one is for call.example.org."],
    ),
    "a second name": (
        ONE.replace(
            "}", ", more_urls: ['https://www.example.org', 'https://198.41.0.4', 'http://a.example']}"
        ),
        ["Get a certificate for call.example.org, www.example.org: the present one is for call.example.org."],
    ),
    "another authority": (
        ONE + f"deploy: {{acme_directory: '{STAGING}'}}\n",
        [
            "Get a certificate for call.example.org: the present one is from "
            "https://acme-v02.api.letsencrypt.org/directory."
        ],
    ),
    "another role": (
        ONE + "deploy: {hosts: [{address: call.example.org, roles: turn}]}\n",
        ["Get a certificate for call.example.org: the present one would be renewed in another way."],
    ),
    "the DNS as proof": (
        ONE + "deploy: {acme_dns: rfc2136, acme_dns_credentials: dns.ini, acme_wildcard: true}\n",
        [
            "Install the Debian packages python3-certbot-dns-rfc2136.",
            "Get a certificate for *.example.org: the present one is for call.example.org; the present one "
            "would be renewed in another way.",
        ],
    ),
    "no authority any more": (
        ONE + "deploy: {tls: internal}\n",
        [
            "Let certbot delete the certificate.",
            "Remove the keys and the account of certbot if it has no other certificate.",
            "Let the services read secrets and certificates again.",
            "Remove /etc/letsencrypt/renewal-hooks/deploy/calln.",
        ],
    ),
    "nothing new": (ONE, []),
}


@pytest.mark.parametrize("case", CERTIFICATES)
def test_the_certificate_that_is_there_is_compared_with_the_one_that_is_wanted(case: str) -> None:
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    text, says = CERTIFICATES[case]
    plan = changed(text, facts)
    made = steps(plan, facts)
    assert [one for one in words(plan, made) if "certif" in one or "certbot" in one or "hooks" in one] == says
    for done in range(0, len(made) + 1, 3):  # where it may break off
        broken = after(facts, made[:done])
        later = after(broken, steps(changed(text, broken), broken))
        assert steps(changed(text, later), later) == ()


def test_a_new_name_is_certified_before_anything_else_changes() -> None:
    """So an authority that refuses changes nothing for the visitors."""
    (target,) = machines("one machine")
    facts = deployed("one machine", target)
    kinds = [type(step) for step in steps(changed(ONE.replace("call.", "talk."), facts), facts)]
    assert kinds.index(Issue) < kinds.index(Switch)


def test_an_authority_after_own_files_and_back() -> None:
    """A certificate that is there is not certbot's; and what certbot has is given to the services."""
    (target,) = machines("one machine")
    own = "deploy: {tls: internal}\n"
    fresh = machine()
    facts = after(fresh, steps(changed(ONE + own, fresh), fresh))
    plan = changed(ONE, facts)
    assert "Get a certificate for call.example.org." in words(plan, steps(plan, facts))
    facts = deployed("one machine", target, facts)
    lost = {path: known for path, known in facts.files.items() if path != CERTIFICATE}
    (step,) = steps(plan, facts._replace(files=lost))
    assert str(step) == "Give the services the certificate that certbot has."
