"""`python -m turn --config FILE`: the relay alone, without the command's other words."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from config import EX_CONFIG, ConfigError, load, turn_secret
from turn import service


def main() -> int:
    parser = argparse.ArgumentParser("python -m turn", description="Run the STUN/TURN relay.")
    parser.add_argument("--config", type=Path, metavar="FILE")
    try:
        config = load(parser.parse_args().config)
        return service.run(config.turn, [turn_secret(config)])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except service.Unavailable as error:
        print(error, file=sys.stderr)
        return os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
