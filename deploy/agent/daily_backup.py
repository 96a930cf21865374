"""The daily backup, which calln-backup.service makes on the machine: a file in a folder; the newest stay."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.agent.backup import make_backup
from deploy.agent.backup_copy import CopyTarget, copy_backup
from deploy.agent.systemd import StepFailed

NAMES = "calln-*.tar.gz*"


def save_backup(folder: Path, keep: int, recipient: str, day: str) -> Path:
    """Write the backup of that day, then remove all but the newest `keep`. Where none can be made, none is
    removed. Raises StepFailed and OSError."""
    data = make_backup()
    if recipient:
        data = encrypted(data, recipient)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = folder / f"calln-{day}.tar.gz{'.age' if recipient else ''}"
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    for older in sorted(folder.glob(NAMES), reverse=True)[keep:]:
        older.unlink()
    return path


def encrypted(data: bytes, recipient: str) -> bytes:
    """Raises StepFailed."""
    try:
        done = subprocess.run(["age", "--encrypt", "--recipient", recipient], input=data, capture_output=True)  # noqa: S603, S607
    except OSError as error:
        raise StepFailed(f"age: {error.strerror}; install it: apt install age") from None
    if done.returncode:
        raise StepFailed(done.stderr.decode(errors="replace").strip())
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "deploy.agent.daily_backup", description="Make a backup of this machine."
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", type=int, required=True)
    parser.add_argument("--age", default="")
    parser.add_argument("--copy-to", type=CopyTarget.of)
    options = parser.parse_args(arguments)
    try:
        path = save_backup(
            options.folder, options.keep, options.age, time.strftime("%Y-%m-%d", time.gmtime())
        )
    except (StepFailed, OSError) as problem:
        print(f"The backup failed: {problem}", file=sys.stderr)
        return 1
    print(f"Backup: {path} ({path.stat().st_size >> 10} KiB)")
    return send_copy(path, options.keep, options.copy_to) if options.copy_to else 0


def send_copy(path: Path, keep: int, target: CopyTarget) -> int:
    try:
        print(f"Copy: {copy_backup(path, keep, target)}")
    except StepFailed as problem:
        print(f"The backup is made, but its copy failed: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
