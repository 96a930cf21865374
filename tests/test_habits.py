"""What a stranger's tools read: CI, hooks and issue forms do what the documents say of them."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from tests.documents import ROOT

SECRET = (
    "config.yaml",
    "calln-authority/root.key",
    "calln-call.example.org-2026-01-31.tar.gz",
    ".state/turn.secret",
)


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def test_ci_runs_what_we_run() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"].values()
    assert ".ci/run" in [step.get("run") for job in jobs for step in job["steps"]]


def test_the_hooks_are_the_checks_of_make_lint() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    checks = {
        line.strip().replace("$(BIN)", ".venv/bin").removesuffix(" .") for line in recipe[1].splitlines()
    }
    hooks = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert {hook["entry"].removesuffix(" --force-exclude") for hook in hooks} == checks


@pytest.mark.parametrize("name", ["fault.yml", "wish.yml"])
def test_a_form_asks_each_question_once(name: str) -> None:
    form = read(f".github/ISSUE_TEMPLATE/{name}")
    assert {"name", "description", "body"} <= set(form)
    ids = [question["id"] for question in form["body"]]
    assert len(set(ids)) == len(ids)
    assert any(question.get("validations", {}).get("required") for question in form["body"])


@pytest.mark.parametrize("path", SECRET)
def test_git_leaves_out_what_is_secret(path: str) -> None:
    patterns = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]
    assert any(fnmatch(part, pattern) for part in (path, path.split("/")[0]) for pattern in patterns)
