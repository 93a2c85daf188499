"""What libraries put off until it is first needed, done once before the forks.

Each child would do it again: half a second of work in a run that takes two.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from worker.certificates import read_certificates_once
from worker.engine import start_sooner


def prime() -> None:
    """Prime what has been imported. Starts no thread and opens no connection."""
    _read_interface_of_s3()
    _build_models()
    _read_certificates()
    if "prefect.flow_engine" in sys.modules:
        start_sooner()


def _read_interface_of_s3() -> None:
    """boto3 reads megabytes of JSON for its first client; they stay with its default session."""
    boto3 = sys.modules.get("boto3")
    if boto3 is not None:
        nowhere = {"endpoint_url": "http://127.0.0.1", "region_name": "us-east-1"}
        boto3.client("s3", **nowhere, aws_access_key_id="-", aws_secret_access_key="-").close()


def _build_models() -> None:
    """Prefect's models put off their validators."""
    if "prefect" in sys.modules:
        from pydantic import BaseModel

        for model in _below(BaseModel):
            if model.__module__.startswith("prefect.") and not model.__pydantic_complete__:
                model.model_rebuild(raise_errors=False)


def _read_certificates() -> None:
    """httpx reads them for each client, also where it talks to a server without TLS."""
    if os.environ.get("PREFECT_API_URL", "").startswith("http://"):
        import httpx

        read_certificates_once()
        httpx.create_ssl_context()


def _below(model: type) -> Iterator[type]:
    for heir in model.__subclasses__():
        yield heir
        yield from _below(heir)
