"""One ONNX graph with its preprocessing inside, its signature, and the proof of its parity."""
