"""The secret that server and relay share, and the other secrets in files."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from config.file import Config, load_config
from config.problems import ConfigError, file_problem
from turn.config.values import check_secret
from turn.service.from_config import RelayConfig

SECRET_VARIABLE = "CALLN_TURN_SECRET"  # noqa: S105  # the name of a variable, no secret


def relay_config(path: Path | None) -> RelayConfig:
    """The configuration of the relay, for its start and each reload. Raises ConfigError."""
    config = load_config(path)
    return RelayConfig(config.turn, turn_secrets(config))


def turn_secret(config: Config) -> bytes:
    """The secret for new credentials. Raises ConfigError."""
    return turn_secrets(config)[0]


def turn_secrets(config: Config) -> list[bytes]:
    """The secrets that server and relay share: from the environment, the file or the section, or generated.

    A file may have several lines, so that a secret can change while credentials of the old one are in use.

    Raises ConfigError where the secret is unreadable, readable by everybody, or weak.
    """
    if given := os.environ.get(SECRET_VARIABLE):
        return [validate(given.strip(), SECRET_VARIABLE)]
    if path := config.turn.secret_file:
        return read_secrets(path)
    if written := config.turn.secret.get_secret_value():
        return [written.encode()]
    return generated_secret(secret_path(config.site.state_dir))


def lacks_secret(config: Config) -> bool:
    """Whether there is no secret yet; then the first start makes one."""
    turn = config.turn
    given = os.environ.get(SECRET_VARIABLE) or turn.secret_file or turn.secret.get_secret_value()
    return not given and not secret_path(config.site.state_dir).exists()


def secret_path(state_dir: Path) -> Path:
    return state_dir / "turn.secret"


def read_secrets(path: Path) -> list[bytes]:
    lines = [line.strip() for line in read_secret_file(path).splitlines() if line.strip()] or [""]
    return [validate(line, str(path)) for line in lines]


def read_secret_file(path: Path) -> str:
    """The text of a file that not everybody may read. Raises ConfigError."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise ConfigError(
                [f"{path}: every user of this machine can read this secret; run: chmod 640 {path}"]
            )
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            [f"{path}: the secret is not UTF-8 text; make one with: openssl rand -hex 32"]
        ) from None
    except OSError as error:
        raise file_problem(path, error) from None


def validate(secret: str, where: str) -> bytes:
    try:
        check_secret(secret)
    except ValueError as wrong:
        raise ConfigError([f"{where}: {wrong}"]) from None
    return secret.encode()


def generated_secret(path: Path) -> list[bytes]:
    """A generated secret. It gets its name when it is complete: two processes at once read the same one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
    except OSError as error:
        raise file_problem(path, error, "; choose another folder in site.state_dir") from None
    return read_secrets(path)
