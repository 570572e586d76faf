"""Sweeps and searches on a Dask cluster: points and trials are claimed there as by any other worker."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from inmateria.desk.catalogue import read_catalogue
from inmateria.desk.dask_cluster import dask_client, is_killed
from inmateria.desk.processes import Progress, progress_of
from inmateria.desk.search_folder import SearchFolder
from inmateria.desk.search_trials import run_trial
from inmateria.desk.searching import SearchResult, result_of
from inmateria.desk.sweep_folder import SweepFolder
from inmateria.desk.sweeping import SweepResult
from inmateria.desk.worker import run_point

__all__ = ["run_search_on_dask", "run_sweep_on_dask"]

_LOOK = 0.2
_DEATHS = 3
"""Workers of the cluster that may die while they run a point, before Dask gives it up; it is submitted again then."""


def run_sweep_on_dask(
    folder: SweepFolder,
    address: str = "local",
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    """Run what is left of a sweep on a Dask cluster.

    Parameters
    ----------
    folder : SweepFolder
        On a file system that the cluster's workers share.
    address : str
        Address of a scheduler, such as ``tcp://host:8786``; or ``"local"`` for a cluster on this machine.
    workers : int, optional
        Number of processes of a local cluster.
    on_progress : callable, optional
        Called with a `Progress` a few times a second.

    Returns
    -------
    SweepResult

    Raises
    ------
    ImportError
        If dask.distributed is not installed.
    SweepFolderError
        If the sweep is of another version.
    """
    folder.require_this_version()
    _run_on_dask(
        address, workers, _run_point, str(folder.path.resolve()),
        lambda: [each for each in folder.points if not (folder.is_done(each) or folder.has_failed(each))],
        lambda: (len(folder.finished()), len(folder.failed())), len(folder.points), on_progress,
    )  # fmt: skip
    return SweepResult(folder.path, read_catalogue(folder.runs), list(folder.failures()))


def run_search_on_dask(
    folder: SearchFolder,
    address: str = "local",
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SearchResult:
    """Run what is left of a search on a Dask cluster; parameters and errors are those of `run_sweep_on_dask`."""
    folder.require_this_version()
    _run_on_dask(
        address, workers, _run_trial, str(folder.path.resolve()),
        lambda: sorted(set(range(folder.search.trials)) - folder.ended()),
        folder.counts, folder.search.trials, on_progress,
    )  # fmt: skip
    return result_of(folder)


def _run_on_dask(
    address: str,
    workers: int | None,
    run: Callable[[str, Any], bool],
    path: str,
    left_now: Callable[[], Sequence[Any]],
    over_so_far: Callable[[], tuple[int, int]],
    of: int,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Submit what is left, again and again until nothing is."""
    begun, at_first = time.monotonic(), sum(over_so_far())

    def tell() -> None:
        if on_progress is not None:
            done, failed = over_so_far()
            on_progress(progress_of(done, failed, of, time.monotonic() - begun, at_first))

    with dask_client(address, workers) as client:
        while left := left_now():
            # What another worker holds, or whose worker died, is left for the next round.
            futures = client.map(run, [path] * len(left), left, pure=False, retries=_DEATHS)
            while not all(future.done() for future in futures):
                tell()
                time.sleep(_LOOK)
            for future in futures:
                if future.status == "error" and not is_killed(future):
                    future.result()
            client.cancel(futures)
            del futures, future
    tell()


@lru_cache(maxsize=4)
def _sweep(path: str) -> SweepFolder:
    return SweepFolder(Path(path))


@lru_cache(maxsize=4)
def _search(path: str) -> SearchFolder:
    return SearchFolder(Path(path))


def _run_point(path: str, digest: str) -> bool:
    """Run one point in a worker of the cluster."""
    ran = run_point(_sweep(path), digest)
    if not ran:
        time.sleep(_LOOK)
    return ran


def _run_trial(path: str, number: int) -> bool:
    """Run one trial in a worker of the cluster."""
    ran = run_trial(_search(path), number)
    if not ran:
        time.sleep(_LOOK)
    return ran
