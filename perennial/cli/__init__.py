"""The command line: one module a group of commands.

Heavy imports stand inside the commands, so that --help is instant. A module adds its commands to
`app` by being imported; the order here is the order in --help.
"""

from perennial.cli import stack, declare, play, traffic, pipelines, backtest, data, tables, ask  # noqa: F401, I001
from perennial.cli import versions, replay, keeping, rollout, alerts  # noqa: F401
from perennial.cli.common import app, main

__all__ = ["app", "main"]
