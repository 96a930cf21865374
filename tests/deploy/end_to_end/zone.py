"""Knot, a DNS server that takes changes from who has a key (RFC 2136), and an authority that asks it."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

from tests.deploy.end_to_end.network import OUTSIDE
from tests.deploy.end_to_end.pebble import DIRECTORY, PORT, ROOTS, Pebble

DNS_PORT, NEXT = 5300, 3  # the authority's ports are so many above those of the first one
CONFIG = """
server:
  rundir: {folder}
  user: root
  listen: {host}@{port}
database:
  storage: {folder}
key:
- id: certbot
  algorithm: hmac-sha512
  secret: {secret}
acl:
- id: certbot
  key: certbot
  action: update
zone:
- domain: {zone}
  storage: {folder}
  file: zone
  acl: certbot
"""
ZONE = """$ORIGIN {zone}.
$TTL 1
@ SOA ns hostmaster 1 60 60 600 1
@ NS ns
ns A {host}
"""
CREDENTIALS = """dns_rfc2136_server = {host}
dns_rfc2136_port = {port}
dns_rfc2136_name = certbot.
dns_rfc2136_algorithm = HMAC-SHA512
dns_rfc2136_secret = {secret}
"""


def open_zone(pebble: Pebble, folder: Path, zone: str) -> tuple[str, str]:
    """The authority's directory, and the file that certbot's plugin reads."""
    folder.mkdir()
    values = {
        "folder": folder,
        "host": OUTSIDE,
        "port": DNS_PORT,
        "zone": zone,
        "secret": base64.b64encode(secrets.token_bytes(64)).decode(),
    }
    (folder / "zone").write_text(ZONE.format(**values))
    (folder / "knot.conf").write_text(CONFIG.format(**values))
    settings = json.loads((pebble.folder / "pebble.json").read_text())
    settings["pebble"] |= {
        "listenAddress": f"{OUTSIDE}:{PORT + NEXT}",
        "managementListenAddress": f"{OUTSIDE}:{ROOTS + NEXT}",
        "httpPort": 1,  # nobody answers there
        "tlsPort": 1,
    }
    (folder / "pebble.json").write_text(json.dumps(settings))
    pebble.begin("knotd", "--config", str(folder / "knot.conf"))
    pebble.begin("pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"{OUTSIDE}:{DNS_PORT}")
    return DIRECTORY.replace(str(PORT), str(PORT + NEXT)), CREDENTIALS.format(**values)
