"""`calln deploy …`: what it does with each machine of the file. Loaded only when such a command is called."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.file import Config
from deploy.doctor import remote_checks
from deploy.doctor.local import MARKS, TRIAL_SECONDS
from deploy.doctor.machine import Finding
from deploy.remote import facts as facts_module
from deploy.remote import init as questions
from deploy.remote import planning, render
from deploy.remote import release as releases
from deploy.remote import secrets as site_secrets
from deploy.remote.facts import Facts, facts_of
from deploy.remote.fleet import FILE, Options, give, on_each, reached, told
from deploy.remote.hosts import targets, wish
from deploy.remote.orders import Halt, Unreachable, to_apply, who
from deploy.remote.planning import Plan
from deploy.remote.preflight import notices, refusals
from deploy.remote.release import Release
from deploy.remote.ssh import Line
from deploy.remote.steps import Place, Step
from deploy.remote.steps import told as told_step
from deploy.remote.wheels import Machine
from turn.credentials import MintedCredential

SECRET_BYTES = 32
INSIDE = "calln doctor"


def status(config: Config, options: Options) -> int:
    with reached(config, options) as lines:
        for line in lines:
            if len(lines) > 1:
                print(f"{line}:")
            well, said, wrong = line.order({"do": "status"})
            print("\n".join(said + wrong), flush=True)
            if not well:
                return 1
    return 0


def logs(config: Config, options: Options) -> int:
    """Of all releases, in the order in which they were written."""
    words = "journalctl --namespace=calln --no-pager --quiet --output=short-iso"
    words += f" --lines={options.lines}" + (" --follow" if options.follow else "")
    with reached(config, options) as lines:
        on_each(lines, lambda line: line.shell(words, print_output=True, **line.as_root))
    return 0


def rollback(config: Config, options: Options) -> int:
    with reached(config, options) as lines:
        on_each(lines, lambda line: give(line, going_back(line, options.version)))
    return 0


def going_back(line: Line, version: str | None) -> dict[str, Any]:
    return {"do": "rollback", "who": who(), "to": version, "roles": line.host.roles}


def rotate(config: Config, options: Options) -> int:
    """First every relay takes the new secret beside the old one, then credentials are made with it."""
    if site_secrets.is_written(told(config, options)):
        raise Halt(
            "you keep the secret yourself: write the new one as a further line of turn.secret_file, apply; "
            "then make it the first line and apply; when old calls have ended, take out the old one and apply"
        )
    new = secrets.token_hex(SECRET_BYTES)
    order = {"do": "secrets", "who": who(), "new": new}
    with reached(config, options) as lines:
        on_each(lines, lambda line: give(line, {**order, "first": False, "withdraw": 0}))
        last = {**order, "first": True, "withdraw": options.withdraw_after}
        on_each(lines, lambda line: give(line, last))
    print(
        f"Credentials are made with the new secret. The old one ends in {options.withdraw_after / 3600:.0f} "
        "hours, and with it the calls that began with it and still run then."
    )
    return 0


def backup(config: Config, options: Options) -> int:
    day = time.strftime("%Y-%m-%d")
    with reached(config, options) as lines:
        for line in lines:
            well, said, wrong = line.order({"do": "backup"})
            if not well or not said:
                raise Unreachable(f"{line}: no backup: {' '.join(said + wrong)}")
            path = options.folder / f"calln-{line.host.address.address}-{day}.tar.gz"
            save(path, base64.b64decode(said[-1]))
            print(f"Written: {path}. It holds secrets; keep it where nobody else reads.")
    return 0


def save(path: Path, data: bytes) -> None:
    """For its owner alone. Raises Halt."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise Halt(f"{path}: {error.strerror}") from None


def restore(config: Config, options: Options) -> int:
    """Onto one machine. Raises Halt."""
    try:
        data = base64.b64encode(options.file.read_bytes()).decode()
    except OSError as error:
        raise Halt(f"{options.file}: {error.strerror}") from None
    with reached(config, options) as lines:
        if len(lines) > 1:
            raise Halt(
                "a backup is of one machine: name a file with --config that has that one in deploy.hosts"
            )
        give(lines[0], {"do": "restore", "who": who(), "data": data})
    print("Restored. Now run calln deploy apply, which puts in force what came back.")
    return 0


class Planned(NamedTuple):
    """What one machine needs, and the code for it."""

    line: Line
    facts: Facts
    plan: Plan
    release: Release
    steps: tuple[Step, ...]


def planned(config: Config, options: Options, lines: Sequence[Line]) -> list[Planned]:
    """For every machine, before anything is done to any. Raises Halt with whatever stands in the way."""
    asked = wish(options.config or FILE)
    asked_for = {target.host: target for target in targets(asked.config)}
    secret = site_secrets.secret(asked.config, on_each(lines, lambda line: line.ask({"do": "secret"})))
    wanted = site_secrets.all_of(asked.config, options.config or FILE, list(asked_for.values()), secret)
    question = facts_module.question(planning.paths(), planning.packages(asked))
    answers = [facts_of(answer) for answer in on_each(lines, lambda line: line.ask(question))]
    made = []
    for line, facts in zip(lines, answers, strict=True):
        release = releases.made(Machine(".".join(facts.python.split(".")[:2]), facts.arch), cache())
        plan = planning.plan(asked, asked_for[line.host], wanted, facts, release.name)
        made.append(Planned(line, facts, plan, release, planning.steps(plan, facts)))
    in_the_way = [
        f"{one.line}: {sentence}"
        for one in made
        for sentence in refusals(one.plan, one.facts, remote_checks.resolved(one.plan.target.name))
    ]
    if in_the_way:
        raise Halt("\n".join(in_the_way))
    return made


def cache() -> Path:
    """Where wheels and packed releases are kept on this side."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "calln"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plan(config: Config, options: Options) -> int:
    """Says what apply would do; changes nothing."""
    with reached(config, options) as lines:
        for one in planned(config, options, lines):
            print(f"{one.line}:")
            for step in one.steps:
                print(f"  {told_step(step).rstrip()}")
            print("".join(f"  Look: {notice}\n" for notice in notices(one.plan, one.facts)), end="")
            if not one.steps:
                print("  Nothing to do: everything is as the file says.")
    return 0


def apply(config: Config, options: Options) -> int:
    begun = time.monotonic()
    with reached(config, options) as lines:
        todo = planned(config, options, lines)
        by_line = {one.line: one for one in todo if one.steps}
        on_each(list(by_line), lambda line: carried_out(by_line[line]))
        for one in todo:
            for notice in notices(one.plan, one.facts):
                print(f"{one.line}: look: {notice}")
    seconds = time.monotonic() - begun
    if not by_line:
        print(f"Nothing to do: everything is as the file says ({seconds:.1f} s).")
        return 0
    config = told(config, options)
    print(f"Done in {seconds:.1f} s. Visitors open {config.site.url}")
    if root := site_secrets.root_of(config, options.config or FILE):
        print(f"Hand out {root}: browsers must be told to trust it.")
    return 0


def carried_out(one: Planned) -> None:
    """Raises Halt."""
    archive = None
    if any(isinstance(step, Place) and not step.like for step in one.steps):
        packed = releases.packed(one.release, cache())
        print(f"{one.line}: sending the release, {packed.stat().st_size >> 20} MiB", flush=True)
        archive = one.line.bring(packed)
    try:
        give(one.line, to_apply(one.steps, archive))
    finally:
        if archive:
            one.line.shell(f"rm -f {archive[0]}")


def destroy(config: Config, options: Options) -> int:
    """Everything there is asked about once, by name."""
    config = told(config, options)
    asked = wish(options.config or FILE)
    question = facts_module.question(planning.paths(), planning.packages(asked))
    with reached(config, options) as lines:
        names = ", ".join(map(str, lines))
        if (
            not options.yes
            and confirmed(f"Take Calln off {names}, ending running calls? Write yes: ") != "yes"
        ):
            raise Halt("nothing was done")
        for line, answer in zip(lines, on_each(lines, lambda line: line.ask(question)), strict=True):
            facts = facts_of(answer)
            give(line, to_apply(planning.destroy(facts, purge=options.purge)))
            print(
                "".join(f"{sentence}\n" for sentence in planning.stays(facts, asked, purge=options.purge)),
                end="",
            )
    return 0


def confirmed(words: str) -> str:
    try:
        return input(words).strip()
    except EOFError:
        raise Halt("nobody is there to answer; write --yes") from None


def init(_: Config, options: Options) -> int:
    return questions.ask_all(options.config or FILE)


def proxy(config: Config, options: Options) -> int:
    told(config, options)
    print(render.proxy(wish(options.config or FILE), options.kind), end="")
    return 0


def doctor(config: Config, options: Options) -> int:
    """From here, then what each machine says of itself; 1 where anything is amiss."""
    config = told(config, options)
    sound = True
    with reached(config, options) as lines:
        by_host = {line.host: line for line in lines}
        root = site_secrets.root_of(config, options.config or FILE)
        for target in targets(config):
            line = by_host[target.host]
            print(f"{target.name}, from here:", flush=True)
            for finding in remote_checks.look(target, credential(line), root):
                sound &= finding.well
                print(told_of(finding), flush=True)
            print(f"{target.name}, from the machine itself:", flush=True)
            sound &= line.shell(INSIDE, print_output=True, **line.as_root)[0]
    return 0 if sound else 1


def credential(line: Line) -> MintedCredential | None:
    """For trial calls; None where nothing is deployed yet."""
    well, said, _ = line.order({"do": "credential", "user": "doctor", "seconds": TRIAL_SECONDS})
    return MintedCredential(**json.loads(said[-1])) if well and said else None


def told_of(finding: Finding) -> str:
    return f"{MARKS[finding.well]} {finding.text}" + ("" if finding.well else f"\n    {finding.advice}")


COMMANDS: dict[str, Callable[[Config, Options], int]] = {
    "init": init,
    "plan": plan,
    "apply": apply,
    "destroy": destroy,
    "doctor": doctor,
    "proxy": proxy,
    "status": status,
    "logs": logs,
    "rollback": rollback,
    "secrets rotate": rotate,
    "backup": backup,
    "restore": restore,
}
