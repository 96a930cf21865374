"""The one YAML file: joins the rooms' sections; every mistake becomes file:line:column and what to write."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from config.deploy import Deploy
from server.config.sections import Geo, Server, Site
from turn.config.section import Turn
from turn.config.values import check_secret

MAX_BYTES = 1 << 20  # a configuration is a page or two; a larger file was named by mistake
MAX_DIGITS = 20  # no key has a longer number, and reading thousands of digits is slow
SECRET_VARIABLE = "CALLN_TURN_SECRET"  # noqa: S105  # the name of a variable, no secret
LOCAL = "turn: {listen: ['127.0.0.1:3478', '[::1]:3478']}"  # what runs where no file is named
EX_CONFIG = 78  # sysexits.h: something in the configuration is wrong

Located = tuple[str, ...]


class ConfigError(ValueError):
    """The configuration cannot be used; each problem is one line that says where and what to write."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("\n".join(self.problems))


def one_line(text: str) -> str:
    """A file's own words may hold anything: nothing of it moves the cursor of a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


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
            raise ValueError("with server.tls_listen, site.url begins with https://")
        return self


# YAML 1.2's core schema: tag, what is read as it, and the characters that it can begin with.
SCALARS = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"]),
    ("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    ("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+\.[0-9]*$"), list("-+0123456789")),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""]),
)


class Loader(yaml.SafeLoader):
    """YAML with the scalars of its core schema: `off` is a word, 12:30 no number; aliases are refused."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it open
            raise yaml.MarkedYAMLError(problem="write the value out; aliases are not read", problem_mark=mark)
        return super().compose_node(parent, index)


def decimal(_loader: Loader, node: yaml.ScalarNode) -> int:
    """A leading zero means nothing (YAML 1.2 §10.3.2); in YAML 1.1 it meant base 8."""
    if len(node.value) > MAX_DIGITS or not SCALARS[1][1].match(node.value):
        raise yaml.MarkedYAMLError(problem="this is no number that can be read", problem_mark=node.start_mark)
    return int(node.value)


Loader.add_constructor("tag:yaml.org,2002:int", decimal)
for _tag, _pattern, _first in SCALARS:
    Loader.add_implicit_resolver(_tag, _pattern, _first)


def load(path: Path | None) -> Config:
    """Read and check a file. None: the defaults, with everything on this machine only.

    Raises ConfigError with every problem found.
    """
    return parse(read(path), path) if path else parse(LOCAL, Path("defaults"))


def read(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError for what is no such file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError([f"{path}: this is no file; name a YAML file"])
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_BYTES >> 20} MiB; is this the right file?"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}:1: this is not UTF-8; save the file as UTF-8"]) from None


def parse(text: str, path: Path) -> Config:
    """Check a configuration's text; `path` names it in messages and is where its relative paths begin."""
    root, values = compose(text, path)
    if isinstance(values, dict):  # a section all of whose keys are commented out
        values = {name: value for name, value in values.items() if value is not None}
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        told = [problem for problem in error.errors() if not is_echo(problem)]
        raise ConfigError([explain(problem, root, path) for problem in told]) from None
    return anchor(config, path.parent)


def compose(text: str, path: Path) -> tuple[yaml.Node | None, object]:
    """The file as nodes, which know their lines, and as plain values."""
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, {}
        refuse_doubles(root)
        return root, loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError([f"{path}{where}: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    except (ValueError, LookupError, TypeError, AttributeError):  # PyYAML on a tag that lies
        raise ConfigError([f"{path}: a value is not what its tag says; leave the !! out"]) from None


def refuse_doubles(node: yaml.Node) -> None:
    """A key that stands twice would silently lose one of its values."""
    children: list[yaml.Node] = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is one word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands here twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            children.append(value)
    for child in children:
        refuse_doubles(child)


def is_echo(problem: ErrorDetails) -> bool:
    """A list counted as too short because its entries were refused, which is told already."""
    return problem["type"] == "too_short" and bool(problem["input"])


def explain(problem: ErrorDetails, root: yaml.Node | None, path: Path) -> str:
    """One problem as `file:line:column: key: what to write`."""
    loc = tuple(str(part) for part in problem["loc"])
    mark, named = locate(root, loc, at_key=problem["type"] == "extra_forbidden")
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
    return f"{where}: {'.'.join(named) or 'the file'}: {sentence(problem, loc)}"


def locate(node: yaml.Node | None, loc: Located, *, at_key: bool) -> tuple[yaml.Mark | None, Located]:
    """The mark of the deepest node that `loc` leads to, and the part of `loc` that led there."""
    mark, named = (node.start_mark if node else None), loc[:0]
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            node, mark = pair[1], pair[0].start_mark if at_key else pair[1].start_mark
        elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
            mark = node.start_mark
        elif not (
            isinstance(node, yaml.ScalarNode) and part == "0"
        ):  # a list of one, written without the dash
            break
        named = (*named, part)
    return mark, named


def sentence(problem: ErrorDetails, loc: Located) -> str:
    """What is wrong, in words that say what to write."""
    if problem["type"] == "extra_forbidden":
        known = list(model_at(loc[:-1]).model_fields)
        near = difflib.get_close_matches(loc[-1], known, 1)
        return (
            f"unknown key; did you mean {near[0]}?"
            if near
            else f"unknown key; known here: {', '.join(known)}"
        )
    if problem["type"] in ("model_type", "dict_type"):
        return "keys and values belong here, one `key: value` a line"
    if problem["type"] == "too_short":
        return "name at least one"
    if problem["type"] == "tuple_type":
        return "a list belongs here, one `- value` a line"
    return problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def model_at(loc: Located) -> type[BaseModel]:
    """The model whose keys stand at a place of the file."""
    inner: object = Config
    for part in loc:
        if get_origin(inner) is tuple:  # a list of them: the part is a number
            inner = get_args(inner)[0]
        else:
            inner = cast(type[BaseModel], inner).model_fields[part].annotation
    return cast(type[BaseModel], inner)


def anchor(config: Config, folder: Path) -> Config:
    """The same with its relative paths taken from the file's own folder."""
    turn, geo, server = config.turn, config.geo, config.server
    site = config.site.model_copy(update={"state_dir": folder / config.site.state_dir})
    if site.password_file:
        site = site.model_copy(update={"password_file": folder / site.password_file})
    files = {name: getattr(turn, name) for name in ("secret_file", "certificate", "key")}
    turn = turn.model_copy(update={name: folder / path for name, path in files.items() if path})
    files = {name: getattr(server, name) for name in ("certificate", "key", "acme_dir")}
    server = server.model_copy(update={name: folder / path for name, path in files.items() if path})
    if geo.database:
        geo = geo.model_copy(update={"database": folder / geo.database})
    sections = {"site": site, "server": server, "turn": turn, "geo": geo}
    return config.model_copy(update={**sections, "deploy": anchored(config.deploy, folder)})


def anchored(deploy: Deploy, folder: Path) -> Deploy:
    """What lies on the operator's side."""
    files = {name: getattr(deploy, name) for name in ("certificate", "key")}
    hosts = tuple(
        host.model_copy(update={"key": folder / host.key}) if host.key else host for host in deploy.hosts
    )
    paths = {name: folder / path for name, path in files.items() if path}
    return deploy.model_copy(update={**paths, "hosts": hosts})


def told_relay(path: Path | None) -> tuple[Turn, list[bytes]]:
    """What a relay is told, at its start and again at each reload. Raises ConfigError."""
    config = load(path)
    return config.turn, turn_secrets(config)


def turn_secret(config: Config) -> bytes:
    """The secret that credentials are made with. Raises ConfigError."""
    return turn_secrets(config)[0]


def turn_secrets(config: Config) -> list[bytes]:
    """What server and relay share: environment, file, section, else made once and kept. A file may hold
    several, so that one can be changed while credentials made with the other are under way.

    Raises ConfigError where the secret is unreadable, readable by everybody, or weak.
    """
    if given := os.environ.get(SECRET_VARIABLE):
        return [checked_secret(given.strip(), SECRET_VARIABLE)]
    if path := config.turn.secret_file:
        return secrets_from(path)
    if written := config.turn.secret.get_secret_value():
        return [written.encode()]
    return kept_secret(kept_at(config.site.state_dir))


def lacks_secret(config: Config) -> bool:
    """Whether there is none yet, and the first start makes one."""
    turn = config.turn
    given = os.environ.get(SECRET_VARIABLE) or turn.secret_file or turn.secret.get_secret_value()
    return not given and not kept_at(config.site.state_dir).exists()


def kept_at(state_dir: Path) -> Path:
    return state_dir / "turn.secret"


def secrets_from(path: Path) -> list[bytes]:
    lines = [line.strip() for line in secret_text(path).splitlines() if line.strip()] or [""]
    return [checked_secret(line, str(path)) for line in lines]


def secret_text(path: Path) -> str:
    """What a file holds that not everybody may read. Raises ConfigError."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise ConfigError([f"{path}: everybody can read this secret; write: chmod 640 {path}"])
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            [f"{path}: the secret is not UTF-8 text; make one with: openssl rand -hex 32"]
        ) from None
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None


def checked_secret(secret: str, where: str) -> bytes:
    try:
        check_secret(secret)
    except ValueError as wrong:
        raise ConfigError([f"{where}: {wrong}"]) from None
    return secret.encode()


def kept_secret(path: Path) -> list[bytes]:
    """A generated secret. Written whole under another name and then linked, so that of two processes that
    start at once both read the same one."""
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
        raise ConfigError([f"{path}: {error.strerror or error}; point site.state_dir elsewhere"]) from None
    return secrets_from(path)
