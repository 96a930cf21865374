"""`calln setup`: this machine, from the answers to six questions, by the steps of `calln deploy apply`.

The Debian package brings the program; this puts all else on the machine. The package calls it again when
it is upgraded or removed.
"""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from config.deploy import LOCAL
from config.file import Config, load_config
from config.problems import ConfigError
from config.yaml_text import compose, read_text
from deploy.agent.facts import is_installed
from deploy.cli.deploy import apply_plan, remove_by
from deploy.remote.hosts import ConfigFile, parse_config_file, read_config_file, targets
from deploy.remote.init import ask_here
from deploy.remote.inventory import packages
from deploy.remote.orders import DeployError
from deploy.remote.render import OPERATORS

FILE = Path(OPERATORS)  # where a deployment keeps it anyway, so nothing differs from a machine of make deploy
# What a removal goes by where the file cannot be used.
BY_ITSELF = f"site: {{url: 'https://this-machine'}}\ndeploy: {{hosts: {LOCAL}}}\n"


def set_up(_: Config, options: Namespace) -> int:
    """Ask if there are no answers yet, then bring this machine to what they say. Raises DeployError."""
    file = options.config or FILE
    by_package = options.upgrade or options.remove
    if os.geteuid():
        raise DeployError("this changes the machine: run it as root, such as sudo calln setup")
    if by_package and not file.exists():
        return 0
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        ask_here(file)
    if options.remove:
        return take_off(file)
    config = load_config(file)
    if not is_of_this_machine(config):
        return leave_alone(file, quietly=by_package)
    return bring(config, file, options)


def is_of_this_machine(config: Config) -> bool:
    """Whether the file is about this machine alone. Who deploys from elsewhere leaves a file here, too."""
    return [host.is_local for host in config.deploy.hosts] == [True]


def leave_alone(file: Path, *, quietly: bool) -> int:
    """Raises DeployError, unless it is the package that asks."""
    if not quietly:
        raise DeployError(
            f"{file} has other deploy.hosts than local: somebody deploys to this machine from elsewhere, and "
            "must go on so. To look after it from here, write hosts: local"
        )
    print("Calln runs here, but was deployed from elsewhere; it stays as it is.")
    return 0


def bring(config: Config, file: Path, options: Namespace) -> int:
    """Raises DeployError."""
    if options.upgrade:
        refuse_missing(file)
    return apply_plan(config, Namespace(**here(file), rename=options.rename))


def here(file: Path) -> dict[str, object]:
    """The options of a command that works on this machine alone."""
    return {"config": file, "accept_host_key": False, "host": None}


def take_off(file: Path) -> int:
    """Before the package goes. A mistake in the file does not keep it here. Raises DeployError."""
    try:
        source = read_config_file(file)
        targets(source.config)
    except ConfigError as problem:
        source = without_file(file, problem)
    if not is_of_this_machine(source.config):
        return leave_alone(file, quietly=True)
    return remove_by(source, Namespace(**here(file), yes=True, purge=False))


def without_file(file: Path, problem: ConfigError) -> ConfigFile:
    """What to go by instead: this machine, or none if the file is of somebody who deploys from elsewhere."""
    print(problem)
    if not seems_of_this_machine(file):
        return parse_config_file("", file)
    print(f"{file} cannot be used, so Calln is removed without it.")
    return parse_config_file(BY_ITSELF, file)


def seems_of_this_machine(file: Path) -> bool:
    """The same of a file with a mistake. No deployment from elsewhere leaves one that is no YAML."""
    try:
        _, values = compose(read_text(file), file)
    except ConfigError:
        return True
    deploy = values.get("deploy") if isinstance(values, dict) else None
    hosts = deploy.get("hosts") if isinstance(deploy, dict) else None
    return addresses(hosts) == [LOCAL]


def addresses(hosts: object) -> list[object]:
    each = hosts if isinstance(hosts, list) else [hosts]
    return [one.get("address") if isinstance(one, dict) else one for one in each]


def refuse_missing(file: Path) -> None:
    """While apt works it installs nothing else. Raises DeployError."""
    missing = [name for name in packages(read_config_file(file)) if not is_installed(name)]
    if missing:
        names = " ".join(missing)
        raise DeployError(f"Debian packages are missing; run: apt install {names}, and then: calln setup")
