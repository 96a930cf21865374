"""What the operator's files hold for the page: rules and logo. Read when the server starts."""

from __future__ import annotations

from pathlib import Path

from config.file import Config
from config.problems import ConfigError, file_problem
from server.web.look import DATA, Look, as_data, from_data, logo_suffix
from server.web.rules import MAX_RULES, check_rules


def read_look(config: Config) -> Look:
    """The rules and the logo of the site. Raises ConfigError."""
    return Look(read_rules(config), read_logo(config))


def carried(config: Config) -> dict[str, str]:
    """The same as values of the `site:` section, for a machine that does not have the files.

    Raises ConfigError.
    """
    look = read_look(config)
    values = {"rules": look.rules, "logo": as_data(look.logo) if look.logo else ""}
    return {name: value for name, value in values.items() if value}


def read_rules(config: Config) -> str:
    path, rules = config.site.rules_file, config.site.rules
    if path is None and not rules:
        return ""
    try:
        text = read_start(path, 4 * MAX_RULES).decode("utf-8") if path else rules
        check_rules(text)
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: the rules are not UTF-8 text"]) from None
    except ValueError as wrong:
        raise ConfigError([f"{path or 'site.rules'}: {wrong}"]) from None
    return text


def read_logo(config: Config) -> bytes:
    where = config.site.logo
    if not where:
        return b""
    try:
        logo = from_data(where) if where.startswith(DATA) else read_start(Path(where), 1 << 20)
        logo_suffix(logo)
    except ConfigError:
        raise
    except ValueError as wrong:
        name = "site.logo" if where.startswith(DATA) else where
        raise ConfigError([f"{name}: {wrong}"]) from None
    return logo


def read_start(path: Path, most: int) -> bytes:
    """A file, or of one that is far too large only the beginning. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise file_problem(path, error) from None
