"""The machine itself deploys, from the tree that lies on it: no SSH, and no operator's side elsewhere."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.end_to_end.admin import CACHE, Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.pebble import DIRECTORY, Pebble
from tests.deploy.end_to_end.target import Snapshot, Target

CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {"hosts": "local", "acme_directory": DIRECTORY},
}
PUBLIC = "192.33.4.12"  # nothing is sent there
SERVING = f"curl --silent --output /dev/null --write-out '%{{http_code}}' --cacert ROOT https://{NAME}/"


@pytest.fixture(scope="module")
def binds(folder: Path) -> list[Path]:
    """The tests' Python, as if somebody had run `make setup` there, and the folder of an operator."""
    (folder / "admin").mkdir()
    CACHE.mkdir(parents=True, exist_ok=True)
    own = {Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")}  # Debian's Python the machine has itself
    return [folder / "admin", CACHE, *own]


@pytest.fixture(scope="module")
def targets(target: Target, before: Snapshot) -> list[Target]:
    return [target]


@pytest.fixture(scope="module")
def trust(folder: Path, pebble: Pebble) -> Path:
    """Where the machine sees it, too."""
    return Path(shutil.copy(pebble.root, folder / "admin/trust.pem"))


def here(admin: Admin, *words: object) -> str:
    """A line of shell: `calln deploy` on the machine itself."""
    env = {
        "HOME": admin.home,
        "XDG_CACHE_HOME": admin.home / ".cache",
        "SSL_CERT_FILE": admin.trust,
        "PYTHONPATH": admin.tree,
    }
    command = [sys.executable, "-m", "deploy.cli", "deploy", *words, "--config", admin.file]
    begin = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in env.items())
    return f"cd {admin.tree} && {begin} {shlex.join(map(str, command))} 2>&1"


def test_a_machine_deploys_to_itself(admin: Admin, target: Target, before: Snapshot) -> None:
    assert "/etc/systemd/system/calln-relay@.service" in target.run(here(admin, "plan"))
    assert not before.difference(target.snapshot())
    target.run(here(admin, "apply"))
    assert changed(target.run(here(admin, "apply"))) == []
    active = target.run("systemctl list-units --plain --no-legend --state active 'calln-*@*'")
    assert {line.split("@")[0] for line in active.splitlines()} == {
        *("calln-server", "calln-relay", "calln-kernel")
    }
    asked = target.network.outside("sh", "-c", SERVING.replace("ROOT", str(admin.trust)))
    assert subprocess.run(asked, capture_output=True, text=True).stdout == "200"


def test_behind_a_cloud_s_nat_the_plan_finds_the_public_address(admin: Admin, target: Target) -> None:
    """The name leads to an address that is on no interface of the machine, as at AWS."""
    target.run(f"test ! -e /etc/hosts && echo '{PUBLIC} {NAME}' >/etc/hosts")
    try:
        said = target.run(here(admin, "plan"))
    finally:
        target.run("rm -f /etc/hosts")
    assert f"its relay gets turn.external_ip: {PUBLIC}/{ADDRESSES[NAME]}" in said
    assert "external_ip" not in target.run(here(admin, "plan"))


def test_the_rest_works_there_too(admin: Admin, target: Target, before: Snapshot) -> None:
    said = target.ask(here(admin, "doctor"))  # of networks for examples, and of containers, it says no good
    assert f"A trial call through tls://{ADDRESSES[NAME]}:443 worked." in said
    admin.change("server/signalling/lobby.py", "# another release\n")
    target.run(here(admin, "apply"))
    assert "runs now instead of" in target.run(here(admin, "rollback"))
    assert "ready" in target.run(here(admin, "status"))
    target.run(here(admin, "backup", str(admin.folder)))
    target.run(here(admin, "destroy", "--purge", "--yes"))
    marks = before.difference(target.snapshot())
    assert not marks, "\n".join(marks)
