"""The loop on a recorded stream: row by row through the real parts, in fast motion."""
