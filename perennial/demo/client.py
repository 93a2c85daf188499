"""A client as a customer would write it: one row a request, one connection, patient."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from perennial.errors import StackError

_PATIENCE = 60.0
_PAUSE = 0.1
_FEEDBACK_BATCH = 500


@dataclass
class Tally:
    """What became of the requests. A request that is repeated after a lost connection is one."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    repeated: int = 0
    labels: int = 0


class Client:
    """Talks to the inference server about one pipeline.

    A connection that breaks or a 503 (the server is being started again) is tried again for a
    minute under the same id; any other answer than 200 is a failure.
    """

    def __init__(self, url: str, pipeline: str, *, sleep: Callable[[float], None] = time.sleep):
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._pipeline = pipeline
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None
        self.tally = Tally()
        self.refusal = ""
        """What the server said of the last request that it refused."""

    def predict(self, identifier: str, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Ask for one row; None where the server refused it."""
        self.tally.sent += 1
        status, answer = self._post(":predict", {"rows": [row], "ids": [identifier]})
        if status != http.HTTPStatus.OK:
            self.tally.failed += 1
            error = answer.get("error") if isinstance(answer, dict) else None
            self.refusal = f"{status}: {error or answer}"
            return None
        self.tally.answered += 1
        answered: dict[str, Any] = answer
        return answered

    def feedback(self, labels: Sequence[tuple[str, Any]]) -> None:
        """Tell the truth about earlier requests.

        Raises:
            StackError: the server does not take it.
        """
        for start in range(0, len(labels), _FEEDBACK_BATCH):
            batch = labels[start : start + _FEEDBACK_BATCH]
            body = {"labels": [{"id": name, "label": label} for name, label in batch]}
            status, answer = self._post(":feedback", body)
            if status != http.HTTPStatus.OK:
                raise StackError(f"the server refused feedback ({status}): {answer}")
            self.tally.labels += len(batch)

    def serves(self, version: str) -> bool:
        """Tell whether the server answers with this version by now."""
        try:
            _, ready = self._send("GET", "/v2/health/ready")
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        return bool(ready["models"].get(self._pipeline) == version)

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, verb: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        path, data = f"/v1/models/{self._pipeline}{verb}", json.dumps(body).encode()
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                status, answer = self._send("POST", path, data)
                if status != http.HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    return status, answer
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if time.monotonic() > deadline:
                    return 0, {"error": str(error)}
            self.tally.repeated += 1
            self._sleep(_PAUSE)

    def _send(self, method: str, path: str, data: bytes | None = None) -> tuple[int, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        self._connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
