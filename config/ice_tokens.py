"""The tokens of other web applications, from their file."""

from __future__ import annotations

from config.file import Config
from config.problems import ConfigError
from config.secrets import read_secret_file
from server.web.tokens import Tokens, check_token


def ice_tokens(config: Config) -> Tokens | None:
    """The tokens that are right; None if other applications get nothing. Raises ConfigError."""
    lines = read_ice_tokens(config)
    return Tokens(lines) if lines else None


def read_ice_tokens(config: Config) -> tuple[str, ...]:
    """The lines of the file, each a token; none if there is no file. Raises ConfigError."""
    path = config.server.ice_api.token_file
    if path is None:
        return ()
    lines = [line.strip() for line in read_secret_file(path).splitlines() if line.strip()] or [""]
    try:
        return tuple(check_token(line) for line in lines)
    except ValueError as wrong:
        raise ConfigError([f"{path}: {wrong}"]) from None
