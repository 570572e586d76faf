"""Worker processes of a folder on this machine: started, replaced when they die, ended when interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inmateria.one_line import one_line

__all__ = ["Progress", "SweepFailed", "progress_of", "run_in_processes"]

_LOOK = 0.2
_PART = 0.05
"""Part of the time that may go into looking how far it is: ten thousand points are looked at less often."""
_GOODBYE = 15.0
_DEATHS = 10
"""Workers that may die one after another without a point being finished meanwhile."""


class SweepFailed(RuntimeError):
    """No worker lives long enough to run a point."""


@dataclass(frozen=True)
class Progress:
    """Progress of a sweep.

    Parameters
    ----------
    done, failed, of : int
        Points that are finished, that failed, and all.
    seconds : float
        Time since the workers were started, s.
    left : float, optional
        Expected time until the end, s, by the points finished since then; None before the first.
    """

    done: int
    failed: int
    of: int
    seconds: float
    left: float | None

    __repr__ = one_line


def run_in_processes(
    path: Path,
    module: str,
    over_so_far: Callable[[], tuple[int, int]],
    of: int,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    """Run workers on a folder until all is over.

    Parameters
    ----------
    path : Path
        The folder.
    module : str
        Module that is a worker, given the folder.
    over_so_far : callable
        Returns how many are finished, and how many failed.
    of : int
        All that there are.
    workers : int, optional
        Number of processes; by default one for each processor.
    on_progress : callable, optional
        Called with a `Progress` a few times a second.

    Raises
    ------
    SweepFailed
        If workers die again and again.
    """
    count = workers or _processors()
    if count < 1:
        raise ValueError(f"workers is {count}; give 1 or more")
    begun = time.monotonic()
    at_first = over = sum(over_so_far())
    deaths, started = 0, 0
    running: list[subprocess.Popen[bytes]] = []
    try:
        while True:
            look = time.monotonic()
            done, failed = over_so_far()
            left = of - done - failed
            if done + failed > over:
                deaths, over = 0, done + failed
            if on_progress is not None:
                on_progress(progress_of(done, failed, of, time.monotonic() - begun, at_first))
            ended = [worker for worker in running if worker.poll() is not None]
            running = [worker for worker in running if worker.poll() is None]
            deaths += sum(worker.returncode != 0 for worker in ended)
            if left <= 0 and not running:
                break
            if deaths > _DEATHS:
                raise SweepFailed(
                    f"{deaths} workers died one after another, the last with status {ended[-1].returncode}; "
                    f"what they printed is in {path / 'logs'}"
                )
            while len(running) < min(count, left):
                running.append(_start(path, module, started, count))
                started += 1
            _wait(running, max(_LOOK, (time.monotonic() - look) / _PART))
    finally:
        _end(running)


def progress_of(done: int, failed: int, of: int, seconds: float, at_first: int) -> Progress:
    """Return the progress, its expected end by the points that are over since the beginning, when `at_first` were."""
    since = done + failed - at_first
    left = seconds / since * (of - done - failed) if since else None
    return Progress(done, failed, of, seconds, left)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(path: Path, module: str, number: int, workers: int) -> subprocess.Popen[bytes]:
    """Start a worker; what it prints goes to a log of its own."""
    threads = str(max(1, _processors() // workers))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**dict.fromkeys(names, threads), **os.environ}
    with (path / "logs" / f"{os.getpid()}-{number}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(path)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        )  # fmt: skip


def _wait(running: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Wait until a worker ends, at most some seconds: until the next look."""
    for worker in running[:1]:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(seconds)


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let workers give back their points and end; those that do not are killed."""
    for worker in running:
        with suppress(OSError):
            worker.send_signal(signal.SIGTERM)
    until = time.monotonic() + _GOODBYE
    for worker in running:
        try:
            worker.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
