"""One ONNX graph with its preprocessing inside, its signature, and the proof of its parity."""

import os

# onnxruntime reports its use to its maker unless it is told not to, before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
