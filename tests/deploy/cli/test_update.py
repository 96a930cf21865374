"""The next release is fetched from a real repository, shown, and then deployed by its own make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import update
from host import VERSION

ROOT = Path(__file__).parents[3]
NEXT = "99.0.0"
NEWS = f"## {NEXT}\n\n* It is faster.\n\n## 98.1.0\n\n* It is safer.\n"
CHANGELOG = f"# Changes\n\n{NEWS}\n## {VERSION}\n\n* It is.\n"
MAKEFILE = ".PHONY: deploy\ndeploy:\n\t@echo deployed by {} with $(CONFIG)\n"
ENVIRONMENT = {
    **os.environ,
    **{f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *words], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def release(folder: Path, version: str, changelog: str = "# Changes\n") -> None:
    (folder / "Makefile").write_text(MAKEFILE.format(version))
    (folder / "CHANGELOG.md").write_text(changelog)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", version)
    git(folder, "tag", f"v{version}")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Where releases come from: it has this one, with the real module in it."""
    origin = tmp_path / "origin"
    for name in ("deploy/__init__.py", "deploy/cli/__init__.py", "deploy/cli/update.py", "host/__init__.py"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_bytes((ROOT / name).read_bytes())
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(origin))
    release(origin, VERSION)
    return origin


@pytest.fixture
def clone(tmp_path: Path, origin: Path) -> Path:
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    clone = tmp_path / "clone"
    (clone / "config.yaml").touch()
    return clone


def make_update(clone: Path, *words: str, says: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli.update", *words]
    return subprocess.run(command, cwd=clone, env=ENVIRONMENT, input=says, capture_output=True, text=True)


def test_the_next_release_is_shown_and_deployed(origin: Path, clone: Path) -> None:
    release(origin, "98.1.0")
    release(origin, NEXT, CHANGELOG)
    done = make_update(clone, "CONFIG=mine.yaml", says="y\n")
    shown, _, rest = done.stdout.partition("\nUpdate from ")
    assert shown == NEWS
    assert rest.startswith(f"{VERSION} to {NEXT} and deploy it? [y/N] ")
    assert f"deployed by {NEXT} with mine.yaml" in rest
    assert git(clone, "describe", "--tags") == f"v{NEXT}"
    assert git(clone, "rev-parse", "--abbrev-ref", "HEAD") == "main"


@pytest.mark.parametrize("says", ["n\n", "\n"])
def test_who_would_rather_not_changes_nothing(origin: Path, clone: Path, says: str) -> None:
    release(origin, NEXT, CHANGELOG)
    done = make_update(clone, says=says)
    assert (done.returncode, done.stdout.endswith("Nothing was changed.\n")) == (0, True)
    assert git(clone, "describe", "--tags") == f"v{VERSION}"


def test_where_nobody_answers_nothing_is_changed(origin: Path, clone: Path) -> None:
    release(origin, NEXT, CHANGELOG)
    done = make_update(clone)
    assert done.returncode == 69
    assert "make update ARGS=--yes" in done.stderr
    assert git(clone, "describe", "--tags") == f"v{VERSION}"


def test_a_clone_that_is_at_a_tag_moves_on_without_a_question(origin: Path, clone: Path) -> None:
    release(origin, NEXT, CHANGELOG)
    git(clone, "checkout", "--quiet", f"v{VERSION}")
    assert f"deployed by {NEXT}" in make_update(clone, "--yes").stdout


def test_the_newest_release_stays(clone: Path) -> None:
    done = make_update(clone)
    assert (done.returncode, done.stdout) == (0, f"{VERSION} is the newest release.\n")


def test_what_is_no_release_is_none(origin: Path, clone: Path) -> None:
    git(origin, "tag", "v99.0.0-rc1")
    git(origin, "tag", "v-next")
    assert "is the newest release" in make_update(clone).stdout


def test_changes_of_ones_own_are_kept(origin: Path, clone: Path) -> None:
    release(origin, NEXT, CHANGELOG)
    (clone / "Makefile").write_text("mine:\n")
    done = make_update(clone, "--yes")
    assert done.returncode == 69
    assert "these files were changed here: Makefile" in done.stderr
    assert (clone / "Makefile").read_text() == "mine:\n"


def test_commits_of_ones_own_are_kept(origin: Path, clone: Path) -> None:
    release(origin, NEXT, CHANGELOG)
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "mine")
    done = make_update(clone, "--yes")
    assert done.returncode == 69
    assert "git merge failed" in done.stderr
    assert git(clone, "log", "-1", "--format=%s") == "mine"


def test_an_unpacked_release_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(update.UpdateError, match="no clone of git"):
        update.Clone(tmp_path)


def test_an_origin_that_is_away_is_told(tmp_path: Path, origin: Path, clone: Path) -> None:
    origin.rename(tmp_path / "gone")
    done = make_update(clone)
    assert done.returncode == 69
    assert "git fetch failed" in done.stderr
