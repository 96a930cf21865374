"""What all tests share: how hypothesis works, and what long tests say at the end."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

settings.register_profile("calln", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("calln")

MEMORY = "/dev/shm"

STEPS = pytest.StashKey[list[str]]()  # what long tests say of themselves, for the end


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


@pytest.fixture(autouse=True, scope="session")
def memory_folder() -> Iterator[None]:
    """What relays keep for the next process goes with the tests."""
    with (
        TemporaryDirectory(prefix="calln-tests-", dir=MEMORY) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RUNTIME_DIRECTORY", folder)
        yield
