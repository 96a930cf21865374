"""Somebody is told what is not well on a machine: by Debian's mail server there, and by a webhook.

The tests are stages of one story, in order.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.image import ADMIN, fetched
from tests.deploy.end_to_end.network import OUTSIDE
from tests.deploy.end_to_end.target import Target

PORT = 8099
CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {
        "hosts": f"root@{ADDRESSES[NAME]}",
        "tls": "internal",
        "alert": {"mail": f"{ADMIN}@localhost", "webhook": f"http://{OUTSIDE}:{PORT}/hook"},
    },
}
RECEIVER = """
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(sys.argv[3], "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Hook).serve_forever()
"""
WATCH = "systemctl start calln-watch"
SAID = "journalctl --namespace=calln --identifier=calln-watch --output=cat"
MAILS = (
    "timeout 30 sh -c 'until test $(grep -c ^Subject: /var/mail/admin) = {}; do sleep 0.2; done';"
    " cat /var/mail/admin"
)


@pytest.fixture(scope="module")
def told(target: Target, folder: Path) -> Iterator[Path]:
    """What the webhook got, one JSON object a line."""
    file = folder / "told"
    file.touch()
    command = [sys.executable, "-c", RECEIVER, OUTSIDE, str(PORT), str(file)]
    process = subprocess.Popen(target.network.outside(*command), stderr=subprocess.DEVNULL)
    try:
        yield file
    finally:
        process.terminate()
        process.wait()


def watch(target: Target) -> None:
    """At once; it must succeed."""
    target.run(f"{WATCH} || {{ {SAID} >&2; exit 1; }}")


def bodies(told: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.read_text().splitlines()]


def test_what_is_not_well_is_told_once(admin: Admin, target: Target, told: Path) -> None:
    folder = target.root / "root/mail"
    folder.mkdir()
    for package in fetched(target.suite, "exim4-daemon-light"):
        shutil.copy(package, folder)
    target.run("DEBIAN_FRONTEND=noninteractive dpkg --install /root/mail/*.deb")
    assert admin.do("apply").code == 0
    assert target.ask("systemctl is-active calln-watch.timer") == "active"
    watch(target)
    (first,) = bodies(told)
    assert first["machine"] == NAME
    assert any("is a private address" in one["text"] for one in first["begun"])  # of tests
    assert f"Subject: Calln on {NAME}: " in target.run(MAILS.format(1))
    watch(target)
    assert len(bodies(told)) == 1


def test_a_relay_that_is_down_is_told_and_that_it_is_up_again(
    admin: Admin, target: Target, told: Path
) -> None:
    unit = "calln-relay@$(basename $(readlink /opt/calln/current))"
    target.run(f"systemctl stop {unit}")
    watch(target)
    assert any("calln-relay does not run" in one["text"] for one in bodies(told)[-1]["begun"])
    target.run(f"systemctl start {unit}")
    watch(target)
    assert any("calln-relay does not run" in text for text in bodies(told)[-1]["over"])
    assert "does not run" in target.run(MAILS.format(3))
    assert changed(admin.do("apply").said) == []


def test_who_cannot_be_told_now_is_told_later(admin: Admin, target: Target, told: Path) -> None:
    before = len(bodies(told))
    target.run("chmod 000 /usr/sbin/exim4")
    target.run("touch /var/lib/calln/of-root")
    assert target.ssh(WATCH).returncode != 0
    assert f"no mail to {ADMIN}@localhost" in target.run(SAID)
    target.run("chmod 4755 /usr/sbin/exim4")
    watch(target)
    assert len(bodies(told)) == before + 2
    assert "of-root" in target.run(MAILS.format(4))


def test_nobody_is_told_any_more(admin: Admin, target: Target, told: Path) -> None:
    text = admin.file.read_text()
    admin.file.write_text(text[: text.index("  alert:")])
    assert admin.do("apply").code == 0
    assert target.ask("ls /etc/systemd/system /etc/calln").count("watch") == 0
    assert target.ask("systemctl is-active calln-watch.timer") == "inactive"
