"""Every mistake in a configuration file has its sentence, with line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.file import parse_config
from config.problems import ConfigError

ROOT = Path(__file__).parents[2]
BAD: list[dict[str, str]] = yaml.safe_load((ROOT / "tests/data/bad_configs.yaml").read_text())


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["name"])
def test_mistake_names_line_column_and_what_to_write(case: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(case["text"], Path("config.yaml"))
    assert error.value.problems == (f"config.yaml:{case['says']}",)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse_config("site: {nam: x}\nturn: {workers: 0, relm: y}\n", Path("c"))
    assert [problem.split(": ")[1] for problem in error.value.problems] == [
        "site.nam",
        "turn.workers",
        "turn.relm",
    ]
