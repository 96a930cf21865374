"""What is taken off a machine: all of Calln, or what the file does not ask for any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.remote.hosts import Target, parse_config_file
from deploy.remote.planning import steps
from deploy.remote.removal import destroy_steps, what_stays
from deploy.remote.steps import Run
from tests.deploy.example_configs import CONFIGS, machines, written
from tests.deploy.minds import EACH, after, changed, deployed, machine


@pytest.mark.parametrize("pair", EACH, ids=lambda pair: f"{pair[0]}, {pair[1].name}")
def test_what_is_destroyed_was_never_there(pair: tuple[str, Target]) -> None:
    facts = deployed(*pair)
    gone = after(facts, destroy_steps(facts, purge=True))
    assert gone._replace(packages=frozenset(), units={}, current=None, config=None) == machine()
    assert not any("calln" in unit for unit in gone.units)
    kept = after(facts, destroy_steps(facts))
    assert set(kept.files) <= {path for path in facts.files if path.startswith("/etc/calln/")}
    assert kept.account


def test_what_takes_the_program_off_the_kernel_is_not_interrupted() -> None:
    facts = deployed("one machine", machines("one machine")[0])
    units = dict.fromkeys(("calln-kernel@1.service", "calln-relay@1.service"), "active")
    runs = [step.argv for step in destroy_steps(facts._replace(units=units)) if isinstance(step, Run)]
    assert ("systemctl", "stop", *units) in runs
    assert ("systemctl", "kill", "--signal=SIGINT", "calln-relay@1.service") in runs


def test_destroying_nothing_is_no_step() -> None:
    assert destroy_steps(machine(), purge=True) == ()


def test_what_stays_is_named() -> None:
    source = written("one machine")
    facts = machine(packages=["certbot"])
    assert what_stays(facts, source, purge=True) == (
        "These Debian packages remain: certbot; remove them with apt purge.",
    )
    assert len(what_stays(facts, source)) == 2
    saving = parse_config_file(CONFIGS["one machine"] + EXTRAS["backups"][0], Path("c"))
    assert "The backups in /var/backups/calln remain." in what_stays(facts, saving, purge=True)


# What the file asks for besides, at first, and the steps when it does not ask for that any more.
EXTRAS = {
    "a firewall": (
        "deploy: {firewall: nft}\n",
        [
            "Close the ports of Calln in the firewall.",
            "Remove /etc/systemd/system/calln-ports.service.",
            "Remove /usr/local/sbin/calln-ports.",
            "Let systemd forget the units.",
        ],
    ),
    "ufw": (
        "deploy: {firewall: ufw}\n",
        ["Close the ports of Calln in ufw.", "Remove /etc/ufw/applications.d/calln."],
    ),
}
ENDS = ("Close", "Stop", "Remove", "Let systemd forget")
EXTRAS["backups"] = (
    "deploy: {backup: {keep: 14}}\n",
    [
        "Stop the timer that makes backups.",
        "Remove /etc/systemd/system/calln-backup.service.",
        "Remove /etc/systemd/system/calln-backup.timer.",
        "Let systemd forget the units.",
    ],
)
EXTRAS["alerts"] = (
    "deploy: {alert: {mail: admin@example.org}}\n",
    [
        "Stop the timer that watches over this machine.",
        "Remove /etc/systemd/system/calln-watch.service.",
        "Remove /etc/systemd/system/calln-watch.timer.",
        "Remove /etc/calln/alert.json.",
        "Let systemd forget the units.",
    ],
)
PROXIED = "server: {listen: '127.0.0.1:8080', trusted_proxies: 127.0.0.1/32}\n"


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_not_wanted_any_more_goes(extra: str) -> None:
    text, says = EXTRAS[extra]
    fresh = machine(chains=["inet filter input"])
    facts = after(fresh, steps(changed(CONFIGS["one machine"] + text, fresh), fresh))
    plan = changed(CONFIGS["one machine"], facts)
    made = steps(plan, facts)
    assert [str(step) for step in made if str(step).startswith(ENDS)] == says
    later = after(facts, made)
    assert steps(changed(CONFIGS["one machine"], later), later) == ()


def test_ports_are_left_to_a_proxy_before_the_server_listens_behind_it() -> None:
    facts = deployed("one machine", machines("one machine")[0])
    made = [str(step) for step in steps(changed(CONFIGS["one machine"] + PROXIED, facts), facts)]
    (switch,) = [place for place, said in enumerate(made) if said.startswith("Switch")]
    assert made.index("Close ports 80 and 443.") < switch
    assert switch < made.index("Remove /etc/systemd/system/calln-http.socket.")


def test_a_firewall_that_drops_nothing_just_now_keeps_its_rules() -> None:
    text = CONFIGS["one machine"] + EXTRAS["a firewall"][0]
    fresh = machine(chains=["inet filter input"])
    facts = after(fresh, steps(changed(text, fresh), fresh))._replace(chains=())
    assert not [
        step for step in steps(changed(text, facts), facts) if str(step).startswith(("Close", "Remove"))
    ]
