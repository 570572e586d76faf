"""A progress bar on the terminal, for whatever phases a task goes through."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID


class ProgressBar:
    """A progress bar with steps per second, on standard error, for whatever phases a task goes through."""

    def __init__(self, hidden: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=hidden,
        )
        self._phases: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def watch(self, phase: str, done: int, of: int, steps: int) -> None:
        """Show how far a phase is."""
        if phase not in self._phases:
            self._phases[phase] = (self._progress.add_task(phase, total=of, rate=""), time.perf_counter())
        bar, begun = self._phases[phase]
        elapsed = time.perf_counter() - begun
        rate = f"{steps / elapsed:,.0f} steps/s" if steps and elapsed > 0.05 else ""
        self._progress.update(bar, completed=done, total=of, rate=rate)
