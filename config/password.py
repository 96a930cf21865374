"""The site's lock, from the file with its password and a key that is made once and kept."""

from __future__ import annotations

from config.file import Config
from config.problems import ConfigError
from config.secrets import generated_secret, read_secret_file
from server.web.password import SitePassword, check_password

KEPT = "site.key"  # in the state folder, so that old and new releases take each other's cookies


def lock_of(config: Config) -> SitePassword | None:
    """None where the site is open to all. Raises ConfigError."""
    password = site_password(config)
    if password is None:
        return None
    return SitePassword(password, generated_secret(config.site.state_dir / KEPT)[0])


def site_password(config: Config) -> str | None:
    """What visitors enter. Raises ConfigError."""
    path = config.site.password_file
    if path is None:
        return None
    password = read_secret_file(path).strip()
    try:
        check_password(password)
    except ValueError as wrong:
        raise ConfigError([f"{path}: {wrong}"]) from None
    return password
