"""A progress bar on the terminal, from the start of a command on, for whatever phases it goes through."""

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID


class ProgressBar:
    """A progress bar with steps per second, on standard error, for whatever phases a task goes through.

    Parameters
    ----------
    hidden : bool
        Show nothing.
    starting : str
        Words that are shown until the first phase is reported.
    """

    def __init__(self, hidden: bool, starting: str = "starting") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=hidden,
        )
        self._starting: TaskID | None = self._progress.add_task(starting, total=None, count="", rate="")
        self._phases: dict[str, tuple[TaskID, float]] = {}
        self._lock = threading.Lock()  # scoring reports from a thread

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end_start()
        self._progress.stop()

    def watch(self, phase: str, done: int, of: int, steps: int) -> None:
        """Show how far a phase is."""
        with self._lock:
            self._end_start()
            if phase not in self._phases:
                bar = self._progress.add_task(phase, total=of, count="", rate="")
                self._phases[phase] = (bar, time.perf_counter())
            bar, begun = self._phases[phase]
        elapsed = time.perf_counter() - begun
        rate = f"{steps / elapsed:,.0f} steps/s" if steps and elapsed > 0.05 else ""
        # A phase of one part is as good as endless until it is done: the bar moves and does not stand at zero.
        total = of if done or of > 1 else None
        self._progress.update(bar, completed=done, total=total, count=f"{done:,}/{of:,}", rate=rate)

    def _end_start(self) -> None:
        if self._starting is not None:
            self._progress.remove_task(self._starting)
            self._starting = None
