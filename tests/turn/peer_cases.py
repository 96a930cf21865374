"""The cases of data/peers.yaml, and where an IPv4 address can stand in an IPv6 one."""

from __future__ import annotations

from pathlib import Path

import yaml

PEERS = yaml.safe_load((Path(__file__).parent / "data" / "peers.yaml").read_text())
CARRIERS = {  # where an IPv4 address stands in an IPv6 one
    "mapped": ("00000000000000000000ffff", ""),
    "compatible": ("000000000000000000000000", ""),
    "translated": ("0000000000000000ffff0000", ""),
    "NAT64": ("0064ff9b0000000000000000", ""),
    "local NAT64": ("0064ff9b0001000000000000", ""),
    "6to4": ("2002", "00000000000000000000"),
    "Teredo server": ("20010000", "0000000000000000"),
    "ISATAP": ("260000000000000000005efe", ""),
    "ISATAP, universal": ("260000000000000002005efe", ""),
}
