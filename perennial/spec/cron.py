"""When a schedule in cron's five fields is due, in UTC."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, takewhile

from cronsim import CronSim, CronSimError

_HOW = "write cron's five fields, such as '0 * * * *' (every hour) or '30 6 * * 1-5', or null"


def check_cron(value: str) -> str:
    """Give a schedule back if it is one.

    Raises:
        ValueError: it is none, or is never due; says what may stand there.
    """
    if len(value.split()) != 5:
        raise ValueError(_HOW)
    try:
        next(CronSim(value, datetime(2000, 1, 1)))
    except CronSimError as error:
        raise ValueError(f"{str(error).lower()}; {_HOW}") from None
    except StopIteration:
        raise ValueError(f"it is never due; {_HOW}") from None
    return value


def next_due(cron: str, after: datetime) -> datetime:
    """The first moment behind ``after`` at which a checked schedule is due."""
    return next(CronSim(cron, after))


def count_due(cron: str, since: datetime, now: datetime, most: int) -> int:
    """How often a checked schedule was due between two moments; ``most`` at most."""
    return sum(1 for _ in takewhile(lambda due: due < now, islice(CronSim(cron, since), most)))
