"""The progress of a sweep or a search: a bar with the time that is left, and the best so far."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inmateria.desk.processes import Progress

__all__ = ["SweepProgress"]


class SweepProgress:
    """A bar with the time that is left, and lines on the best so far, on standard error.

    Parameters
    ----------
    things : str
        What is counted, such as ``"points"``.
    best : callable
        Returns the lines.
    hidden : bool
        Whether nothing is shown.
    """

    def __init__(self, things: str, best: Callable[[], list[str]], hidden: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._things, self._best_now, self._hidden = things, best, hidden
        self._best: list[str] = []
        self._live = Live(console=Console(stderr=True, quiet=hidden), auto_refresh=False, transient=True)

    def __enter__(self) -> "SweepProgress":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def watch(self, progress: "Progress") -> None:
        """Show how far it is."""
        if self._hidden:
            return
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        over = progress.done + progress.failed
        words = f"{over:,} of {progress.of:,} {self._things}, {progress.failed:,} failed, {progress.seconds:,.0f} s"
        if progress.left is not None and over < progress.of:
            end = datetime.now() + timedelta(seconds=progress.left)
            words += f"; {progress.left:,.0f} s left, until {end:%H:%M:%S}"
        self._best = self._best_now()
        lines = [Text(words), *map(Text, self._best)]
        self._live.update(Group(ProgressBar(progress.of, over, width=60), *lines), refresh=True)
