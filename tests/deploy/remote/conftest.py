"""What is fetched from the package index for one test is there for the next."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deploy.remote.wheels import PythonPlatform

HERE = PythonPlatform(f"{sys.version_info[0]}.{sys.version_info[1]}", os.uname().machine)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of `site_packages`."""
    return tmp_path_factory.mktemp("kept")
