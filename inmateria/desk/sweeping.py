"""Sweeps: every combination of substrates, settings and seeds of a task, run by processes that share a folder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inmateria.adapters import connect
from inmateria.desk.catalogue import read_catalogue
from inmateria.desk.points import expand_uri, make_points, values_of
from inmateria.desk.processes import Progress, SweepFailed, run_in_processes
from inmateria.desk.run_tables import Row, rows_of, runs_to_pandas
from inmateria.desk.summaries import RunSummary
from inmateria.desk.sweep_folder import Failure, SweepFolder
from inmateria.one_line import one_line
from inmateria.protocols.data_parts import Part
from inmateria.protocols.task import find_task
from inmateria.substrate import SubstrateError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Progress", "SweepFailed", "SweepResult", "run_sweep", "sweep"]


@dataclass(frozen=True, eq=False)
class SweepResult:
    """A sweep that has been run.

    Parameters
    ----------
    folder : Path
        Its folder; the run folders are in ``runs`` below it.
    runs : list of RunSummary
        Finished runs, the oldest first.
    failures : list of Failure
        Points that failed.
    """

    folder: Path
    runs: list[RunSummary]
    failures: list[Failure]

    __repr__ = one_line

    def rows(self) -> list[Row]:
        """Return a row for each run; see `inmateria.desk.run_tables.Row`."""
        return rows_of(self.runs)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the runs as a data frame."""
        return runs_to_pandas(self.runs)


def sweep(
    task: str,
    on: str | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    seeds: int | None = None,
    folder: Path | str = "sweep",
    workers: int | None = None,
    keep: str = "nothing",
    reports: bool = False,
    part: Part = "test",
    on_progress: Callable[[Progress], None] | None = None,
) -> SweepResult:
    r"""Run a task on every combination of substrates, settings and seeds, in processes of their own.

    What is in the folder already is not run again, so a sweep that was interrupted goes on when it is called again, and
    several machines that share the folder may call it at once.

    Parameters
    ----------
    task : str
        Name of the task.
    on : str or sequence of str, optional
        URIs; by default ``nanowire://``, or the network that the task trains. Their parameters may have several values:
        ``nanowire://?wires=100,300&seed=0..19``. A comma inside a value is ``\,``.
    settings : mapping, optional
        Value, list of values, or text of several values (``"log:.001..1:7"``), for settings of the task.
    seeds : int, optional
        Number of seeds of the task for every other combination.
    folder : Path or str
        Folder of the sweep.
    workers : int, optional
        Number of processes; by default one for each processor that this process may use.
    keep : {"nothing", "features", "exact", "all"}
        What the recordings keep; by default there are none.
    reports : bool
        Whether every run writes a report; `inmateria report` writes one later.
    part : {"test", "validation"}
        The data that are scored: ``"validation"`` to choose settings, on data that no reported run tests on.
    on_progress : callable, optional
        Called with a `Progress` a few times a second.

    Returns
    -------
    SweepResult

    Raises
    ------
    UnknownTask
        If there is no such task, or it does not accept the settings.
    SweepFolderError
        If the folder is one of another sweep.
    UnsuitableSetting
        If the task has no part for validation.
    SweepFailed
        If workers die again and again.
    """
    made = prepare_sweep(task, on, settings, seeds=seeds, folder=folder, keep=keep, reports=reports, part=part)
    return run_sweep(made, workers, on_progress)


def prepare_sweep(
    task: str,
    on: str | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    seeds: int | None = None,
    folder: Path | str = "sweep",
    keep: str = "nothing",
    reports: bool = False,
    part: Part = "test",
) -> SweepFolder:
    """Make the folder of a sweep, or open it, with every setting and one URI of each kind tried; see `sweep`."""
    chosen = find_task(task)
    uris = [on] if isinstance(on, str) else list(on or ())
    values = {name: _values(value) for name, value in (settings or {}).items()}
    points = make_points(chosen, uris, values, seeds, part)
    first = chosen.settings_from(points[0].settings)
    own = chosen.substrates is not None
    if own or not uris:
        chosen.check_part(part, chosen.uris(first, None, part))
    for uri in () if own else uris:
        needed = chosen.uris(first, expand_uri(uri)[0], part)
        chosen.check_part(part, needed)
        substrate = connect(needed[0])
        with suppress(SubstrateError):  # known once it is entered
            chosen.check(substrate.info)
    return SweepFolder.make(Path(folder), points, keep=keep, reports=reports)


def _values(given: Any) -> list[Any]:
    if isinstance(given, str):
        return list(values_of(given))
    return list(given) if isinstance(given, list | tuple | range) else [given]


def run_sweep(
    folder: SweepFolder, workers: int | None = None, on_progress: Callable[[Progress], None] | None = None
) -> SweepResult:
    """Run what is left of a sweep in processes of their own; see `sweep`.

    Workers that die are replaced. An interruption ends them; the points that they ran then are given back.
    """
    folder.require_this_version()
    run_in_processes(
        folder.path, "inmateria.desk.worker", lambda: (len(folder.finished()), len(folder.failed())),
        len(folder.points), workers, on_progress,
    )  # fmt: skip
    return SweepResult(folder.path, read_catalogue(folder.runs), list(folder.failures()))
