"""The embedded store: its keys, and that it is fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.errors import StoreError
from perennial.local import seaweed
from perennial.settings import Settings
from perennial.store import Store, open_store, probe


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    made = seaweed.load_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert seaweed.load_keys(path) == made
    assert seaweed.load_keys(tmp_path / "other.env") != made


def test_no_key_stands_on_the_command_line(tmp_path: Path) -> None:
    line = " ".join(seaweed.command(tmp_path, seaweed.PORT_FLAGS))
    keys = seaweed.load_keys(tmp_path / "keys.env")
    assert keys.access_key not in line
    assert keys.secret_key not in line
    assert "-ip.bind=127.0.0.1" in line
    assert "-master.telemetry=false" in line


def test_every_port_of_the_store_is_told(tmp_path: Path) -> None:
    ports = {flag: 20000 + n for n, flag in enumerate(seaweed.PORT_FLAGS)}
    line = seaweed.command(tmp_path, ports)
    assert all(f"-{flag}={port}" in line for flag, port in ports.items())


def test_the_embedded_store_is_fit(store: Store) -> None:
    probe(store)
    assert list(store.scan("")) == []


def test_the_embedded_store_refuses_wrong_keys(settings: Settings) -> None:
    stranger = Settings(
        bucket=settings.bucket,
        s3_endpoint=settings.s3_endpoint,
        access_key=settings.access_key,
        secret_key="wrong",
    )
    with pytest.raises(StoreError, match="refuses these credentials"):
        probe(open_store(stranger))
