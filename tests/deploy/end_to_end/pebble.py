"""Debian's pebble, an ACME authority for tests, and the name server that all in the network ask."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.end_to_end.network import OUTSIDE, Network
from tests.interop.certificates import AUTHORITY, request

NAME = "acme.test"
PORT, ROOTS, NAMES = 14000, 15000, 8055
DIRECTORY = f"https://{NAME}:{PORT}/dir"
PATIENCE = 20.0  # seconds
SETTINGS = {
    "listenAddress": f"{OUTSIDE}:{PORT}",
    "managementListenAddress": f"{OUTSIDE}:{ROOTS}",
    "httpPort": 80,
    "tlsPort": 443,
    "externalAccountBindingRequired": False,
}


class Pebble:
    """Its certificate comes from `trust`; what it issues, for years or for `days`, from a root of its own."""

    def __init__(self, network: Network, folder: Path, days: int | None = None) -> None:
        self.network, self.folder, self.days = network, folder, days
        self.trust, self.root = folder / "trust.pem", folder / "root.pem"
        self.processes: list[subprocess.Popen[bytes]] = []

    def open(self, names: Mapping[str, str]) -> None:
        """`names` are addresses by name; any other name leads here."""
        chain, key, authority = (self.folder / name for name in ("chain.pem", "key.pem", "authority.key"))
        request("an authority's authority", AUTHORITY, self.trust, authority)
        own = ("basicConstraints=critical,CA:FALSE", f"subjectAltName=DNS:{NAME}")
        request(NAME, own, chain, key, "-CA", str(self.trust), "-CAkey", str(authority))
        settings = {**SETTINGS, "certificate": str(chain), "privateKey": str(key)}
        if self.days is not None:
            settings["certificateValidityPeriod"] = self.days * 86_400
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        none = ("-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "")
        self.begin(
            *("pebble-challtestsrv", "-dns01", f"{OUTSIDE}:53", "-management", f"127.0.0.1:{NAMES}"),
            *("-defaultIPv4", OUTSIDE, *none),
        )
        self.begin("pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", f"{OUTSIDE}:53")
        for name, address in names.items():
            said = json.dumps({"host": name, "addresses": [address]})
            self.fetch(f"http://127.0.0.1:{NAMES}/add-a", "--data", said)
        self.root.write_text(self.fetch(f"https://{NAME}:{ROOTS}/roots/0", "--cacert", str(self.trust)))

    def begin(self, *command: str) -> None:
        # Without these it would wait before it looks, and refuse some good nonces on purpose.
        calm = ["env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"]
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            words = self.network.outside(*calm, *command)
            self.processes.append(subprocess.Popen(words, stdout=log, stderr=log))

    def fetch(self, url: str, *words: str) -> str:
        patience = ("--retry", "20", "--retry-connrefused", "--retry-delay", "0", "--max-time", str(PATIENCE))
        command = self.network.outside("curl", "--silent", "--show-error", "--fail", *patience, *words, url)
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
