"""The command blocks of README and docs: which there are, and a shell that runs them as written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    *(f"docs/{page.name}" for page in sorted((PROJECT / "docs").glob("*.md"))),
    "infra/README.md",
    "CONTRIBUTING.md",
)
"""In the order in which they are typed in."""
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_DONE = "block-is-done"


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    line: int
    """Of its first line of text, counted from 1."""
    info: str
    """What stands behind the fence: sh, yaml, ..."""
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Its commands, lines that go on joined, without comments."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def blocks(document: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document, in order."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("body")) + 1
        yield Block(document, line, found["info"].strip(), found["body"])


class Shell:
    """One bash in which blocks run one after the other, as in one terminal."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, text: str) -> tuple[int, str]:
        """Type a block; gives its exit code and what it printed. The first failure ends it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # A function keeps `set -e` off the shell itself and lets variables stay.
        lines = "\n".join(f"{line} || return $?" for line in _statements(text))
        self._process.stdin.write(f"block() {{\n{lines}\n}}\nblock < /dev/null\n")
        self._process.stdin.write(f'echo; echo "{_DONE} $?"\n')
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.startswith(f"{_DONE} "):
                return int(line.split()[1]), "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended: {''.join(said)}")

    def close(self) -> None:
        """End the shell, and what it left running in the foreground."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


def _statements(text: str) -> list[str]:
    return Block("", 0, "sh", text).commands
