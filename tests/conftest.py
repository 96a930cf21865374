"""What all tests share: how hypothesis works, and which tests one process runs after another."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("calln", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("calln")

EACH_FOR_ITSELF = ("tests/fuzz/test_targets.py",)  # its tests share nothing, and each takes long
STEPS = pytest.StashKey[list[str]]()  # what long tests say of themselves, for the end


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes (`pytest -n`) one has all tests of a file, with the fixtures that they share."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(item.nodeid if file in EACH_FOR_ITSELF else file))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STEPS] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several hands its lines to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["steps"] = session.config.stash[STEPS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: pytest.Session) -> None:
    """Pytest-xdist's: a process has ended, with what it handed over unless it was cut off."""
    node.config.stash[STEPS].extend(getattr(node, "workeroutput", {}).get("steps", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[STEPS]:
        terminalreporter.write_line(line)
