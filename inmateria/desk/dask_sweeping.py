"""The points of a sweep on a Dask cluster: each is a Dask task that claims its point, as any other worker does."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

from inmateria.desk.catalogue import read_catalogue
from inmateria.desk.processes import Progress, progress_of
from inmateria.desk.sweep_folder import SweepFolder
from inmateria.desk.sweeping import SweepResult
from inmateria.desk.worker import run_point

__all__ = ["run_sweep_on_dask"]

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
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise ImportError("a Dask cluster needs dask.distributed; pip install 'inmateria[dask]'") from None
    folder.require_this_version()
    begun, at_first = time.monotonic(), len(folder.finished()) + len(folder.failed())

    def tell() -> None:
        if on_progress is None:
            return
        done, failed, of = len(folder.finished()), len(folder.failed()), len(folder.points)
        on_progress(progress_of(done, failed, of, time.monotonic() - begun, at_first))

    with ExitStack() as exits:
        cluster: Any = address
        if address == "local":
            cluster = exits.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)  # type: ignore[no-untyped-call]
            )
        client = exits.enter_context(Client(cluster))  # type: ignore[no-untyped-call]
        path = str(folder.path.resolve())
        while left := [each for each in folder.points if not (folder.is_done(each) or folder.has_failed(each))]:
            # Points that another worker holds, or whose worker died, are left for the next round.
            futures = client.map(_run, [path] * len(left), left, pure=False, retries=_DEATHS)
            while not all(future.done() for future in futures):
                tell()
                time.sleep(_LOOK)
            for future in futures:
                if future.status == "error" and not isinstance(future.exception(), KilledWorker):
                    future.result()
            client.cancel(futures)
            del futures, future
    tell()
    return SweepResult(folder.path, read_catalogue(folder.runs), list(folder.failures()))


@lru_cache(maxsize=4)
def _folder(path: str) -> SweepFolder:
    return SweepFolder(Path(path))


def _run(path: str, digest: str) -> bool:
    """Run one point in a worker of the cluster."""
    ran = run_point(_folder(path), digest)
    if not ran:
        time.sleep(_LOOK)
    return ran
