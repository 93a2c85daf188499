"""What is done before the forks, in a process of its own: imports cannot be undone."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ssl, sys, threading
import boto3, prefect.client.schemas.objects, certifi
from worker.fork_server import count_threads
from worker.priming import prime, _below
from pydantic import BaseModel
prime()
assert count_threads() == 1
late = [m for m in _below(BaseModel) if m.__module__.startswith("prefect.client.schemas.objects")]
assert late and all(m.__pydantic_complete__ for m in late)
first, second = (ssl.create_default_context(cafile=certifi.where()) for _ in range(2))
assert first is second
"""


@pytest.mark.servers
def test_models_and_certificates_are_ready_and_no_thread_was_started():
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:1/api"}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
