"""The supervisor's process: ``python -m perennial.local``; `perennial up` starts it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from functools import partial
from pathlib import Path

from perennial.errors import PerennialError
from perennial.local.processes import default_signals
from perennial.local.services import plan
from perennial.local.state import StackFiles
from perennial.local.supervisor import Supervisor


def main() -> int:
    """Supervise one stack; 0 when it was told to stop or another supervisor is there already."""
    parser = argparse.ArgumentParser(prog="python -m perennial.local", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--worker", choices=("fork", "process"), required=True)
    parser.add_argument("--auth", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    default_signals()
    # What it says goes to supervisor.log; its HTTP client's requests do not.
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("perennial").setLevel(logging.INFO)
    os.umask(0o077)  # also of what its children write: rows, answers, runs, keys
    files = StackFiles(arguments.dir)
    files.make()
    if not files.take_lock():
        return 0
    try:
        make_plan = partial(plan, auth=arguments.auth)
        Supervisor(files, arguments.project.resolve(), arguments.worker, make_plan=make_plan).run()
    except PerennialError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- this is the supervisor's log
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
