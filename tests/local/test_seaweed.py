"""The embedded store: its keys, and that it is fit."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import httpx
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


@pytest.mark.parametrize("part", ["filer", "master", "volume", "admin"])
def test_the_other_ports_of_the_embedded_store_answer_nobody(
    store: Store, seaweed_ports: dict[str, int], part: str
) -> None:
    store.put("p/pipeline.json", b"mine")
    url = f"http://127.0.0.1:{seaweed_ports[f'{part}.port']}"
    page = {"Origin": "http://pages.example"}
    file = {"file": b"strange"}
    asked = [
        httpx.get(f"{url}/buckets/{store.bucket}/p/pipeline.json", headers=page),
        httpx.post(f"{url}/buckets/{store.bucket}/p/pipeline.json", files=file, headers=page),
        httpx.delete(f"{url}/buckets/{store.bucket}/p/pipeline.json"),
        httpx.get(f"{url}/col/delete?collection={store.bucket}"),
        httpx.get(f"{url}/dir/assign"),
        httpx.post(f"{url}/1,01637037d6", files=file),
    ]
    assert all(answer.status_code >= 400 for answer in asked), asked
    assert store.get("p/pipeline.json").data == b"mine"


@pytest.mark.parametrize("part", ["filer", "master", "volume", "admin", "s3"])
def test_its_parts_take_no_call_without_their_certificate(
    store: Store, seaweed_ports: dict[str, int], part: str
) -> None:
    with socket.create_connection(("127.0.0.1", seaweed_ports[f"{part}.port.grpc"])) as sock:
        sock.settimeout(10)
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""


def test_what_guards_the_store_is_its_owners_alone(tmp_path: Path) -> None:
    keys = seaweed.load_keys(tmp_path / "keys.env")
    variables = seaweed.guard(tmp_path / "guard", keys)
    assert (tmp_path / "guard").stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in (tmp_path / "guard").iterdir()} == {0o600}
    assert seaweed.guard(tmp_path / "guard", keys) == variables
    assert not [value for value in variables.values() if keys.secret_key in value]
