"""What a step shows in Prefect's UI."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.artifacts import create_markdown_artifact

from tasks.connection import store

LINK_SECONDS = 7 * 86_400


def publish(key: str, pipeline: str, markdown: str, *, description: str) -> None:
    """Publish a markdown artifact under a key that collects its history a pipeline."""
    create_markdown_artifact(key=f"{key}-{pipeline}", markdown=markdown, description=description)


def link(key: str, text: str) -> str:
    """A link to an object of the store, in markdown; it is good for a week."""
    return f"[{text}]({store().link(key, LINK_SECONDS)})"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
