"""Ubuntu 24.04 takes all that a Debian takes: from the first deployment to the last file.

The tests are stages of one story, in order.
"""

from __future__ import annotations

import pytest

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.pebble import DIRECTORY
from tests.deploy.end_to_end.target import Snapshot, Target

CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {
        "hosts": f"root@{ADDRESSES[NAME]}",
        "acme_directory": DIRECTORY,
        "backup": {"keep": 2},
    },
}


@pytest.fixture(scope="module")
def suite() -> str:
    return "noble"


@pytest.fixture(scope="module")
def targets(target: Target, before: Snapshot) -> list[Target]:
    return [target]


def done(admin: Admin, *words: str) -> str:
    code, said = admin.do(*words)
    assert code == 0, said
    return said


def test_it_serves(admin: Admin, target: Target) -> None:
    done(admin, "apply")
    assert changed(done(admin, "apply")) == []
    assert "running, ready" in done(admin, "status")
    for way in ("udp", "tcp"):
        assert f"A trial call through {way}://{ADDRESSES[NAME]}:3478 worked" in admin.do("doctor").said


def test_the_days_after(admin: Admin, target: Target) -> None:
    assert "the same release as" in done(admin, "restart")
    target.run("systemctl restart calln")
    target.run("systemctl start calln-backup")
    target.reboot()
    target.run("timeout 60 sh -c 'until calln relay stats >/dev/null 2>&1; do sleep 0.2; done'")
    done(admin, "status")


def test_nothing_is_left(admin: Admin, target: Target, before: Snapshot) -> None:
    done(admin, "destroy", "--purge", "--yes")
    marks = [line for line in before.difference(target.snapshot()) if "calln" in line.lower()]
    assert marks in ([], ["+ /var/backups/calln", *(line for line in marks if "/var/backups/calln/" in line)])
