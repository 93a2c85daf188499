"""What a person sees while the demo runs."""

from __future__ import annotations

from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from perennial.drift.record import Check

_LINES = 12


class Display:
    """A live table on a terminal; elsewhere a line a window."""

    def __init__(self, console: Console, windows: int) -> None:
        self._console = console
        self._lines: deque[tuple[str, str, str, str]] = deque(maxlen=_LINES)
        self._champion = "none yet"
        self._loss = ""
        self._bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._windows = self._bar.add_task("windows", total=windows)
        self._rows = self._bar.add_task("rows", total=None)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._table())

    def step(self, text: str) -> None:
        """Something that takes a while begins."""
        if self._console.is_terminal:
            self._bar.update(self._rows, description=text, completed=0, total=None)
        else:
            self._console.print(text)

    def rows(self, window: int, done: int, total: int) -> None:
        """Requests of a window that have been answered."""
        description = f"window {window}: requests"
        self._bar.update(self._rows, description=description, completed=done, total=total)

    def broken(self, window: int, column: str) -> None:
        """The demo breaks the pipe."""
        text = f"the demo breaks the pipe: {column} holds one value in this window"
        self._line(str(window), self._champion, "", text)

    def checked(self, window: int, check: Check) -> None:
        """The monitor has judged a window."""
        self._champion = check.champion
        loss = f"{check.losses[-1].loss:.4g}" if check.losses else ""
        self._loss = loss or self._loss
        self._bar.update(self._windows, completed=window)
        self._line(str(window), check.champion, loss, check.decision.reason)
        if check.decision.action == "heal":
            self.step(f"window {window}: the automation heals")

    def healed(self, window: int, version: str | None, why_not: str | None) -> None:
        """A retrain has answered."""
        text = f"{version} took over"
        if why_not is not None:
            text = f"the candidate was refused, the champion stays: {why_not}"
        elif version == self._champion:
            text = "the champion stays"
        self._line(str(window), version or "", "", text)
        self._champion = version or self._champion

    def _line(self, *cells: str) -> None:
        window, champion, loss, text = cells
        self._lines.append((window, champion, loss, text))
        if not self._console.is_terminal:
            shown = f" loss {loss}" if loss else ""
            self._console.print(f"window {window} · {champion}{shown} · {text}", soft_wrap=True)

    def _render(self) -> RenderableType:
        return Group(self._table(), self._bar)

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), expand=False)
        for heading in ("window", "champion", "loss", "last verdict"):
            table.add_column(heading, overflow="fold")
        for line in self._lines:
            table.add_row(*line)
        return table
