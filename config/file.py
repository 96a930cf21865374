"""The configuration file: read, checked, and given as one model with a section for each part."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from config.deploy import Deploy
from config.problems import ConfigError, explain, is_consequence
from config.yaml_text import compose, read_text
from server.config.geo import Geo
from server.config.server import Server
from server.config.site import Site
from server.web.look import DATA
from turn.config.section import Turn

LOCAL = "turn: {listen: ['127.0.0.1:3478', '[::1]:3478']}"  # without a file, everything stays on this machine


class Config(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: Site = Site()
    server: Server = Server()
    turn: Turn = Turn()
    geo: Geo = Geo()
    deploy: Deploy = Deploy()

    @model_validator(mode="after")
    def need_an_https_address(self) -> Config:
        if self.server.tls_listen and self.site.url and self.site.url.startswith("http://"):
            raise ValueError("server.tls_listen is set, so site.url must begin with https://")
        return self


def load_config(path: Path | None) -> Config:
    """Read and check a file. None means the defaults, for this machine only.

    Raises ConfigError with every problem found.
    """
    return parse_config(read_text(path), path) if path else parse_config(LOCAL, Path("defaults"))


def parse_config(text: str, path: Path) -> Config:
    """Check the text of a configuration; `path` is its name, and relative paths begin in its folder."""
    root, values = compose(text, path)
    if isinstance(values, dict):  # None: all keys of the section are commented out
        values = {name: value for name, value in values.items() if value is not None}
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems = [problem for problem in error.errors() if not is_consequence(problem)]
        raise ConfigError([explain(problem, root, path, Config) for problem in problems]) from None
    return anchor_paths(config, path.parent)


def anchor_paths(config: Config, folder: Path) -> Config:
    """The same configuration with relative paths made absolute, from the folder of the file."""
    turn, geo, server = config.turn, config.geo, config.server
    site = config.site.model_copy(update={"state_dir": folder / config.site.state_dir})
    if site.password_file:
        site = site.model_copy(update={"password_file": folder / site.password_file})
    if site.rules_file:
        site = site.model_copy(update={"rules_file": folder / site.rules_file})
    if site.logo and not site.logo.startswith(DATA):
        site = site.model_copy(update={"logo": str(folder / site.logo)})
    files = {name: getattr(turn, name) for name in ("secret_file", "certificate", "key")}
    turn = turn.model_copy(update={name: folder / path for name, path in files.items() if path})
    files = {name: getattr(server, name) for name in ("certificate", "key", "acme_dir")}
    server = server.model_copy(update={name: folder / path for name, path in files.items() if path})
    if token_file := server.ice_api.token_file:
        ice_api = server.ice_api.model_copy(update={"token_file": folder / token_file})
        server = server.model_copy(update={"ice_api": ice_api})
    if geo.database:
        geo = geo.model_copy(update={"database": folder / geo.database})
    sections = {"site": site, "server": server, "turn": turn, "geo": geo}
    return config.model_copy(update={**sections, "deploy": anchor_deploy_paths(config.deploy, folder)})


def anchor_deploy_paths(deploy: Deploy, folder: Path) -> Deploy:
    """The same for the files of the `deploy:` section."""
    files = {name: getattr(deploy, name) for name in ("certificate", "key", "acme_dns_credentials")}
    hosts = tuple(
        host.model_copy(update={"key": folder / host.key}) if host.key else host for host in deploy.hosts
    )
    paths = {name: folder / path for name, path in files.items() if path}
    return deploy.model_copy(update={**paths, "hosts": hosts})
