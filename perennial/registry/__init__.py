"""Versions, the state that names the champion, and the history of both."""

from perennial.registry.history import HistoryEntry, append_history, read_history
from perennial.registry.state import Stage, State, StoredState, change_state, read_state
from perennial.registry.versions import (
    FileEntry,
    Lineage,
    Manifest,
    list_versions,
    next_version,
    read_file,
    read_manifest,
    read_signature,
    register,
)

__all__ = [
    "FileEntry",
    "HistoryEntry",
    "Lineage",
    "Manifest",
    "Stage",
    "State",
    "StoredState",
    "append_history",
    "change_state",
    "list_versions",
    "next_version",
    "read_file",
    "read_history",
    "read_manifest",
    "read_signature",
    "read_state",
    "register",
]
