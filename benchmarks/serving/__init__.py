"""The inference server beside an echo and its peers: ``python -m benchmarks.serving --help``."""
