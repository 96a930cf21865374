"""A machine saves itself every day; its site comes back on a fresh machine, from the backup alone.

The tests are stages of one story, in order.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME, TURN_NAME
from tests.deploy.end_to_end.pebble import Pebble
from tests.deploy.end_to_end.target import Target, booted

OTHER = ADDRESSES[TURN_NAME]  # where the site comes back
CONFIG: dict[str, Any] = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {
        "hosts": f"root@{ADDRESSES[NAME]}",
        "tls": "internal",
        "backup": {"keep": 2},
    },
}
BANNED = "198.51.100.77"
BACKUPS = "/var/backups/calln"
SECRETS = "sha256sum /etc/calln/secrets/* /etc/calln/tls/*"


@pytest.fixture(scope="module")
def fresh(target: Target, folder: Path, pebble: Pebble, key: Path) -> Iterator[Target]:
    two = Target(target.network, folder, "two", OTHER)
    with booted(two, key, pebble.trust):
        yield two


@pytest.fixture(scope="module")
def targets(target: Target, fresh: Target) -> list[Target]:
    return [target, fresh]


def done(admin: Admin, *words: str) -> str:
    code, said = admin.do(*words)
    assert code == 0, said
    return said


@pytest.fixture(scope="module")
def identity(folder: Path) -> Path:
    """The operator's key of age."""
    file = folder / "age.key"
    said = subprocess.run(["age-keygen", "-o", file], capture_output=True, text=True, check=True).stderr
    CONFIG["deploy"]["backup"]["age"] = said.split()[-1]
    return file


@pytest.fixture(scope="module")
def admin(identity: Path, admin: Admin) -> Admin:
    admin.file.write_text(yaml.safe_dump(CONFIG))
    return admin


def test_a_machine_saves_itself(admin: Admin, target: Target) -> None:
    done(admin, "apply", "--host", f"root@{ADDRESSES[NAME]}")
    assert target.ask("systemctl is-active calln-backup.timer") == "active"
    target.run(f"calln ban add {BANNED}")
    for _ in range(2):
        target.run("systemctl start calln-backup")
    target.run(f"touch {BACKUPS}/calln-2020-01-01.tar.gz.age {BACKUPS}/calln-2020-01-02.tar.gz.age")
    target.run("systemctl start calln-backup")
    names = target.run(f"ls {BACKUPS}").splitlines()
    assert len(names) == 2
    assert names[0] == "calln-2020-01-02.tar.gz.age"
    assert target.run(f"stat -c %U:%a {BACKUPS} {BACKUPS}/{names[1]}").split() == ["root:700", "root:600"]
    assert changed(done(admin, "apply")) == []


def test_a_backup_that_fails_is_told(admin: Admin, target: Target) -> None:
    target.run(f"mv {BACKUPS} {BACKUPS}.kept && touch {BACKUPS}")
    target.ssh("systemctl start calln-backup")
    said = admin.do("status")
    assert said.code == 1
    assert "the last backup failed" in said.said
    target.run(f"rm {BACKUPS} && mv {BACKUPS}.kept {BACKUPS} && systemctl start calln-backup")
    done(admin, "status")


def test_a_backup_goes_to_another_machine(admin: Admin, target: Target, fresh: Target) -> None:
    """Once its key is let in there, which the journal says."""
    CONFIG["deploy"]["backup"]["copy_to"] = f"ssh://root@{OTHER}/srv"
    admin.file.write_text(yaml.safe_dump(CONFIG))
    done(admin, "apply", "--host", f"root@{ADDRESSES[NAME]}")
    target.ssh("systemctl start calln-backup")
    assert admin.do("status").code == 1
    target.run("journalctl --namespace calln --sync")
    said = target.run("journalctl --namespace calln --output cat --unit calln-backup")
    line = said[said.index("ssh-ed25519 ") :].splitlines()[0]
    fresh.run(f"echo 'restrict,command=\"internal-sftp\" {line}' >> /root/.ssh/authorized_keys")
    target.run("systemctl start calln-backup")
    name = target.run(f"ls {BACKUPS}").splitlines()[-1]
    digests = target.run(f"sha256sum < {BACKUPS}/{name}"), fresh.run(f"sha256sum < /srv/*/{name}")
    assert digests[0] == digests[1]
    done(admin, "status")


def test_the_site_comes_back_on_a_fresh_machine(
    admin: Admin, target: Target, fresh: Target, identity: Path
) -> None:
    """From the encrypted file and its key alone: the operator's side has lost its configuration, too."""
    folder = target.root / BACKUPS.strip("/")
    newest = sorted(folder.iterdir())[-1]
    archive = admin.folder / "backup.tar.gz"
    subprocess.run(["age", "--decrypt", "-i", identity, "-o", archive, newest], check=True)
    before = target.run(SECRETS)
    target.run("systemctl stop calln")
    admin.file.unlink()
    command = [*admin.network.outside(), *admin.program("restore", str(archive))]
    said = subprocess.run(command, cwd=admin.tree, env=admin.environment, capture_output=True, text=True)
    assert "Saved: config.yaml, from the backup" in said.stdout, said.stderr
    kept = yaml.safe_load(admin.file.read_text())
    assert kept == CONFIG
    kept["deploy"]["hosts"] = f"root@{OTHER}"
    admin.file.write_text(yaml.safe_dump(kept))
    done(admin, "apply")
    done(admin, "restore", str(archive))
    done(admin, "apply")  # what came back is in use already
    assert changed(done(admin, "apply")) == []
    assert fresh.run(SECRETS) == before
    assert BANNED in fresh.run("calln ban list")
    done(admin, "status")
    found = fresh.ssh("calln doctor").stdout
    for way in ("udp://0.0.0.0:3478", "tls://0.0.0.0:5349"):
        assert f"A trial call through {way} worked." in found
