"""Imports go down only: the allowed edges, as data. A new edge is a decision, and is written here first."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module, or a package for every module in it -> what of this project it may import. The longest name wins.
ALLOWED: dict[str, tuple[str, ...]] = {
    "config": ("deploy.config", "server.config", "turn.config", "turn.values"),
    "turn.errors": ("turn.flows",),
    "turn.flows": (),
    "turn.config": ("turn.flows", "turn.limits", "turn.values"),
    "turn.limits": ("turn.values",),
    "turn.values": ("turn.flows", "turn.wire.integrity"),
    "turn.credentials": (),
    "turn.policies": ("turn.flows", "turn.errors", "turn.credentials"),
    "turn.wire": ("turn.wire", "turn.flows", "turn.errors"),
    "turn.ledger": (),
    "turn.buckets": ("turn.ledger",),
    "turn.live": ("turn.flows",),
    "turn.shared": ("turn.ledger",),
    "turn.core": (
        "turn.core",
        "turn.wire",
        "turn.buckets",
        "turn.flows",
        "turn.errors",
        "turn.ledger",
        "turn.policies",
        "turn.credentials",
    ),
    "turn.engines": ("turn.engines", "turn.buckets", "turn.flows", "turn.ledger"),
    "turn.engines.table": ("turn.engines", "turn.flows", "turn.wire.srtp"),
    "turn.logs": (),
    "turn.systemd": (),
    "turn.hatch": (),
    "turn.metrics": ("turn.core", "turn.flows"),
    "turn.outside": ("turn.config", "turn.errors", "turn.flows", "turn.values", "turn.wire"),
    "turn.own": ("turn.flows",),
    "turn.validity": ("turn.engines",),
    "turn.told": (
        "turn.config",
        "turn.core",
        "turn.engines",
        "turn.flows",
        "turn.outside",
        "turn.policies",
        "turn.values",
    ),
    "turn.machine": ("turn.config", "turn.engines", "turn.flows", "turn.told", "turn.validity"),
    "turn.service": (
        "turn.config",
        "turn.core",
        "turn.engines",
        "turn.flows",
        "turn.live",
        "turn.machine",
        "turn.metrics",
        "turn.told",
    ),
    "turn.herald": ("turn.core.sessions", "turn.wire.hello"),
    "turn.memory": ("turn.core.sessions", "turn.herald", "turn.service"),
    "turn.crew": (
        "turn.config",
        "turn.core",
        "turn.flows",
        "turn.herald",
        "turn.memory",
        "turn.metrics",
        "turn.service",
        "turn.told",
    ),
    "turn.line": (),
    "turn.sums": ("turn.metrics",),
    "turn.worker": (
        "turn.config",
        "turn.core",
        "turn.crew",
        "turn.flows",
        "turn.line",
        "turn.live",
        "turn.logs",
        "turn.machine",
        "turn.memory",
        "turn.service",
        "turn.shared",
        "turn.sums",
        "turn.told",
    ),
    "turn.seat": ("turn.line", "turn.sums", "turn.worker"),
    "turn.team": (
        "turn.config",
        "turn.crew",
        "turn.engines",
        "turn.flows",
        "turn.line",
        "turn.live",
        "turn.machine",
        "turn.metrics",
        "turn.seat",
        "turn.shared",
        "turn.sums",
        "turn.told",
        "turn.worker",
    ),
    "turn.control": (
        "turn.config",
        "turn.crew",
        "turn.machine",
        "turn.outside",
        "turn.own",
        "turn.systemd",
    ),
    "turn.elders": (),
    "turn.doorway": ("turn.elders", "turn.hatch", "turn.machine"),
    "turn.admin": ("turn.control", "turn.doorway", "turn.elders", "turn.flows", "turn.machine"),
    "turn.process": (
        "turn.admin",
        "turn.config",
        "turn.control",
        "turn.core",
        "turn.crew",
        "turn.elders",
        "turn.engines",
        "turn.flows",
        "turn.hatch",
        "turn.live",
        "turn.logs",
        "turn.machine",
        "turn.memory",
        "turn.outside",
        "turn.own",
        "turn.service",
        "turn.systemd",
        "turn.team",
        "turn.told",
    ),
    "turn.__main__": ("turn", "config"),
    "server.config": (),
    "server.strict": (),
    "server.messages": ("server.strict",),
    "server.sdp": (),
    "server.matching": (),
    "server.pictures": (),
    "server.lock": (),
    "server.rates": (),
    "server.outbox": (),
    "server.rooms": ("server.messages", "server.sdp", "server.pictures"),
    "server.reports": (),
    "server.visitors": ("server.rooms",),
    "server.lobby": (
        "server.messages",
        "server.matching",
        "server.rooms",
        "server.reports",
        "server.visitors",
    ),
    "server.ice": ("turn.credentials",),
    "server.geo": ("server.countries",),
    "server.bans": ("server.state",),
    "server.calls": ("server.state",),
    "server.state": ("server.state",),
    "server.app": ("server", "turn.engines", "turn.hatch", "turn.logs", "turn.systemd", "turn.validity"),
    "server.process": ("server", "turn.hatch", "turn.systemd"),
    "server.door": ("server", "turn.engines"),
    "server.tunnel": ("server", "turn.engines.proxied", "turn.flows", "turn.hatch"),
    "server": ("server",),
    "deploy.there": ("deploy.there",),  # goes to the machine without the rest
    "deploy": ("deploy", "config", "server", "turn"),
    "deploy.config": ("server.config", "turn.policies"),
}

# What decides has neither clock nor socket: time and randomness come in as arguments.
PURE = (
    "turn.wire",
    "turn.core",
    "turn.engines.proxied",
    "turn.buckets",
    "turn.flows",
    "turn.ledger",
    "server.strict",
    "server.messages",
    "server.sdp",
    "server.matching",
    "server.pictures",
    "server.lock",
    "server.rates",
    "server.outbox",
    "server.rooms",
    "server.reports",
    "server.visitors",
    "server.lobby",
    "deploy.steps",
    "deploy.facts",
    "deploy.planning",
    "deploy.refusals",
    "deploy.render",
)
IMPURE = {"asyncio", "socket", "time", "threading", "logging", "os", "random"}


def modules() -> dict[str, Path]:
    files = [*ROOT.glob("*.py")] + [
        path for room in ("server", "turn", "deploy") for path in (ROOT / room).rglob("*.py")
    ]
    return {name_of(path): path for path in files}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, place: str) -> bool:
    return name == place or name.startswith(place + ".")


def allowed_for(name: str) -> tuple[str, ...]:
    return ALLOWED[max((place for place in ALLOWED if within(name, place)), key=len, default="")]


@pytest.mark.parametrize("name", sorted(name for name in modules() if name != "tests"))
def test_imports_go_down_only(name: str) -> None:
    ours = {
        found
        for found in imports(modules()[name])
        if found.split(".")[0] in ("server", "turn", "deploy", "config")
    }
    wrong = (
        {found for found in ours if not any(within(found, place) for place in allowed_for(name))}
        if ours
        else set()
    )
    assert not wrong, f"{name} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    "name", sorted(name for name in modules() if any(within(name, place) for place in PURE))
)
def test_what_decides_has_no_clock_and_no_socket(name: str) -> None:
    assert not {found.split(".")[0] for found in imports(modules()[name])} & IMPURE


def test_every_module_has_a_test_of_the_same_name() -> None:
    silent = {
        "turn.errors",
        "turn.flows",
        "turn.core.effects",
        "turn.core.settings",
        "turn.__main__",
    }  # nouns and a door: nothing decides
    missing = [
        name
        for name, path in modules().items()
        if name not in silent
        and path.name != "__init__.py"
        and not (ROOT / "tests" / path.relative_to(ROOT).with_name(f"test_{path.name}")).exists()
    ]
    assert not missing
