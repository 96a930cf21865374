"""`python -m deploy.cli`: the `calln` command where no script of that name is installed."""

from __future__ import annotations

import sys

from deploy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
