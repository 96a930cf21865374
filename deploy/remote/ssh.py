"""Carries orders to a machine, over SSH or on the spot, with pyinfra's connectors. Loaded only when a command
needs it: who just serves does not have pyinfra.

An order is the program that stands in deploy/agent and a JSON object on its standard input. So one round
carries everything, and a line that breaks in the middle leaves a program that goes on to its end.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import io
import json
import logging
import secrets
import shlex
import socket
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host as Way
from pyinfra.api.inventory import Inventory
from pyinfra.api.output import set_echo
from pyinfra.api.state import State

from config.deploy import Host
from deploy.remote.orders import Unreachable

AGENT = Path(__file__).parents[1] / "agent"
CONNECT_SECONDS = 10
UPLOADS = "/tmp"  # noqa: S108  # an archive under a name by chance; root reads it once and compares its hash
START = (  # the program comes as a zip file in one line of standard input, the order in the next
    "import sys;sys.version_info<(3,9) and sys.exit('its python3 is too old; Debian 12 or 13 is needed');"
    "import base64,json,tempfile;"
    "f=tempfile.NamedTemporaryFile(suffix='.zip');"
    "f.write(base64.b64decode(sys.stdin.readline()));f.flush();"
    "sys.path.insert(0,f.name);sys.dont_write_bytecode=True;"
    "from deploy.agent import main;"
    "sys.exit(main.main(json.loads(sys.stdin.readline())))"
)

Say = Callable[[str], None]


# What pyinfra says of a failed connection, and what the reader can do about it; {host} is as the file has it.
ADVICE = (
    ("No host key for", ""),
    (
        "does not match",
        "its SSH host key is another than known_hosts says: if the machine was made anew, run ssh-keygen -R "
        "{name}; if not, somebody is in between",
    ),
    ("Authentication", "it does not take this key: try ssh {host}, and name the key's file in deploy.hosts"),
    ("No authentication methods", "no SSH key was found: name its file in deploy.hosts, or start ssh-agent"),
    ("No such private key", "the key's file is not there: see key in deploy.hosts"),
    ("Invalid private key", "that file is no private SSH key: see key in deploy.hosts"),
    ("is encrypted", "the SSH key has a password: ssh-add it first"),
    ("Could not resolve", "there is no such name in the DNS: see deploy.hosts"),
    ("", "no SSH answers there: is the machine up, the address right, and its port open?"),
)


class Machine:
    """A machine that can be given orders as root."""

    def __init__(self, host: Host, way: Way) -> None:
        self.host = host
        self.host_connection = way
        self.as_root: dict[str, Any] = {}

    def __str__(self) -> str:
        return str(self.host.address) if not self.host.is_local else "this machine"

    def become_root(self) -> None:
        """Raises Unreachable."""
        if self.shell("test $(id -u) = 0")[0]:
            return
        self.as_root = {"_sudo": True}
        if self.shell("sudo -n true >/dev/null 2>&1")[0]:  # silent, or pyinfra would ask for the password
            return
        if not sys.stdin.isatty():
            raise Unreachable(
                f"{self}: this account may not become root without a password: log in as root, run this in a "
                "terminal, which asks for the password, or write NOPASSWD for it in /etc/sudoers.d"
            )
        self.as_root["_sudo_password"] = getpass.getpass(f"{self}: password for sudo: ")
        if not self.shell("true", **self.as_root)[0]:
            raise Unreachable(
                f"{self}: sudo did not take that password: is it right, is sudo there, and may this account "
                "use it? Or log in as root"
            )

    def shell(self, command: str, **how: Any) -> tuple[bool, list[str], list[str]]:
        """Whether it went well, and what it said on both outputs. Raises Unreachable."""
        try:
            well, said = self.host_connection.run_shell_command(StringCommand(command), **how)
        except (OSError, EOFError, paramiko.SSHException, PyinfraError, TimeoutError) as problem:
            raise Unreachable(
                f"{self}: the line broke ({problem or type(problem).__name__}); what was under way there "
                "goes on or is undone by itself; run this command again"
            ) from None
        return well, said.stdout_lines, said.stderr_lines

    def order(self, order: dict[str, Any], *, aloud: bool = False) -> tuple[bool, list[str], list[str]]:
        """Have deploy/agent do something; `aloud` passes on each line that it says. Raises Unreachable."""
        words = "python3 -I -c " + shlex.quote(START)
        given = [agent_archive(), json.dumps(order)]
        return self.shell(words, _stdin=given, print_output=aloud, **self.as_root)

    def query(self, order: dict[str, Any]) -> Any:
        """The answer's JSON. Raises Unreachable."""
        well, said, wrong = self.order(order)
        if not well or not said:
            raise Unreachable(f"{self}: {wrong[-1] if wrong else 'it gave no answer; is python3 installed?'}")
        return json.loads(said[-1])

    def upload(self, file: Path) -> tuple[str, str]:
        """Put a file there: its place and its SHA-256. Raises Unreachable."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        place = f"{UPLOADS}/calln-{secrets.token_hex(8)}"
        try:
            if self.host_connection.put_file(str(file), place):
                return place, digest
        except (OSError, EOFError, paramiko.SSHException, PyinfraError) as problem:
            raise Unreachable(f"{self}: the release did not arrive ({problem}); is {UPLOADS} full?") from None
        raise Unreachable(f"{self}: the release did not arrive; is {UPLOADS} full?")

    def close(self) -> None:
        self.host_connection.disconnect()


def open_machine(host: Host, *, accept: bool = False) -> Machine:
    """Connect and become root; `accept` takes and keeps a host key that is not known. Raises Unreachable."""
    logging.getLogger("pyinfra").setLevel(logging.CRITICAL + 1)  # what matters is told in our own words
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    name = "@local" if host.is_local else host.address.address
    inventory = Inventory(([(name, connection_data(host, accept=accept))], {}))  # type: ignore[no-untyped-call]
    state = State(inventory, Config(CONNECT_TIMEOUT=CONNECT_SECONDS))  # type: ignore[no-untyped-call]
    way = state.inventory.get_host(name)
    if accept:
        Path("~/.ssh").expanduser().mkdir(mode=0o700, exist_ok=True)
    try:
        way.connect(show_errors=False, raise_exceptions=True)
    except (ConnectError, PyinfraError, OSError, EOFError) as problem:
        raise Unreachable(f"{host.address}: {advice(str(problem), host)}") from None
    line = Machine(host, way)
    line.become_root()
    return line


def connection_data(host: Host, *, accept: bool) -> dict[str, Any]:
    """In pyinfra's words."""
    if host.is_local:
        return {}
    said: dict[str, Any] = {
        "ssh_user": host.address.user,
        "ssh_port": host.address.port,
        "ssh_strict_host_key_checking": "accept-new" if accept else "yes",
    }
    return {**said, "ssh_key": str(host.key)} if host.key else said


def advice(problem: str, host: Host) -> str:
    known = next(words for sign, words in ADVICE if sign in problem)
    if not known:
        return (
            f"its SSH host key is not known here. It shows {fingerprint(host)}; compare that with what the "
            "machine itself says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then go on with "
            "--accept-host-key"
        )
    return known.format(host=host.address, name=host.address.address)


def fingerprint(host: Host) -> str:
    """As ssh writes it."""
    try:
        with (
            socket.create_connection((host.address.address, host.address.port), CONNECT_SECONDS) as plain,
            paramiko.Transport(plain) as transport,
        ):
            transport.start_client(timeout=CONNECT_SECONDS)
            key = transport.get_remote_server_key()
    except (OSError, EOFError, paramiko.SSHException):
        return "one that only your ssh can fetch (it goes by way of another machine)"
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def agent_archive() -> str:
    """deploy/agent as a zip file, in one line."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("deploy/__init__.py", b"")
        for path in sorted(AGENT.glob("*.py")):
            packed.writestr(f"deploy/agent/{path.name}", path.read_bytes())
    return base64.b64encode(file.getvalue()).decode()


def set_output(say: Say) -> None:
    """Where the lines of an order that is given aloud go; each begins with the machine's name in brackets."""
    set_echo(lambda message=None, **_: say(str(message)))
