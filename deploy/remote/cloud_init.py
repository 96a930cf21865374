"""`calln deploy cloud-init`: user data with which a cloud makes a new machine this site, without SSH."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from config.deploy import LOCAL
from config.example import Dumper
from config.file import Config
from config.look import carried
from deploy.remote.hosts import ConfigFile, Target, targets
from deploy.remote.orders import DeployError
from deploy.remote.render import environment

LONGEST_WAIT = 1_920  # seconds: with those before it an hour, for the DNS to know the machine
MAX_BYTES = 16_384  # of user data: AWS takes no more, and others take more
BOTH = ("server", "turn")
URL = re.compile(r"https://[^\s/]+/\S+")
SHA256 = re.compile(r"[0-9a-f]{64}")


def render_user_data(source: ConfigFile, url: str, sha256: str = "") -> str:
    """The user data. Raises DeployError where it could not make such a machine, ConfigError for a bad file.

    Args:
        source: the file of the operator.
        url: where the machine fetches the Debian package.
        sha256: its digest as 64 digits; empty: it is not compared.
    """
    if problems := list(refusals(source, url, sha256)):
        raise DeployError("\n".join(problems))
    fill = environment()
    fill.filters["shell"] = shlex.quote
    text = fill.get_template("cloud-init/user-data.yaml").render(
        config=own_text(source).rstrip(), url=url, sha256=sha256, longest_wait=LONGEST_WAIT
    )
    if len(text.encode()) > MAX_BYTES:
        raise DeployError(
            f"the user data have {len(text.encode())} bytes, but some clouds take only {MAX_BYTES}: leave "
            "site.logo and site.rules_file out, and add them on the machine, in /etc/calln/deploy.yaml"
        )
    return text


def refusals(source: ConfigFile, url: str, sha256: str) -> Iterator[str]:
    """What stands in the way; each says what to do."""
    if not URL.fullmatch(url):
        yield "--package: write the address of calln_VERSION_ARCH.deb, which begins with https://"
    if sha256 and not SHA256.fullmatch(sha256):
        yield "--sha256: write the 64 digits that sha256sum prints for the package"
    machines = targets(source.config)
    if len(machines) != 1:
        yield (
            f"deploy.hosts has {len(machines)} machines, and these share a secret, which user data must not "
            "hold: make them by calln deploy apply"
        )
    if held := list(secrets_in(source.config)):
        yield (
            f"every program of a cloud's machine can read its user data, so {', '.join(held)} must not be in "
            "it: leave it out, and add it on the machine, in /etc/calln/deploy.yaml; then: calln setup"
        )


def secrets_in(config: Config) -> Iterator[str]:
    """The keys that are secrets, or name files that only the operator has."""
    turn, deploy = config.turn, config.deploy
    for key, is_set in (
        ("site.password_file", config.site.password_file),
        ("server.ice_api.token_file", config.server.ice_api.token_file),
        ("turn.secret", turn.secret.get_secret_value()),
        ("turn.secret_file", turn.secret_file),
        ("turn.users", turn.users),
        ("deploy.alert.webhook", deploy.alert.webhook),
        ("deploy.tls: files", deploy.tls == "files"),
        ("deploy.acme_dns_credentials", deploy.acme_dns_credentials),
    ):
        if is_set:
            yield key


def own_text(source: ConfigFile) -> str:
    """The file for the machine itself: it deploys to itself, and has rules and logo in it."""
    values = {name: dict(section) for name, section in copy.deepcopy(dict(source.values)).items()}
    site, deploy = values.setdefault("site", {}), values.setdefault("deploy", {})
    for name in ("rules_file", "logo"):
        site.pop(name, None)
    site |= carried(source.config)
    (target,) = targets(source.config)
    deploy["hosts"] = this_machine(target)
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)


def this_machine(target: Target) -> Any:
    """How `deploy.hosts` writes the machine that the command runs on."""
    if sorted(target.roles) == sorted(BOTH):
        return LOCAL
    return [{"address": LOCAL, "name": target.name, "roles": list(target.roles)}]
