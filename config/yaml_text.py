"""The YAML of the configuration file: text becomes nodes that know their lines, and plain values."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import yaml

from config.problems import ConfigError

MAX_BYTES = 1 << 20  # a configuration is a page or two; a larger file was named by mistake
MAX_DIGITS = 20  # no key has a longer number, and reading thousands of digits is slow

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


def read_text(path: Path) -> str:
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


def compose(text: str, path: Path) -> tuple[yaml.Node | None, object]:
    """The file as nodes, which know their lines, and as plain values."""
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, {}
        refuse_repeated_keys(root)
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


def refuse_repeated_keys(node: yaml.Node) -> None:
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
        refuse_repeated_keys(child)
