"""The site's password, from its file, and the key that signs cookies, which is made once."""

from __future__ import annotations

from config.file import Config
from config.problems import ConfigError
from config.secrets import generated_secret, read_secret_file
from server.web.password import SitePassword, check_password

KEY_FILE = "site.key"  # in the state folder, so that old and new releases accept each other's cookies


def site_password(config: Config) -> SitePassword | None:
    """The password and the key; None if the site has no password. Raises ConfigError."""
    password = read_site_password(config)
    if password is None:
        return None
    return SitePassword(password, generated_secret(config.site.state_dir / KEY_FILE)[0])


def read_site_password(config: Config) -> str | None:
    """Read the password from its file; None if there is none. Raises ConfigError."""
    path = config.site.password_file
    if path is None:
        return None
    password = read_secret_file(path).strip()
    try:
        check_password(password)
    except ValueError as wrong:
        raise ConfigError([f"{path}: {wrong}"]) from None
    return password
