"""Configurations as operators write them, for the tests of what becomes of them."""

from __future__ import annotations

from pathlib import Path

from deploy.remote.hosts import ConfigFile, Target, parse_config_file, targets
from deploy.remote.render import SecretFiles

SECRET = "canary-secret-0123456789abcdef"
CONTENTS = SecretFiles(f"{SECRET}\n", "canary certificate\n", "canary key\n")

CONFIGS = {
    "one machine": "site: {name: A, url: 'https://call.example.org'}\n",
    "a relay alone": """
site: {url: "https://relay.example.org"}
deploy: {hosts: [{address: root@relay.example.org, roles: turn}], tls: acme}
""",
    "two machines": """
site: {url: 'https://call.example.org'}
deploy:
  hosts:
  - {address: call.example.org, roles: [server]}
  - {address: admin@203.0.113.9, name: turn.example.org, roles: [turn]}
""",
    "private": """
site: {url: 'https://call.lan'}
geo: {database: /usr/share/tor}
deploy: {hosts: me@10.0.0.5, tls: internal, network: private, private_networks: [10.0.0.0/8], offline: true}
""",
    "behind a proxy": """
site: {url: 'https://call.example.org'}
server: {listen: '127.0.0.1:8080', trusted_proxies: 127.0.0.1/32, metrics_listen: '127.0.0.1:9641'}
""",
    "with passwords": """
site: {url: 'https://call.example.org'}
turn: {users: {alice: canary-password}, drain_seconds: 60, limits: {allocations: 0}}
deploy: {firewall: nft}
""",
}


def written(name: str) -> ConfigFile:
    return parse_config_file(CONFIGS[name], Path("calln.yaml"))


def machines(name: str) -> tuple[Target, ...]:
    return targets(written(name).config)
