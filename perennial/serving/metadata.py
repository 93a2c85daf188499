"""What the Open Inference Protocol tells of the server and its models."""

from __future__ import annotations

from typing import Any

import perennial
from perennial.serving.models import LoadedModel, Served
from perennial.serving.oip import inputs, outputs
from perennial.serving.tensors import BYTES


def server_metadata() -> dict[str, Any]:
    """Describe the server."""
    return {
        "name": "perennial",
        "version": perennial.__version__,
        "extensions": ["binary_tensor_data", "model_repository", "model_configuration"],
    }


def model_metadata(model: LoadedModel, served: Served) -> dict[str, Any]:
    """Describe a model by its signature; its versions are those that are loaded."""

    def tensor_list(found: list[tuple[str, str, list[int]]]) -> list[dict[str, Any]]:
        return [{"name": n, "datatype": d, "shape": s} for n, d, s in found]

    signature = model.signature
    return {
        "name": model.pipeline,
        "versions": [m.version for m in served.models],
        "platform": "onnxruntime_onnx",
        "inputs": tensor_list(inputs(signature)),
        "outputs": tensor_list(outputs(signature)),
        "parameters": {
            "version": model.version,
            "task": signature.task,
            "target": signature.target,
            "classes": list(signature.classes),
            "context": list(signature.context),
        },
    }


def model_config(model: LoadedModel) -> dict[str, Any]:
    """Describe a model as Triton's model configuration does."""

    def tensor_list(found: list[tuple[str, str, list[int]]]) -> list[dict[str, Any]]:
        types = {"FP32": "TYPE_FP32", BYTES: "TYPE_STRING"}
        return [{"name": n, "data_type": types[d], "dims": s} for n, d, s in found]

    return {
        "name": model.pipeline,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "input": tensor_list(inputs(model.signature)),
        "output": tensor_list(outputs(model.signature)),
    }


def model_list(served: dict[str, Served]) -> dict[str, Any]:
    """Name every pipeline with its champion, and where it is asked."""
    return {
        "models": [
            {
                "name": name,
                "version": None if entry.champion is None else entry.champion.version,
                "predict": f"/v1/models/{name}:predict",
                "feedback": f"/v1/models/{name}:feedback",
                "about": f"/v2/models/{name}",
            }
            for name, entry in sorted(served.items())
        ],
        "docs": "/docs",
    }


def repository_index(served: dict[str, Served]) -> list[dict[str, Any]]:
    """List every version of every pipeline, loaded or refused."""
    entries: list[dict[str, Any]] = []
    for name, entry in sorted(served.items()):
        for model in entry.models:
            entries.append({"name": name, "version": model.version, "state": "READY", "reason": ""})
        for version, reason in entry.placement.refused.items():
            entries.append(
                {"name": name, "version": version, "state": "UNAVAILABLE", "reason": reason}
            )
        if entry.champion is None and not entry.placement.refused:
            entries.append(
                {"name": name, "version": "", "state": "UNAVAILABLE", "reason": "no champion yet"}
            )
    return entries
