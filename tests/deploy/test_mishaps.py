"""What goes wrong while a machine is deployed to: each is told in a sentence, and what served serves on.

The tests are stages of one story, in order.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.admin import Admin
from tests.deploy.conftest import ADDRESSES, NAME
from tests.deploy.pebble import Pebble
from tests.deploy.target import Target

CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {"hosts": f"root@{ADDRESSES[NAME]}", "tls": "internal"},
}
SECONDS = 90  # for what takes five on a machine that has nothing else to do
LOOK_SECONDS = 0.1
SERVING = f"curl --silent --insecure --output /dev/null --write-out '%{{http_code}}' https://{NAME}/"


@pytest.fixture(scope="module")
def admin(target: Target, pebble: Pebble, key: Path, folder: Path) -> Admin:
    admin = Admin(target.network, folder, pebble.root)
    admin.open([target], key, CONFIG)
    return admin


def serves(admin: Admin) -> bool:
    asked = admin.network.outside("sh", "-c", SERVING)
    return subprocess.run(asked, capture_output=True, text=True).stdout == "200"


def current(target: Target) -> str:
    return target.ask("readlink /opt/calln/current")


def changed(admin: Admin) -> None:
    """Another release."""
    admin.change("server/lobby.py", f"# {time.monotonic()}\n")


def until_order(target: Target, word: str) -> None:
    """Until somebody works there, as its lock says."""
    end = time.monotonic() + SECONDS
    while word not in target.ask("cat /run/calln-deploy.lock"):
        assert time.monotonic() < end
        time.sleep(LOOK_SECONDS)


def test_a_port_that_is_taken_is_named_with_who_has_it(admin: Admin, target: Target) -> None:
    target.run("systemd-run --quiet --unit=squatter python3 -m http.server 80")
    done = admin.do("apply")
    target.run("systemctl stop squatter")
    assert done.code != 0
    assert "Port 80 (tcp) is taken by squatter.service" in done.said
    assert target.ask("ls /opt") == ""


def test_an_account_that_may_not_become_root_is_told(admin: Admin, target: Target) -> None:
    target.run(
        "useradd --create-home guest && cp -r /root/.ssh /home/guest/ && chown -R guest /home/guest/.ssh"
    )
    admin.file.write_text(admin.file.read_text().replace("root@", "guest@"))
    done = admin.do("status")
    admin.file.write_text(admin.file.read_text().replace("guest@", "root@"))
    assert done.code != 0
    assert "may not become root" in done.said


def test_a_line_that_breaks_in_the_middle_leaves_the_machine_to_its_work(
    admin: Admin, target: Target
) -> None:
    assert admin.do("apply").code == 0
    first = current(target)
    changed(admin)
    with admin.begin("apply") as process:
        until_order(target, "who")
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + SECONDS
    while current(target) == first:
        assert time.monotonic() < end
        time.sleep(LOOK_SECONDS)
    done = admin.do("apply")
    assert done.code == 0 or "works on this machine" in done.said
    assert serves(admin)


def test_a_second_deployment_at_the_same_time_is_told_of_the_first(admin: Admin, target: Target) -> None:
    changed(admin)
    with admin.begin("apply") as process:
        until_order(target, "who")
        done = admin.do("rollback")
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert done.code != 0
    assert "works on this machine; wait until that is done" in done.said
