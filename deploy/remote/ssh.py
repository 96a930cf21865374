"""Sends orders to a machine over SSH, or to this machine directly, with the connectors of pyinfra.

Loaded only for commands that need it: a machine that only serves does not have pyinfra. An order is the
program in deploy/agent and a JSON object, both on standard input. So one connection is enough, and if it
breaks in the middle, the program on the machine still goes on to its end.
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
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.inventory import Inventory
from pyinfra.api.output import set_echo
from pyinfra.api.state import State

from config.deploy import Host
from deploy.remote.orders import Unreachable

AGENT = Path(__file__).parents[1] / "agent"
CONNECT_SECONDS = 10
UPLOADS = "/tmp"  # noqa: S108  # the archive has a random name; root reads it once and compares its hash
READ_ON = "{ code=$?; cat >/dev/null; exit $code; }"  # where there is no python3, too, what is said is heard
START = (  # standard input: the program as a zip file in one line, then the order in the next line
    "import sys;sys.version_info<(3,9) and "
    "sys.exit('its python3 is too old; Debian 12 or 13 or Ubuntu 24.04 is needed');"
    "import base64,json,tempfile;"
    "f=tempfile.NamedTemporaryFile(suffix='.zip');"
    "f.write(base64.b64decode(sys.stdin.readline()));f.flush();"
    "sys.path.insert(0,f.name);sys.dont_write_bytecode=True;"
    "from deploy.agent import main;"
    "sys.exit(main.main(json.loads(sys.stdin.readline())))"
)

Say = Callable[[str], None]


# A part of pyinfra's message for a failed connection -> what to do; {host} is the host as in the file.
ADVICE = (
    ("No host key for", ""),
    (
        "does not match",
        "its SSH host key is not the one in known_hosts. If the machine was installed anew, run ssh-keygen "
        "-R {name}. If not, somebody may intercept the connection",
    ),
    (
        "Authentication",
        "the machine refused the SSH key: try ssh {host}, and write the file of the right key into "
        "deploy.hosts",
    ),
    (
        "No authentication methods",
        "no SSH key was found: write its file into deploy.hosts, or start ssh-agent",
    ),
    ("No such private key", "the file of the SSH key does not exist: correct key in deploy.hosts"),
    ("Invalid private key", "this file is not a private SSH key: correct key in deploy.hosts"),
    ("is encrypted", "the SSH key has a passphrase: run ssh-add first"),
    ("Could not resolve", "this name is not in the DNS: correct deploy.hosts"),
    ("", "SSH does not answer: is the machine running, the address right, and the port open?"),
)


class Machine:
    """A machine that carries out orders as root."""

    def __init__(self, host: Host, connection: PyinfraHost) -> None:
        self.host = host
        self.connection = connection
        self.as_root: dict[str, Any] = {}

    def __str__(self) -> str:
        return str(self.host.address) if not self.host.is_local else "this machine"

    def become_root(self) -> None:
        """Use sudo if the account is not root. Raises Unreachable."""
        if self.shell("test $(id -u) = 0")[0]:
            return
        self.as_root = {"_sudo": True}
        if self.shell("sudo -n true >/dev/null 2>&1")[
            0
        ]:  # without output, or pyinfra would ask for the password
            return
        if not sys.stdin.isatty():
            raise Unreachable(
                f"{self}: sudo needs a password for this account. Run this command in a terminal, log in as "
                "root, or allow sudo without a password (NOPASSWD) in /etc/sudoers.d"
            )
        self.as_root["_sudo_password"] = getpass.getpass(f"{self}: password for sudo: ")
        if not self.shell("true", **self.as_root)[0]:
            raise Unreachable(
                f"{self}: sudo failed. Is the password right, is sudo installed, and may this account use "
                "it? Or log in as root"
            )

    def shell(self, command: str, **how: Any) -> tuple[bool, list[str], list[str]]:
        """Run a command: whether it succeeded, and the lines of both outputs. Raises Unreachable."""
        try:
            well, said = self.connection.run_shell_command(StringCommand(command), **how)
        except (OSError, EOFError, paramiko.SSHException, PyinfraError, TimeoutError) as problem:
            raise Unreachable(
                f"{self}: the connection broke ({problem or type(problem).__name__}). The machine finishes "
                "the step that it was doing; run this command again"
            ) from None
        return well, said.stdout_lines, said.stderr_lines

    def order(self, order: dict[str, Any], *, aloud: bool = False) -> tuple[bool, list[str], list[str]]:
        """Let the agent do something; `aloud` prints its lines as they come. Raises Unreachable."""
        words = f"python3 -I -c {shlex.quote(START)} || {READ_ON}"
        given = [agent_archive(), json.dumps(order)]
        return self.shell(words, _stdin=given, print_output=aloud, **self.as_root)

    def query(self, order: dict[str, Any]) -> Any:
        """The JSON of the answer. Raises Unreachable."""
        well, said, wrong = self.order(order)
        if not well or not said:
            if any("python3" in line and "not found" in line for line in wrong):
                raise Unreachable(f"{self}: python3 is missing there; on that machine: apt install python3")
            raise Unreachable(f"{self}: {wrong[-1] if wrong else 'no answer; is python3 installed?'}")
        return json.loads(said[-1])

    def upload(self, file: Path) -> tuple[str, str]:
        """Copy a file to the machine: its path there and its SHA-256. Raises Unreachable."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        place = f"{UPLOADS}/calln-{secrets.token_hex(8)}"
        try:
            if self.connection.put_file(str(file), place):
                return place, digest
        except (OSError, EOFError, paramiko.SSHException, PyinfraError) as problem:
            raise Unreachable(
                f"{self}: the release could not be copied ({problem}); is {UPLOADS} full?"
            ) from None
        raise Unreachable(f"{self}: the release could not be copied; is {UPLOADS} full?")

    def close(self) -> None:
        self.connection.disconnect()


def open_machine(host: Host, *, accept: bool = False) -> Machine:
    """Connect and become root; `accept` remembers an unknown host key. Raises Unreachable."""
    logging.getLogger("pyinfra").setLevel(logging.CRITICAL + 1)  # our own messages say what matters
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    name = "@local" if host.is_local else host.address.address
    inventory = Inventory(([(name, connection_data(host, accept=accept))], {}))  # type: ignore[no-untyped-call]
    state = State(inventory, Config(CONNECT_TIMEOUT=CONNECT_SECONDS))  # type: ignore[no-untyped-call]
    connection = state.inventory.get_host(name)
    if accept:
        Path("~/.ssh").expanduser().mkdir(mode=0o700, exist_ok=True)
    try:
        connection.connect(show_errors=False, raise_exceptions=True)
    except (ConnectError, PyinfraError, OSError, EOFError) as problem:
        raise Unreachable(f"{host.address}: {advice(str(problem), host)}") from None
    machine = Machine(host, connection)
    machine.become_root()
    return machine


def connection_data(host: Host, *, accept: bool) -> dict[str, Any]:
    """The connection, as pyinfra wants it."""
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
            f"its SSH host key is not known. It is {fingerprint(host)}. Compare it with the output of this "
            "command on the machine: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. If both are equal, "
            "repeat this with --accept-host-key"
        )
    return known.format(host=host.address, name=host.address.address)


def fingerprint(host: Host) -> str:
    """The host key of the machine, as ssh shows it."""
    try:
        with (
            socket.create_connection((host.address.address, host.address.port), CONNECT_SECONDS) as plain,
            paramiko.Transport(plain) as transport,
        ):
            transport.start_client(timeout=CONNECT_SECONDS)
            key = transport.get_remote_server_key()
    except (OSError, EOFError, paramiko.SSHException):
        return "unknown, because only ssh itself can reach the machine through a jump host"
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def agent_archive() -> str:
    """deploy/agent as a zip file, in one line of base64."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("deploy/__init__.py", b"")
        for path in sorted(AGENT.glob("*.py")):
            packed.writestr(f"deploy/agent/{path.name}", path.read_bytes())
    return base64.b64encode(file.getvalue()).decode()


def set_output(say: Say) -> None:
    """The function that gets the lines of loud orders; each line begins with the machine in brackets."""
    set_echo(lambda message=None, **_: say(str(message)))
