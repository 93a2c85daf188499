"""``python -m perennial.serving``: the inference server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from perennial.errors import PerennialError
from perennial.serving.logs import configure_logging
from perennial.serving.options import variables
from perennial.serving.server import serve
from perennial.settings import Settings


def main() -> None:
    """Serve all pipelines of the bucket that the environment names."""
    parser = argparse.ArgumentParser(
        prog="python -m perennial.serving",
        description=main.__doc__,
        epilog=f"limits and intervals (bytes, seconds), from the environment:\n{variables()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--dir", type=Path, default=Path(".perennial/serving"))
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    configure_logging()
    try:
        serve(
            Settings.load(),
            host=arguments.host,
            port=arguments.port,
            directory=arguments.dir,
            workers=arguments.workers,
        )
    except PerennialError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
