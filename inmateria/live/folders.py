"""The folder of a run or of a sweep that was named: by its path, by the name of its task, or as the latest."""

from pathlib import Path

from inmateria.errors import UnknownSubstrate
from inmateria.live.run_source import RunSource
from inmateria.live.source import Source
from inmateria.live.sweep_source import SweepSource
from inmateria.live.sweep_view import is_sweep
from inmateria.protocols.run_progress import PROGRESS_FILE
from inmateria.protocols.runs import RECORDING_FILE, RUN_FILE

__all__ = ["folder_named", "folder_source"]

_LATEST = "latest"
_OF_A_RUN = (PROGRESS_FILE, RUN_FILE, RECORDING_FILE)


def folder_named(named: str, runs: Path | None = None) -> Path | None:
    """Return the folder that is meant.

    Parameters
    ----------
    named : str
        Path of a folder; ``"latest"``; or the name of a task, for its latest run.
    runs : Path, optional
        Where runs are looked for that are named otherwise than by their path; ``runs`` by default.

    Returns
    -------
    Path or None
        None if nothing is called that.
    """
    path = Path(named)
    if path.is_dir():
        return path if is_sweep(path) or _is_run(path) else _latest(path, "") or path
    below = Path("runs") if runs is None else runs
    if named == _LATEST:
        return _latest(below, "")
    return _latest(below, f"-{named}") if named and "/" not in named else None


def folder_source(path: Path) -> Source:
    """Return the source for the folder of a run or of a sweep.

    Raises
    ------
    UnknownSubstrate
        If it is neither.
    """
    if is_sweep(path):
        return SweepSource(path)
    if _is_run(path):
        return RunSource(path)
    raise UnknownSubstrate(
        f"{path} is the folder of no run and of no sweep",
        f"a run has {', '.join(_OF_A_RUN[:-1])} or {_OF_A_RUN[-1]}; a sweep sweep.json, a search search.json",
        "give the folder that `inmateria run` or `inmateria sweep` made",
    )


def _is_run(path: Path) -> bool:
    return any((path / name).exists() for name in _OF_A_RUN)


def _latest(runs: Path, ending: str) -> Path | None:
    """Return the run that began last; names of folders begin with the time."""
    try:
        names = sorted((each.name for each in runs.iterdir() if each.name.endswith(ending)), reverse=True)
    except OSError:
        return None
    return next((runs / name for name in names if _is_run(runs / name)), None)
