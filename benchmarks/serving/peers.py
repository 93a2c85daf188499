"""Other servers, each in an environment of its own, with a model trained on the same rows.

Each serves scikit-learn's HistGradientBoostingRegressor by one worker process, as its
documentation says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_FIT = """
import sys
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
data = np.load(sys.argv[1])
model = HistGradientBoostingRegressor(max_iter=100, early_stopping=False, max_leaf_nodes=15)
model.fit(data["x"], data["y"])
"""

_MLSERVER_FIT = _FIT + 'import joblib\njoblib.dump(model, "model.joblib")\n'

_MLFLOW_FIT = (
    _FIT
    + """
import mlflow.sklearn
predictor = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
mlflow.sklearn.save_model(model, "model", skops_trusted_types=[predictor])
"""
)

_BENTOML_FIT = _FIT + 'import joblib\njoblib.dump(model, "model.joblib")\n'

_BENTOML_SERVICE = """
import bentoml
import joblib
import numpy as np

@bentoml.service(workers=1)
class Bench:
    def __init__(self) -> None:
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)
"""


@dataclass(frozen=True)
class Peer:
    """How to install, prepare, start and ask another server."""

    name: str
    requirements: tuple[str, ...]
    fit: str
    files: Callable[[int], dict[str, str]]
    """Written beside the model, given the port."""
    command: Callable[[int], list[str]]
    """Run in its folder; the first word is looked for in its environment."""
    path: str
    health: str
    body: Callable[[np.ndarray], bytes]


def _tensor(row: np.ndarray) -> bytes:
    data = [round(float(v), 4) for v in row]
    tensor = {"name": "x", "shape": [1, len(data)], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def _rows(key: str) -> Callable[[np.ndarray], bytes]:
    return lambda row: json.dumps({key: [[round(float(v), 4) for v in row]]}).encode()


PEERS = {
    "mlserver": Peer(
        "mlserver",
        ("mlserver==1.7.1", "mlserver-sklearn==1.7.1"),
        _MLSERVER_FIT,
        lambda port: {
            "model-settings.json": json.dumps(
                {
                    "name": "bench",
                    "implementation": "mlserver_sklearn.SKLearnModel",
                    "parameters": {"uri": "./model.joblib"},
                }
            ),
            "settings.json": json.dumps(
                {
                    "http_port": port,
                    "grpc_port": port + 1,
                    "metrics_port": port + 2,
                    "parallel_workers": 0,
                    "debug": False,
                }
            ),
        },
        lambda _: ["mlserver", "start", "."],
        "/v2/models/bench/infer",
        "/v2/models/bench/ready",
        _tensor,
    ),
    "mlflow": Peer(
        "mlflow",
        ("mlflow",),
        _MLFLOW_FIT,
        lambda _: {},
        lambda port: [
            *("mlflow", "models", "serve", "-m", "model", "--env-manager", "local"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        ],
        "/invocations",
        "/health",
        _rows("inputs"),
    ),
    "bentoml": Peer(
        "bentoml",
        ("bentoml", "scikit-learn"),
        _BENTOML_FIT,
        lambda _: {"service.py": _BENTOML_SERVICE},
        lambda port: ["bentoml", "serve", "service:Bench", "--port", str(port)],
        "/predict",
        "/readyz",
        _rows("rows"),
    ),
}


def prepare(peer: Peer, folder: Path, data: Path, port: int) -> Path:
    """Install a peer where it is missing, train its model; return the folder of its commands."""
    bin_folder = folder / "venv" / "bin"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "venv"], check=True)
        subprocess.run([bin_folder / "pip", "install", "-q", *peer.requirements], check=True)
        (folder / "installed").touch()
    for name, text in peer.files(port).items():
        (folder / name).write_text(text)
    if not (folder / "fitted").exists():
        subprocess.run([bin_folder / "python", "-c", peer.fit, data], check=True, cwd=folder)
        (folder / "fitted").touch()
    return bin_folder
