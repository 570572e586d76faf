"""A Dask cluster: one on this machine that ends with its use, or a scheduler elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["dask_client", "is_killed", "results_of"]


@contextmanager
def dask_client(address: str = "local", workers: int | None = None) -> Iterator[Any]:
    """Open a client of a Dask cluster.

    Parameters
    ----------
    address : str
        Address of a scheduler, such as ``tcp://host:8786``; or ``"local"`` for a cluster on this machine.
    workers : int, optional
        Number of processes of a local cluster.

    Raises
    ------
    ImportError
        If dask.distributed is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ImportError("a Dask cluster needs dask.distributed; pip install 'inmateria[dask]'") from None
    with ExitStack() as exits:
        cluster: Any = address
        if address == "local":
            cluster = exits.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)  # type: ignore[no-untyped-call]
            )
        yield exits.enter_context(Client(cluster))  # type: ignore[no-untyped-call]


def is_killed(future: Any) -> bool:
    """Return whether a task that failed did so because worker after worker died with it."""
    from distributed import KilledWorker

    return isinstance(future.exception(), KilledWorker)


def results_of(client: Any, futures: Sequence[Any], on_result: Callable[[], None]) -> list[Any]:
    """Return the results of tasks in their order; if one fails, or we are interrupted, cancel the others."""
    from distributed import as_completed

    try:
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            future.result()
            on_result()
        return [future.result() for future in futures]
    finally:
        client.cancel(futures)
