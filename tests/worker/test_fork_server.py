"""What the fork server reads ahead for its children, and when it may not."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from worker import fork_server
from worker.certificates import read_certificates_once
from worker.fork_server import ForkServer, shaping
from worker.protocol import Fork


@pytest.fixture
def job(tmp_path):
    def make(**environment):
        return Fork(
            request=1, environment=environment, directory=str(tmp_path), stream_output=False
        )

    return make


@pytest.fixture
def configured(monkeypatch):
    """Which jobs the settings were read for."""
    seen = []
    monkeypatch.setattr(fork_server, "configure", seen.append)
    return seen


@pytest.fixture
def server():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ForkServer(ours, 1.0)


def test_settings_are_read_once_for_runs_that_differ_in_nothing_else(job, configured, server):
    first = job(PREFECT_API_URL="http://a", PREFECT__FLOW_RUN_ID="1", PATH="/bin")
    second = job(PREFECT_API_URL="http://a", PREFECT__FLOW_RUN_ID="2", PATH="/usr/bin")
    other = job(PREFECT_API_URL="http://b", PREFECT__FLOW_RUN_ID="3")
    here = Path.cwd()
    for one in (first, second, other):
        server._configure(one)
        assert server.is_configured_for(one)
    assert configured == [first, other]
    assert not server.is_configured_for(first)
    assert Path.cwd() == here


def test_a_folder_with_settings_of_its_own_is_left_to_the_child(job, configured, server, tmp_path):
    (tmp_path / "prefect.toml").write_text("")
    assert shaping(job(PREFECT_API_URL="http://a")) is None
    server._configure(job(PREFECT_API_URL="http://a"))
    assert not server.is_configured_for(job(PREFECT_API_URL="http://a"))
    assert configured == []


def test_settings_that_cannot_be_read_are_the_childs_matter(job, server, monkeypatch):
    def refuse(_):
        raise ValueError("nonsense")

    monkeypatch.setattr(fork_server, "configure", refuse)
    server._configure(job(PREFECT_API_URL="http://a"))
    assert not server.is_configured_for(job(PREFECT_API_URL="http://a"))


def test_a_file_of_certificates_is_read_once_and_what_is_not_from_one_file_anew(monkeypatch):
    monkeypatch.setattr(ssl, "create_default_context", ssl.create_default_context)
    read_certificates_once()
    first, second = (ssl.create_default_context(cafile=certifi.where()) for _ in range(2))
    assert first is second
    assert ssl.create_default_context() is not ssl.create_default_context()
    assert ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=certifi.where()) is not first


@pytest.mark.servers
@pytest.mark.parametrize(
    ("ends", "code", "told"),
    [
        ("None", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('nothing to do')", 1, "nothing to do"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_child_ends_with_the_code_that_python_would_give(ends, code, told):
    program = (
        "import atexit, sys; from worker.fork_server import end, exit_code; "
        f"atexit.register(print, 'at exit'); end(exit_code(lambda: {ends}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, b"at exit\n")
    assert told in ended.stderr.decode()
