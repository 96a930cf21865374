"""`calln deploy …`: one function for each command. Loaded only when such a command runs."""

from __future__ import annotations

import base64
import json
import os
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.file import Config
from deploy.doctor import remote_checks
from deploy.doctor.local import MARKS, TRIAL_SECONDS
from deploy.doctor.machine import Finding
from deploy.remote import planning, render
from deploy.remote import secrets as site_secrets
from deploy.remote.facts import Facts, facts_order, parse_facts
from deploy.remote.fleet import FILE, config_or_default, connect_all, on_each, send_order
from deploy.remote.hosts import read_config_file, targets
from deploy.remote.init import ask_all
from deploy.remote.orders import DeployError, Unreachable, apply_order, operator
from deploy.remote.planning import Plan
from deploy.remote.preflight import notices, obstacles
from deploy.remote.release import Bundle, make_bundle, pack
from deploy.remote.ssh import Machine
from deploy.remote.steps import AddRelease, Step, described
from deploy.remote.wheels import PythonPlatform
from turn.credentials import MintedCredential

INSIDE = "calln doctor"


def show_status(config: Config, options: Namespace) -> int:
    """Of all machines; the exit code is 1 if anything does not work."""
    all_well = True
    with connect_all(config, options) as machines:
        for machine in machines:
            if len(machines) > 1:
                print(f"{machine}:")
            well, said, wrong = machine.order({"do": "status", "roles": machine.host.roles})
            print("\n".join(said + wrong), flush=True)
            all_well &= well
    return 0 if all_well else 1


def show_logs(config: Config, options: Namespace) -> int:
    """The logs of all releases, in the order of time."""
    words = "journalctl --namespace=calln --no-pager --quiet --output=short-iso"
    words += f" --lines={options.lines}" + (" --follow" if options.follow else "")
    with connect_all(config, options) as machines:
        on_each(machines, lambda machine: machine.shell(words, print_output=True, **machine.as_root))
    return 0


def roll_back(config: Config, options: Namespace) -> int:
    with connect_all(config, options) as machines:
        on_each(machines, lambda machine: send_order(machine, rollback_order(machine, options.version)))
    return 0


def rollback_order(machine: Machine, version: str | None) -> dict[str, Any]:
    return {"do": "rollback", "who": operator(), "to": version, "roles": machine.host.roles}


def rotate_secret(config: Config, options: Namespace) -> int:
    """First every relay accepts the new secret as well; then the servers begin to use it."""
    if site_secrets.is_operators(config_or_default(config, options)):
        raise DeployError(
            "the secret is in your own file, so you must change it: 1. add the new secret as the last line "
            "of turn.secret_file and run calln deploy apply; 2. make it the first line and apply; 3. when "
            "the old calls have ended, remove the old line and apply"
        )
    new = site_secrets.new_secret()
    order = {"do": "secrets", "who": operator(), "new": new}
    with connect_all(config, options) as machines:
        on_each(machines, lambda machine: send_order(machine, {**order, "first": False, "withdraw": 0}))
        last = {**order, "first": True, "withdraw": options.withdraw_after}
        on_each(machines, lambda machine: send_order(machine, last))
    hours = options.withdraw_after / 3600
    print(
        f"The new secret is in use. The old one ends in {hours:.0f} hours. Calls that still use it then will "
        "end, too."
    )
    return 0


def fetch_backups(config: Config, options: Namespace) -> int:
    day = time.strftime("%Y-%m-%d")
    with connect_all(config, options) as machines:
        for machine in machines:
            well, said, wrong = machine.order({"do": "backup"})
            if not well or not said:
                raise Unreachable(f"{machine}: the backup failed: {' '.join(said + wrong)}")
            path = options.folder / f"calln-{machine.host.address.address}-{day}.tar.gz"
            save_privately(path, base64.b64decode(said[-1]))
            print(f"Saved: {path}. It contains secrets; keep it where nobody else can read it.")
    return 0


def save_privately(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read, in the place of an older one. Raises DeployError."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError as error:
        raise DeployError(f"{path}: {error.strerror}") from None


def restore_backup(config: Config, options: Namespace) -> int:
    """Write a backup back to one machine. Raises DeployError."""
    try:
        data = base64.b64encode(options.file.read_bytes()).decode()
    except OSError as error:
        raise DeployError(f"{options.file}: {error.strerror}") from None
    with connect_all(config, options) as machines:
        if len(machines) > 1:
            raise DeployError(
                "a backup belongs to one machine; with --config, use a file with only that machine in "
                "deploy.hosts"
            )
        send_order(machines[0], {"do": "restore", "who": operator(), "data": data})
    print("Restored. Now run calln deploy apply, so that the services use it.")
    return 0


class PlannedMachine(NamedTuple):
    """One machine, its plan and the code for it."""

    machine: Machine
    facts: Facts
    plan: Plan
    bundle: Bundle
    steps: tuple[Step, ...]


def plan_all(config: Config, options: Namespace, machines: Sequence[Machine]) -> list[PlannedMachine]:
    """Plan for all machines before any of them is changed. Raises DeployError with all obstacles."""
    source = read_config_file(options.config or FILE)
    target_of = {target.host: target for target in targets(source.config)}
    secret = site_secrets.choose_secret(
        source.config, on_each(machines, lambda machine: machine.query({"do": "secret"}))
    )
    wanted = site_secrets.collect_secrets(
        source.config, options.config or FILE, list(target_of.values()), secret
    )
    question = facts_order(planning.paths(), planning.packages(source))
    answers = [parse_facts(answer) for answer in on_each(machines, lambda machine: machine.query(question))]
    made = []
    for machine, facts in zip(machines, answers, strict=True):
        bundle = make_bundle(
            PythonPlatform(".".join(facts.python.split(".")[:2]), facts.arch), cache_folder()
        )
        plan = planning.make_plan(source, target_of[machine.host], wanted, facts, bundle.name)
        made.append(PlannedMachine(machine, facts, plan, bundle, planning.steps(plan, facts)))
    in_the_way = [
        f"{one.machine}: {sentence}"
        for one in made
        for sentence in obstacles(one.plan, one.facts, remote_checks.resolve(one.plan.target.name))
    ]
    if in_the_way:
        raise DeployError("\n".join(in_the_way))
    return made


def cache_folder() -> Path:
    """The folder for wheels and release archives on this computer."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "calln"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show_plan(config: Config, options: Namespace) -> int:
    """Show what apply would do; change nothing."""
    with connect_all(config, options) as machines:
        for one in plan_all(config, options, machines):
            print(f"{one.machine}:")
            for step in one.steps:
                print(f"  {described(step).rstrip()}")
            print("".join(f"  Note: {notice}\n" for notice in notices(one.plan, one.facts)), end="")
            if not one.steps:
                print("  Nothing to do: this machine is as the file says.")
    return 0


def apply_plan(config: Config, options: Namespace) -> int:
    begun = time.monotonic()
    with connect_all(config, options) as machines:
        todo = plan_all(config, options, machines)
        by_machine = {one.machine: one for one in todo if one.steps}
        on_each(list(by_machine), lambda machine: apply_to_machine(by_machine[machine]))
        for one in todo:
            for notice in notices(one.plan, one.facts):
                print(f"{one.machine}: note: {notice}")
    seconds = time.monotonic() - begun
    if not by_machine:
        print(f"Nothing to do: all machines are as the file says ({seconds:.1f} s).")
        return 0
    config = config_or_default(config, options)
    print(f"Done in {seconds:.1f} s. Visitors can open {config.site.url}")
    if root := site_secrets.root_of(config, options.config or FILE):
        print(f"Install {root} in all browsers as a trusted certificate authority.")
    return 0


def apply_to_machine(one: PlannedMachine) -> None:
    """Send the release if it is new, then apply the steps. Raises DeployError."""
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
    """Ask once, with the names of the machines."""
    config = config_or_default(config, options)
    source = read_config_file(options.config or FILE)
    question = facts_order(planning.paths(), planning.packages(source))
    with connect_all(config, options) as machines:
        names = ", ".join(map(str, machines))
        if (
            not options.yes
            and ask_to_confirm(f"Remove Calln from {names} and end running calls? Write yes: ") != "yes"
        ):
            raise DeployError("stopped; nothing was changed")
        for machine, answer in zip(
            machines, on_each(machines, lambda machine: machine.query(question)), strict=True
        ):
            facts = parse_facts(answer)
            send_order(machine, apply_order(planning.destroy_steps(facts, purge=options.purge)))
            print(
                "".join(
                    f"{sentence}\n" for sentence in planning.what_stays(facts, source, purge=options.purge)
                ),
                end="",
            )
    return 0


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


def run_doctor(config: Config, options: Namespace) -> int:
    """Check from here, then on each machine; the exit code is 1 if anything is wrong."""
    config = config_or_default(config, options)
    sound = True
    with connect_all(config, options) as machines:
        by_host = {machine.host: machine for machine in machines}
        root = site_secrets.root_of(config, options.config or FILE)
        for target in targets(config):
            machine = by_host[target.host]
            print(f"{target.name}, checked from here:", flush=True)
            for finding in remote_checks.check_target(target, trial_credential(machine), root):
                sound &= finding.well
                print(finding_text(finding), flush=True)
            print(f"{target.name}, checked on the machine itself:", flush=True)
            sound &= machine.shell(INSIDE, print_output=True, **machine.as_root)[0]
    return 0 if sound else 1


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
    "status": show_status,
    "logs": show_logs,
    "rollback": roll_back,
    "secrets rotate": rotate_secret,
    "backup": fetch_backups,
    "restore": restore_backup,
}
