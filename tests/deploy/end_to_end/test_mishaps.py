"""What goes wrong while a machine is deployed to: each is told in a sentence, and what served serves on.

The tests are stages of one story, in order.
"""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from tests.deploy.end_to_end.admin import Admin
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.target import Target

CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {"hosts": f"root@{ADDRESSES[NAME]}", "tls": "internal"},
}
SECONDS = 90  # for what takes five on a machine that has nothing else to do
LOOK_SECONDS = 0.1
ROOM = "2g"  # for releases, on a disk of its own, which can be made smaller
SERVING = f"curl --silent --insecure --output /dev/null --write-out '%{{http_code}}' https://{NAME}/"


@pytest.fixture(scope="module")
def targets(target: Target) -> list[Target]:
    target.run(f"mount -t tmpfs -o size={ROOM} releases /opt")
    return [target]


def serves(admin: Admin) -> bool:
    asked = admin.network.outside("sh", "-c", SERVING)
    return subprocess.run(asked, capture_output=True, text=True).stdout == "200"


def current(target: Target) -> str:
    return target.ask("readlink /opt/calln/current")


def changed(admin: Admin) -> None:
    """Another release."""
    admin.change("server/signalling/lobby.py", f"# {time.monotonic()}\n")


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
    assert "Port 80 (tcp) is used by squatter.service" in done.said
    assert target.ask("ls /opt") == ""


def test_an_account_that_may_not_become_root_is_told(admin: Admin, target: Target) -> None:
    target.run(
        "useradd --create-home guest && cp -r /root/.ssh /home/guest/ && chown -R guest /home/guest/.ssh"
    )
    admin.file.write_text(admin.file.read_text().replace("root@", "guest@"))
    done = admin.do("status")
    admin.file.write_text(admin.file.read_text().replace("guest@", "root@"))
    assert done.code != 0
    assert "sudo needs a password for this account. Run this command in a terminal" in done.said


def test_a_terminal_is_asked_for_the_password_of_sudo(admin: Admin, target: Target) -> None:
    target.run("echo 'guest ALL=(ALL) ALL' >/etc/sudoers.d/guest && echo guest:sesame | chpasswd")
    admin.file.write_text(admin.file.read_text().replace("root@", "guest@"))
    right, wrong = (answered(admin, "status", word) for word in ("sesame", "guess"))
    admin.file.write_text(admin.file.read_text().replace("guest@", "root@"))
    assert "current release: none" in right
    assert "Is the password right" in wrong
    assert "sesame" not in right


def answered(admin: Admin, word: str, password: str) -> str:
    """What a command says in a terminal, where the password is typed when it asks."""
    with admin.begin(word, terminal=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = ""
        while not said.endswith("password for sudo: "):
            letter = process.stdout.read(1)
            assert letter, said
            said += letter
        process.stdin.write(f"{password}\n")
        process.stdin.flush()
        rest, _ = process.communicate(timeout=SECONDS)
    return said + rest


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
    assert done.code == 0 or "is working on this machine" in done.said
    assert serves(admin)


def test_a_second_deployment_at_the_same_time_is_told_of_the_first(admin: Admin, target: Target) -> None:
    changed(admin)
    with admin.begin("apply") as process:
        until_order(target, "who")
        done = admin.do("rollback")
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert done.code != 0
    assert "is working on this machine; wait until this is done" in done.said


def resized(target: Target, disk: str, how: str) -> None:
    target.run(f"mount -o remount,{how} {disk}")


@pytest.mark.parametrize(
    ("disk", "how", "back", "says"),
    [
        (
            "/opt",
            "size=$((100 + $(df -m --output=used /opt | tail -1)))m",
            f"size={ROOM}",
            "MiB are free in /opt",
        ),
        (
            "/opt",
            "nr_inodes=$((50 + $(df --output=iused /opt | tail -1)))",
            "nr_inodes=0",
            "the disk is full",
        ),
        ("/tmp", "size=1m", "size=100m", "is /tmp full?"),
    ],
    ids=["too little room", "full while a release is placed", "no room for what is sent"],
)
def test_a_full_disk_is_told_and_what_served_serves_on(
    admin: Admin, target: Target, disk: str, how: str, back: str, says: str
) -> None:
    before = current(target)
    changed(admin)
    resized(target, disk, how)
    done = admin.do("apply")
    resized(target, disk, back)
    assert done.code != 0
    assert says in done.said
    assert (current(target), serves(admin)) == (before, True)
    assert target.run("find /opt/calln/releases -maxdepth 1 -name '.*'") == ""
    assert admin.do("apply").code == 0
    assert (current(target) != before, serves(admin)) == (True, True)


def test_a_release_that_was_begun_by_a_run_that_ended_is_placed_anew(admin: Admin, target: Target) -> None:
    changed(admin)
    planned = admin.do("plan").said
    release = planned.partition("Add the release ")[2].partition(".\n")[0].split(":")[0]
    target.run(f"mkdir -p /opt/calln/releases/.{release} && touch /opt/calln/releases/.{release}/half")
    assert admin.do("apply").code == 0
    assert current(target).endswith(release)
    assert target.run(f"ls -A /opt/calln/releases/{release}/half 2>/dev/null || echo none") == "none"
