"""How far it is: a bar on a terminal, a line every few seconds elsewhere. On standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LINE_INTERVAL_S = 3.0


class OrderProgress:
    """A context manager; `note` prints a line beside it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = self._reported = time.monotonic()
        self._bar: Progress | None = None
        console = Console(stderr=True, highlight=False)
        if console.is_terminal:
            columns = (
                TextColumn("orders"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("orders", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        """So many orders have ended."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
            return
        now = time.monotonic()
        if now - self._reported >= _LINE_INTERVAL_S or done == self._total:
            self._reported = now
            self.note(f"{done} of {self._total} orders, {now - self._began:.0f} s")

    def note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)
