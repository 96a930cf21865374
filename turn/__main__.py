"""`python -m turn --config FILE`: the relay alone, without the calln command; systemd starts it so."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from config.file import load_config
from config.problems import EX_CONFIG, ConfigError, Unreadable
from config.secrets import relay_config
from host.startup import Unavailable
from turn.process import run


def main() -> int:
    parser = argparse.ArgumentParser("python -m turn", description="Run the STUN/TURN relay.")
    parser.add_argument("--config", type=Path, metavar="FILE")
    try:
        path: Path | None = parser.parse_args().config
        return run.run(lambda: relay_config(path), load_config(path).site.state_dir)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return os.EX_IOERR
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except Unavailable as error:
        print(error, file=sys.stderr)
        return os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
