"""`calln deploy …`: what changes machines, and the table of all commands. Loaded when one of them runs."""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from config.file import Config
from deploy.cli import operate
from deploy.doctor import remote_checks
from deploy.doctor.local import MARKS, TRIAL_SECONDS
from deploy.doctor.machine import Finding
from deploy.remote import cloud_firewall, cloud_init, inventory, planning, removal, render
from deploy.remote import secrets as site_secrets
from deploy.remote.facts import Facts, facts_order, parse_facts
from deploy.remote.fleet import FILE, Fleet, config_or_default, connect_all, send_order
from deploy.remote.hosts import ConfigFile, Target, read_config_file, targets
from deploy.remote.init import ask_all
from deploy.remote.orders import DeployError, apply_order
from deploy.remote.planning import Plan
from deploy.remote.preflight import asked_names, notices, obstacles, wrong_system
from deploy.remote.public_address import relay_name, with_public_address
from deploy.remote.release import Bundle, make_bundle, pack
from deploy.remote.ssh import Machine
from deploy.remote.steps import AddRelease, Step, described
from deploy.remote.wheels import PythonPlatform
from turn.credentials import MintedCredential

INSIDE = "calln doctor"
LOOKS = 3  # at all machines, while their secrets change


class PlannedMachine(NamedTuple):
    """One machine, its plan and the code for it."""

    machine: Machine
    facts: Facts
    plan: Plan
    bundle: Bundle
    steps: tuple[Step, ...]


def plan_all(options: Namespace, fleet: Fleet) -> list[PlannedMachine]:
    """Plan for all machines before any of them is changed. Raises DeployError with all obstacles."""
    source = read_config_file(options.config or FILE)
    target_of = {target.host: target for target in targets(source.config)}
    question = facts_order(inventory.paths(), inventory.packages(source))
    answers, kept = look(fleet, question)
    if not any(kept) and len(kept) < len(target_of) and not site_secrets.is_operators(source.config):
        raise DeployError(
            "a machine that has no secret yet needs that of the others: run calln deploy apply for all of "
            "them at once, while all can be reached"
        )
    secret = site_secrets.choose_secret(source.config, kept)
    wanted = site_secrets.collect_secrets(
        source.config, options.config or FILE, list(target_of.values()), secret
    )
    made = []
    for machine in fleet.machines:
        facts = answers[machine]
        bundle = make_bundle(
            PythonPlatform(".".join(facts.python.split(".")[:2]), facts.arch), cache_folder()
        )
        target = target_of[machine.host]
        found = remote_checks.resolve(relay_name(source.config, target))
        own = with_public_address(source, target, facts, found)
        plan = planning.make_plan(own, target, wanted, facts, bundle.name)
        made.append(PlannedMachine(machine, facts, plan, bundle, planning.steps(plan, facts)))
    refuse(
        f"{one.machine}: {sentence}"
        for one in made
        for sentence in obstacles(
            one.plan,
            one.facts,
            {name: remote_checks.resolve(name) for name in asked_names(one.plan)},
            renames=options.rename,
        )
    )
    return made


def look(fleet: Fleet, question: dict[str, Any]) -> tuple[Mapping[Machine, Facts], list[str | None]]:
    """What each machine has, and its secret. If that has changed in between, as an old one is withdrawn at a
    boot, both are asked for again: the plan would say that it must be written. Raises DeployError."""
    for _ in range(LOOKS):
        answers = fleet.on_each(lambda machine: parse_facts(machine.query(question)))
        refuse(f"{machine}: {line}" for machine, facts in answers.items() for line in wrong_system(facts))
        kept = fleet.on_each(lambda machine: machine.query({"do": "secret"}))
        if all(answers[machine].has_secret(text) for machine, text in kept.items()):
            break
    return answers, list(kept.values())


def refuse(obstacles_found: Iterable[str]) -> None:
    """Raises DeployError if there is any."""
    if lines := list(obstacles_found):
        raise DeployError("\n".join(lines))


def cache_folder() -> Path:
    """The folder for wheels and release archives on this computer."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "calln"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show_plan(config: Config, options: Namespace) -> int:
    """Show what apply would do; change nothing."""
    with connect_all(config, options) as fleet:
        for one in plan_all(options, fleet):
            print(f"{one.machine}:")
            for step in one.steps:
                print(f"  {described(step, new_files=options.contents).rstrip()}")
            print("".join(f"  Note: {notice}\n" for notice in notices(one.plan, one.facts)), end="")
            if not one.steps:
                print("  Nothing to do: this machine is as the file says.")
        return fleet.code()


def apply_plan(config: Config, options: Namespace) -> int:
    begun = time.monotonic()
    with connect_all(config, options) as fleet:
        todo = {one.machine: one for one in plan_all(options, fleet)}
        fleet.on_each(lambda machine: apply_to_machine(todo[machine]))
        for machine in fleet.machines:
            for notice in notices(todo[machine].plan, todo[machine].facts):
                print(f"{machine}: note: {notice}")
    seconds = time.monotonic() - begun
    done = [machine for machine in fleet.machines if todo[machine].steps]
    config = config_or_default(config, options)
    if fleet.missing:
        print(f"Not done on {fleet.missing} of {len(fleet)} machines, see above ({seconds:.1f} s).")
    elif not done:
        print(f"Nothing to do: all machines are as the file says ({seconds:.1f} s).")
    else:
        print(f"Done in {seconds:.1f} s. Visitors can open {config.site.url}")
    root = site_secrets.root_of(config, options.config or FILE)
    if root and done:
        print(f"Install {root} in all browsers as a trusted certificate authority.")
    return fleet.code()


def apply_to_machine(one: PlannedMachine) -> None:
    """Send the release if it is new, then apply the steps. Raises DeployError."""
    if not one.steps:
        return
    archive = None
    if any(isinstance(step, AddRelease) and not step.like for step in one.steps):
        archive_file = pack(one.bundle, cache_folder())
        print(f"{one.machine}: sending the release, {archive_file.stat().st_size >> 20} MiB", flush=True)
        archive = one.machine.upload(archive_file)
    try:
        send_order(one.machine, apply_order(one.steps, archive))
    finally:
        if archive:
            one.machine.shell(f"rm -f {archive[0]}")


def remove_calln(config: Config, options: Namespace) -> int:
    config_or_default(config, options)
    return remove_by(read_config_file(options.config or FILE), options)


def remove_by(source: ConfigFile, options: Namespace) -> int:
    """Ask once, with the names of the machines."""
    question = facts_order(inventory.paths(), inventory.packages(source))
    with connect_all(source.config, options, listed=False) as fleet:
        names = ", ".join(map(str, fleet.machines))
        if (
            not options.yes
            and ask_to_confirm(f"Remove Calln from {names} and end running calls? Write yes: ") != "yes"
        ):
            raise DeployError("stopped; nothing was changed")
        answers = fleet.on_each(lambda machine: parse_facts(machine.query(question)))
        fleet.on_each(
            lambda machine: send_order(
                machine, apply_order(removal.destroy_steps(answers[machine], purge=options.purge))
            )
        )
        stays = {
            sentence: None
            for machine in fleet.machines
            for sentence in removal.what_stays(answers[machine], source, purge=options.purge)
        }
        print("".join(f"{sentence}\n" for sentence in stays), end="")
        return fleet.code()


def ask_to_confirm(words: str) -> str:
    try:
        return input(words).strip()
    except EOFError:
        raise DeployError("no terminal to ask on; use --yes") from None


def write_config(_: Config, options: Namespace) -> int:
    return ask_all(options.config or FILE)


def show_proxy(config: Config, options: Namespace) -> int:
    config_or_default(config, options)
    print(render.render_proxy(read_config_file(options.config or FILE), options.kind), end="")
    return 0


def show_firewall(config: Config, options: Namespace) -> int:
    config_or_default(config, options)
    print(cloud_firewall.render_firewall(read_config_file(options.config or FILE), options.form), end="")
    return 0


def show_user_data(config: Config, options: Namespace) -> int:
    config_or_default(config, options)
    source = read_config_file(options.config or FILE)
    print(cloud_init.render_user_data(source, options.package, options.sha256), end="")
    return 0


def run_doctor(config: Config, options: Namespace) -> int:
    """Check from here, then on each machine; the exit code is 1 if anything is wrong."""
    config = config_or_default(config, options)
    sound = True
    with connect_all(config, options) as fleet:
        by_host = {machine.host: machine for machine in fleet.machines}
        root = site_secrets.root_of(config, options.config or FILE)
        for target in targets(config):
            if target.host in by_host:
                sound &= examined(target, by_host[target.host], root)
        return fleet.code(well=sound)


def examined(target: Target, machine: Machine, root: str | None) -> bool:
    """Print what is found of one machine; whether all is well."""
    sound = True
    print(f"{target.name}, checked from here:", flush=True)
    for finding in remote_checks.check_target(target, trial_credential(machine), root):
        sound &= finding.well
        print(finding_text(finding), flush=True)
    print(f"{target.name}, checked on the machine itself:", flush=True)
    return machine.shell(INSIDE, print_output=True, **machine.as_root)[0] and sound


def trial_credential(machine: Machine) -> MintedCredential | None:
    """A credential for trial calls; None if nothing is deployed yet."""
    well, said, _ = machine.order({"do": "credential", "user": "doctor", "seconds": TRIAL_SECONDS})
    return MintedCredential(**json.loads(said[-1])) if well and said else None


def finding_text(finding: Finding) -> str:
    return f"{MARKS[finding.well]} {finding.text}" + ("" if finding.well else f"\n    {finding.advice}")


COMMANDS: dict[str, Callable[[Config, Namespace], int]] = {
    "init": write_config,
    "plan": show_plan,
    "apply": apply_plan,
    "destroy": remove_calln,
    "doctor": run_doctor,
    "proxy": show_proxy,
    "firewall": show_firewall,
    "cloud-init": show_user_data,
    "status": operate.show_status,
    "logs": operate.show_logs,
    "rollback": operate.roll_back,
    "restart": operate.restart_services,
    "secrets rotate": operate.rotate_secret,
    "backup": operate.fetch_backups,
    "restore": operate.restore_backup,
}
