"""`calln deploy …`: what looks after machines that are there already."""

from __future__ import annotations

import base64
import io
import os
import tarfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from config.file import Config
from deploy.remote import secrets as site_secrets
from deploy.remote.fleet import FILE, Fleet, config_or_default, connect_all, send_order
from deploy.remote.orders import DeployError, Unreachable, operator
from deploy.remote.render import OPERATORS
from deploy.remote.ssh import Machine

ENCRYPTED = b"age-encryption.org/"  # how a file of age begins


def show_status(config: Config, options: Namespace) -> int:
    """Of all machines; the exit code is 1 if anything does not work."""
    with connect_all(config, options) as fleet:
        answers = fleet.on_each(lambda machine: machine.order({"do": "status", "roles": machine.host.roles}))
        for machine, (_, said, wrong) in answers.items():
            if len(fleet) > 1:
                print(f"{machine}:")
            print("\n".join(said + wrong), flush=True)
        return fleet.code(well=all(well for well, _, _ in answers.values()))


def show_logs(config: Config, options: Namespace) -> int:
    """The logs of all releases, in the order of time."""
    words = "journalctl --namespace=calln --no-pager --quiet --output=short-iso"
    words += f" --lines={options.lines}" + (" --follow" if options.follow else "")
    with connect_all(config, options) as fleet:
        fleet.on_each(lambda machine: machine.shell(words, print_output=True, **machine.as_root))
        return fleet.code()


def roll_back(config: Config, options: Namespace) -> int:
    return order_roles(config, options, {"do": "rollback", "to": options.version})


def restart_services(config: Config, options: Namespace) -> int:
    """With the same release, as after an update of Python or OpenSSL on the machines."""
    return order_roles(config, options, {"do": "restart"})


def order_roles(config: Config, options: Namespace, order: dict[str, Any]) -> int:
    with connect_all(config, options) as fleet:
        fleet.on_each(
            lambda machine: send_order(machine, {**order, "who": operator(), "roles": machine.host.roles})
        )
        return fleet.code()


def rotate_secret(config: Config, options: Namespace) -> int:
    """First every relay accepts the new secret as well; then the servers begin to use it. No machine may be
    missing: with the old secret it would not fit the others."""
    if site_secrets.is_operators(config_or_default(config, options)):
        raise DeployError(
            "the secret is in your own file, so you must change it: 1. add the new secret as the last line "
            "of turn.secret_file and run calln deploy apply; 2. make it the first line and apply; 3. when "
            "the old calls have ended, remove the old line and apply"
        )
    new = site_secrets.new_secret()
    order = {"do": "secrets", "who": operator(), "new": new}
    with connect_all(config, options, needs_all=True) as fleet:
        everywhere(fleet, {**order, "first": False, "withdraw": 0})
        everywhere(fleet, {**order, "first": True, "withdraw": options.withdraw_after})
    hours = options.withdraw_after / 3600
    print(
        f"The new secret is in use. The old one ends in {hours:.0f} hours. Calls that still use it then will "
        "end, too."
    )
    return 0


def everywhere(fleet: Fleet, order: dict[str, Any]) -> None:
    """Raises DeployError if one machine fails."""
    fleet.on_each(lambda machine: send_order(machine, order))
    if fleet.missing:
        raise DeployError("the old secret is still valid everywhere; mend that machine, then run this again")


def fetch_backups(config: Config, options: Namespace) -> int:
    with connect_all(config, options) as fleet:
        fleet.on_each(lambda machine: fetch_backup(machine, options.folder))
        return fleet.code()


def fetch_backup(machine: Machine, folder: Path) -> None:
    """Save the backup of one machine here. Raises DeployError."""
    well, said, wrong = machine.order({"do": "backup"})
    if not well or not said:
        raise Unreachable(f"{machine}: the backup failed: {' '.join(said + wrong)}")
    path = folder / f"calln-{machine.host.address.address}-{time.strftime('%Y-%m-%d')}.tar.gz"
    save_privately(path, base64.b64decode(said[-1]))
    print(f"Saved: {path}. It contains secrets; keep it where nobody else can read it.")


def restore_config(archive: bytes) -> int:
    """Where there is no configuration, take that of the backup first; the operator looks at it. Raises
    DeployError."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            file = tar.extractfile(OPERATORS.strip("/"))
            text = file.read() if file else b""
    except (tarfile.TarError, OSError, EOFError, KeyError):
        raise DeployError("this file is not a backup of Calln, or one without a configuration") from None
    save_privately(FILE, text)
    print(
        f"Saved: {FILE}, from the backup. Look at deploy.hosts: is the machine still the same? Then run "
        "calln deploy apply, calln deploy restore and calln deploy apply again."
    )
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
        archive = options.file.read_bytes()
    except OSError as error:
        raise DeployError(f"{options.file}: {error.strerror}") from None
    if archive.startswith(ENCRYPTED):
        raise DeployError(f"{options.file} is encrypted; first: age --decrypt -i KEY -o FILE {options.file}")
    if options.config is None and not FILE.exists():
        return restore_config(archive)
    data = base64.b64encode(archive).decode()
    with connect_all(config, options, needs_all=True) as fleet:
        if len(fleet) > 1:
            raise DeployError("a backup belongs to one machine; name it with --host")
        send_order(fleet.machines[0], {"do": "restore", "who": operator(), "data": data})
    print("Restored. Now run calln deploy apply, so that the services use it.")
    return 0
