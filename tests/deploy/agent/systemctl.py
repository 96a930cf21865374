"""Stands in for systemctl where no systemd runs: keeps each unit's state in a file, and each word it hears.
The release `broken` does not start; what is asked to stop drains until it is forgotten."""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    file = Path(os.environ["UNITS"])
    units: dict[str, str] = json.loads(file.read_text())
    verb, names = words[0], [word for word in words[1:] if not word.startswith("--")]
    with file.with_name("told").open("a") as told:
        told.write(f"{verb} {' '.join(names)}\n")
    code = 0
    if verb == "show":
        print(units.get(names[0], "inactive"))
    elif verb == "list-units":
        for name, state in units.items():
            if fnmatch.fnmatch(name, names[0]):
                print(name, "loaded", state, "running", "a unit")
    elif verb == "start":
        code = 1 if "@broken." in names[0] else 0
        units[names[0]] = "failed" if code else "active"
    elif verb == "stop":
        units[names[0]] = "deactivating"
    file.write_text(json.dumps(units))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
