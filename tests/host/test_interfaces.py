"""The addresses of interfaces, as this machine has them."""

from __future__ import annotations

import json
import subprocess
from ipaddress import ip_address

from host.interfaces import interface_addresses


def test_they_are_those_that_the_system_shows() -> None:
    shown = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    expected = {ip_address(one["local"]) for interface in shown for one in interface.get("addr_info", ())}
    assert expected == set(interface_addresses())
    assert ip_address("127.0.0.1") in expected
