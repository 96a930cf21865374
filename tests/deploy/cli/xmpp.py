"""Prosody and ejabberd as people run them, and a client that asks them for relays (XEP-0215)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.ports import free_port

PATIENCE = 60.0
SERVICES = "urn:xmpp:extdisco:2"
STREAM = (
    "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)

PROSODY = """
run_as_root = true
modules_enabled = {{ "saslauth", "external_services" }}
modules_disabled = {{ "s2s", "offline", "tls" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_require_encryption = false
authentication = "anonymous"
data_path = "{folder}"
log = {{ warn = "{folder}/log" }}
{lines}
VirtualHost "localhost"
"""

EJABBERD = """
hosts: [localhost]
loglevel: warning
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s}}
auth_method: [anonymous]
anonymous_protocol: sasl_anon
acl: {{local: {{user_regexp: ""}}}}
access_rules: {{local: {{allow: local}}}}
{lines}
"""


def prosody(folder: Path, port: int, lines: str) -> list[str]:
    """Its command, after its file was written."""
    file = folder / "prosody.cfg.lua"
    file.write_text(PROSODY.format(folder=folder, port=port, lines=lines))
    return ["prosody", "--config", str(file), "-F"]


def ejabberd(folder: Path, port: int, lines: str) -> list[str]:
    file = folder / "ejabberd.yml"
    file.write_text(EJABBERD.format(port=port, lines=textwrap.dedent(lines)))
    shutil.chown(folder, "ejabberd")
    file.chmod(0o644)
    nobody = ["setpriv", "--reuid=ejabberd", "--regid=ejabberd", "--clear-groups"]
    flags = [
        "--ctl-config",
        "none",
        "--config",
        file,
        "--config-dir",
        folder,
        "--logs",
        folder,
        "--spool",
        folder,
    ]
    return [*nobody, "ejabberdctl", *map(str, flags), "foreground-quiet"]


MAKERS = {"prosody": prosody, "ejabberd": ejabberd}


@asynccontextmanager
async def running(name: str, lines: str) -> AsyncIterator[int]:
    """One of them at work with these lines in its configuration; its port. ejabberd is another user then, so
    it has a folder that everybody may read."""
    port, quiet = free_port(), asyncio.subprocess.DEVNULL
    with TemporaryDirectory(prefix="calln-xmpp-") as folder:
        Path(folder).chmod(0o755)
        command = MAKERS[name](Path(folder), port, lines)
        alone = {**os.environ, "ERL_DIST_PORT": str(free_port()), "HOME": folder}  # no daemon of Erlang
        process = await asyncio.create_subprocess_exec(
            *command, stdout=quiet, stderr=quiet, stdin=quiet, env=alone, start_new_session=True
        )
        try:
            yield port
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                await process.wait()


class Client:
    """A visitor without an account."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, text: str, end: str) -> str:
        self.writer.write(text.encode())
        return (await self.reader.readuntil(end.encode())).decode()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def log_in(self) -> None:
        await self.ask(STREAM, "</stream:features>")
        await self.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>", "<success")
        await self.ask(STREAM, "</stream:features>")
        await self.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")

    async def services(self) -> list[dict[str, str]]:
        """The attributes of each service that the server names."""
        said = await self.ask(
            f"<iq type='get' id='s' to='localhost'><services xmlns='{SERVICES}'/></iq>", "</iq>"
        )
        found = ElementTree.fromstring(said[said.index("<iq") :])  # of a server that we started
        return [dict(each.attrib) for each in found.iter(f"{{{SERVICES}}}service")]


async def connect(port: int) -> Client:
    """Raises TimeoutError where the server does not start."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return Client(*await asyncio.open_connection("127.0.0.1", port))
            except OSError:
                await asyncio.sleep(0.1)
