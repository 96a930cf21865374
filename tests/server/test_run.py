"""What ends a start is one sentence; a certificate that ends is known."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from host.attempts import Attempts
from host.startup import Unavailable
from server import run
from server.app import WebService, build
from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.run import WebConfig, changed_at_start, periodic_tasks
from server.store.damaged import set_aside_files
from server.store.lasting import LastingStore
from server.store.sqlite import FILE, open_store
from server.web.tls_listener import TlsListener
from tests.host.authority import issued
from tests.ports import free_port
from tests.server.serving import ICE, answering, serving
from tests.turn.faults import TROUBLES, Fault, says


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(listen=(f"127.0.0.1:{taken.getsockname()[1]}",))
        with pytest.raises(Unavailable, match="Address already in use"):
            run.run(WebConfig(Site(state_dir=tmp_path), server, Geo(), ICE))


@pytest.mark.parametrize("content", [None, b"", b"half of an upda"])
def test_a_country_file_that_cannot_be_used_is_said_and_does_without(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        (tmp_path / "x.mmdb").write_bytes(content)
    assert run.open_countries(Geo(database=tmp_path / "x.mmdb")) is None
    [record] = caplog.records
    assert record.getMessage().startswith("visitors have no country until the next start: ")
    assert run.open_countries(Geo()) is None


def test_a_damaged_state_file_does_not_keep_the_page_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    served: list[object] = []

    async def serve_web(service: WebService, *_: object) -> None:
        served.append(service.store.problem)

    monkeypatch.setattr(run, "serve_web", serve_web)
    assert run.run(WebConfig(Site(state_dir=tmp_path), Server(), Geo(), ICE)) == 0
    assert served == [None]
    assert (tmp_path / FILE).read_bytes().startswith(b"SQLite format 3")
    assert len(set_aside_files(tmp_path / FILE)) == 1


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_page_is_served_from_a_disk_that_cannot_be_written(
    read_only_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(listen=(f"127.0.0.1:{free_port()}",))
    config = WebConfig(Site(state_dir=read_only_disk), server, Geo(), ICE)
    store = LastingStore(read_only_disk)
    service = build(config.site, server, ICE, store)
    task = asyncio.create_task(run.serve_web(service, config))
    await answering(server.listen[0].port, task)
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    reasons = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert ["calln.sqlite3" in reasons[0], "server.sock" in reasons[1]] == [True, True]
    assert len(reasons) == 2


STORED = {  # what each periodic task asks the store for
    "the look at visitors and bans": "version",
    "the deletion of old calls and bans": "delete_expired",
    "the deletion of ended bans": "delete_expired",
}


@pytest.mark.parametrize("number", TROUBLES, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("what", STORED)
async def test_no_error_of_the_system_ends_a_periodic_task(
    what: str,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store = open_store(tmp_path)
    tasks = {
        task.what: task for task in periodic_tasks(build(Site(state_dir=tmp_path), Server(), ICE, store))
    }
    assert set(tasks) == set(STORED)
    fault = Fault(monkeypatch, store, STORED[what])
    fault.number = number
    running = asyncio.create_task(Attempts(what, run.log).repeat(0.005, tasks[what].action))
    await fault.met(3)
    fault.number = None
    await says(caplog, f"{what} works again")
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    store.close()
    failed, _ = [record.getMessage() for record in caplog.records]
    name = errno.errorcode[number]
    assert re.fullmatch(rf"{what} failed: \w+ {name} in \w+\.py:\d+; it is tried again", failed)


def test_the_end_of_what_is_shown_is_known(tmp_path: Path) -> None:
    listener = TlsListener([], lambda transport, data, ended: None, lambda kind: None)
    files = {"certificate": tmp_path / "some.pem", "key": tmp_path / "some.key"}
    server = Server.model_validate({"tls_listen": "127.0.0.1:8443", **files})
    run.load_certificate(listener, server)
    assert listener.certificate_ends == 0
    issued(tmp_path, -1, 30)
    run.load_certificate(listener, server)
    assert round((listener.certificate_ends - time.time()) / 86_400) == 30


def test_changes_that_wait_for_a_start_are_named_in_every_section(tmp_path: Path) -> None:
    before = WebConfig(Site(name="One"), Server(), Geo(), ICE)
    now = WebConfig(Site(name="Two"), Server(visitors=7), Geo(database=tmp_path), ICE)
    assert changed_at_start(before, before) == []
    assert set(changed_at_start(before, now)) == {"site.name", "server.visitors", "geo.database"}


async def test_a_reload_takes_other_trusted_networks(tmp_path: Path) -> None:
    async with serving(tmp_path, visitors_per_address=2) as service:
        config = WebConfig(Site(), Server(), Geo(), ICE)
        trusted = config._replace(trusted=(ip_network("127.0.0.0/8"),))
        run.reload(service.web, None, lambda: trusted, config)
        for _ in range(3):
            await service.visitor()
        run.reload(service.web, None, lambda: config, config)
        await service.visitor()
        await service.visitor()
        assert await (await service.browser()).closed() == 4429
