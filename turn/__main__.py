"""`python -m turn --config FILE`: the relay alone, without the calln command; systemd starts it so.

With `--load` or `--unload`, root's part before it starts and after it has ended.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from config.file import load_config
from config.problems import EX_CONFIG, ConfigError, Unreadable
from config.secrets import relay_config
from host.startup import Unavailable
from turn.process import loading, run


def main() -> int:
    parser = argparse.ArgumentParser("python -m turn", description="Run the STUN/TURN relay.")
    parser.add_argument("--config", type=Path, metavar="FILE")
    parser.add_argument("--load", type=Path, metavar="FOLDER", help="load what carries calls in the kernel")
    parser.add_argument("--unload", type=Path, metavar="FOLDER", help="take it away again")
    options = parser.parse_args()
    path: Path | None = options.config
    try:
        if options.load or options.unload:
            return loading.run(options.load, options.unload, lambda: load_config(path).turn)
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
