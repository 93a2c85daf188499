"""Sources, the log, windows and snapshots: the stream in all its forms."""
