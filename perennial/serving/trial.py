"""One version on trial: a server of its own, with the files that would be served.

It is the worker that answers in production, in a process of its own, on loopback, over a scratch
directory; it never talks to a store, so it can be started before a version is registered.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.errors import ModelError, StackError
from perennial.packaging.predictor import object_array
from perennial.packaging.signature import CATEGORICAL, NUMERIC, OUTPUT, Signature
from perennial.serving.lineup import Lineup, LocalModels, Placement
from perennial.serving.options import ServingOptions
from perennial.serving.paths import ServerPaths

_NAME = "trial"
_PATIENCE = 30.0
_STDERR = "stderr.txt"


class TrialServer:
    """A server under way, or ready; `ask` waits until it answers."""

    def __init__(
        self, process: subprocess.Popen[bytes], url: str, folder: Path, signature: Signature
    ) -> None:
        self._process = process
        self._url = url
        self._folder = folder
        self._signature = signature

    def ask(
        self, numeric: NDArray[np.float32] | None, categorical: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """Let the server answer rows, over HTTP, in the Open Inference Protocol.

        Args:
            numeric, categorical: as `perennial.packaging.predictor.Predictor.predict` takes them.

        Returns:
            float64 (rows, width).

        Raises:
            ModelError: the server does not start, refuses the rows, or fails.
            StackError: it cannot answer for now, as with a full disk: nothing to do with the model.
        """
        body = msgspec.json.encode({"inputs": _tensors(self._signature, numeric, categorical)})
        deadline = time.monotonic() + _PATIENCE
        # The socket listens already, so the request waits for the worker; were the worker to die,
        # nobody would answer, so the wait is cut into short pieces.
        while True:
            try:
                answer = httpx.post(self._url, content=body, timeout=2.0)
                break
            except httpx.TransportError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ModelError(f"the server does not start: {self._last_words()}") from None
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise StackError(f"this machine cannot try a model for now: {answer.text[:300]}")
        if answer.status_code != httpx.codes.OK:
            raise ModelError(f"the server answers {answer.status_code}: {answer.text[:300]}")
        found = {output["name"]: output for output in answer.json()["outputs"]}
        values = np.array(found[OUTPUT]["data"], dtype=np.float64)
        return values.reshape(-1, self._signature.width)

    def _last_words(self) -> str:
        text = (self._folder / _STDERR).read_text(errors="replace").strip()
        return text.rpartition("\n")[2][:300] or "it says nothing"


def _tensors(
    signature: Signature, numeric: NDArray[np.float32] | None, categorical: NDArray[Any] | None
) -> list[dict[str, Any]]:
    found = []
    if numeric is not None:
        data = [[None if math.isnan(value) else value for value in row] for row in numeric.tolist()]
        shape = list(numeric.shape)
        found.append({"name": NUMERIC, "shape": shape, "datatype": "FP32", "data": data})
    if categorical is not None:
        rows = object_array(categorical.tolist(), len(signature.categorical)).tolist()
        shape = list(categorical.shape)
        found.append({"name": CATEGORICAL, "shape": shape, "datatype": "BYTES", "data": rows})
    return found


@contextmanager
def trial_server(
    model: bytes, signature: Signature, *, environ: Mapping[str, str] = os.environ
) -> Iterator[TrialServer]:
    """Start a server that serves nothing but this model; end it, and remove its files, at the end.

    It starts while the caller goes on.

    Args:
        model: the packaged graph.
        signature: what it takes and gives.
        environ: of the caller; what is Perennial's or AWS's in it does not reach the server.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-trial-") as name:
        paths = ServerPaths(Path(name))
        paths.make()
        models = LocalModels(paths.models)
        models.add(_NAME, _NAME, model, signature.model_dump_json().encode())
        placement = Placement(revision=0, stage="idle", weight=0.0, champion=_NAME)
        models.write_lineup(Lineup(pipelines={_NAME: placement}))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            process = _start(paths, sock, environ)
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/v2/models/{_NAME}/infer"
            try:
                yield TrialServer(process, url, paths.directory, signature)
            finally:
                process.kill()
                process.wait()


def _start(
    paths: ServerPaths, sock: socket.socket, environ: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "perennial.serving.worker", "--name", _NAME]
    command += ["--socket", str(sock.fileno()), "--dir", str(paths.directory)]
    command += ["--parent", str(os.getpid())]
    command += ["--options", msgspec.json.encode(ServingOptions()).decode()]
    private = ("AWS_", "PERENNIAL_", "PREFECT_")
    with (paths.directory / _STDERR).open("wb") as sink:
        return subprocess.Popen(
            command,
            env={key: value for key, value in environ.items() if not key.startswith(private)},
            pass_fds=(sock.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
