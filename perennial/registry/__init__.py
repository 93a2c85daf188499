"""Versions, the state that names the champion, and the history of both."""

from perennial.registry.declaration import (
    Declaration,
    declare,
    find_declaration,
    known_pipelines,
    resolve,
)
from perennial.registry.history import (
    HistoryEntry,
    Stage,
    Standing,
    append_history,
    failures_in_a_row,
    new_entry,
    read_history,
    standing_at,
)
from perennial.registry.state import State, StoredState, change_state, read_state
from perennial.registry.versions import (
    FileEntry,
    Lineage,
    Manifest,
    base_of,
    list_versions,
    next_version,
    read_file,
    read_manifest,
    read_signature,
    register,
    write_file,
)

__all__ = [
    "Declaration",
    "FileEntry",
    "HistoryEntry",
    "Lineage",
    "Manifest",
    "Stage",
    "Standing",
    "State",
    "StoredState",
    "append_history",
    "base_of",
    "change_state",
    "declare",
    "failures_in_a_row",
    "find_declaration",
    "known_pipelines",
    "list_versions",
    "new_entry",
    "next_version",
    "read_file",
    "read_history",
    "read_manifest",
    "read_signature",
    "read_state",
    "register",
    "resolve",
    "standing_at",
    "write_file",
]
