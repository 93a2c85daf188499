"""Load by wrk, https://github.com/wg/wrk."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class Target:
    """A request that is sent again and again."""

    name: str
    url: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    connections: int = 16


@dataclass(frozen=True)
class Measurement:
    """What one round, or the median of several, showed."""

    rate: float
    """Answers a second."""
    p50: float
    """Milliseconds."""
    p99: float
    """Milliseconds."""


def measure(target: Target, seconds: int, scratch: Path) -> Measurement:
    """Send one request over and over.

    Raises:
        RuntimeError: wrk is not there, or an answer was no 200.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    (scratch / "body").write_bytes(target.body)
    headers = "".join(f'wrk.headers["{k}"]="{v}"\n' for k, v in target.headers)
    script = scratch / "post.lua"
    script.write_text(
        f'local f=io.open("{scratch / "body"}","rb")\nwrk.body=f:read("*a")\nf:close()\n'
        f'wrk.method="POST"\n{headers}'
    )
    command = ["wrk", "-t1", f"-c{target.connections}", f"-d{seconds}", "--latency"]
    output = subprocess.run(
        [*command, "-s", str(script), target.url], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{target.name}: not every answer was a 200:\n{output}")
    return Measurement(
        float(_find(r"Requests/sec:\s+(\S+)", output)),
        _milliseconds(_find(r"(?m)^\s+50%\s+(\S+)", output)),
        _milliseconds(_find(r"(?m)^\s+99%\s+(\S+)", output)),
    )


def median(rounds: list[Measurement]) -> Measurement:
    """The median of each figure."""
    return Measurement(
        statistics.median(m.rate for m in rounds),
        statistics.median(m.p50 for m in rounds),
        statistics.median(m.p99 for m in rounds),
    )


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said what is not understood:\n{text}")
    return match[1]


def _milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:
        raise RuntimeError(f"{text} is no duration")
    return float(match[1]) * _UNITS[match[2]]
