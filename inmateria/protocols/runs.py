"""Run folders: run.json, the recording and the report of one run.

A `Run` is an `Outcome` together with everything needed to know years later what was run: settings, versions, seed,
the substrate's info.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from inmateria.one_line import one_line
from inmateria.protocols.costs import Cost
from inmateria.protocols.outcome import Outcome
from inmateria.recording.documents import from_json, to_json
from inmateria.substrate import SubstrateInfo

__all__ = ["Run", "RunFolderError", "make_folder", "read_run", "shown_on", "write_run"]

RUN_FILE = "run.json"
RECORDING_FILE = "recording.h5"
REPORT_FILE = "report.html"

_VERSION = 1


class RunFolderError(Exception):
    """A run folder cannot be made, or is not one that can be read here."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a task: its settings, substrate and outcome.

    Parameters
    ----------
    task : str
        Name of the task.
    created : str
        Time at which it began, ISO 8601.
    on, over : str
        URI of the substrate as it was given, and ``"local"`` or ``"mqtt"``.
    settings : dict
        Settings of the task.
    substrate : SubstrateInfo
        Info of the substrate; of the first one if there are several.
    outcome : Outcome
        The result.
    versions : dict of str to str
        Versions of the software.
    keep : {"all", "exact", "features", "nothing"}
        What the recording keeps; see `inmateria.protocols.runner.run_task`.
    part : {"test", "validation"}
        The data that were scored: those of reported scores, or those on which settings are chosen.
    seconds : float, optional
        Duration of the task, s; None for runs of versions that did not note it.
    threads : int, optional
        Threads of linear algebra, on which the last bits of scores depend; None for runs of versions that did not
        note it.
    cost : Cost, optional
        Stimuli, time and energy that the run cost the device; None for runs of versions that did not note it.
    version : int
        Version of this format.
    """

    task: str
    created: str
    on: str
    over: str
    settings: dict[str, Any]
    substrate: SubstrateInfo
    outcome: Outcome
    versions: dict[str, str]
    keep: str = "all"
    part: str = "test"
    seconds: float | None = None
    threads: int | None = None
    cost: Cost | None = None
    version: int = _VERSION

    __repr__ = one_line

    @property
    def substrates(self) -> int:
        """Number of substrates that it was on."""
        return len(self.on.split(", "))


def shown_on(run: Run) -> str:
    """Write the URIs that a run was on; of more than three, the first and the last."""
    uris = run.on.split(", ")
    return run.on if len(uris) <= 3 else f"{uris[0]}, ..., {uris[-1]}"


def make_folder(runs: Path, task: str) -> Path:
    """Make a new folder ``<time>-<task>`` below `runs`, and return its path.

    Raises
    ------
    RunFolderError
        If it cannot be made.
    """
    stamp = datetime.now().astimezone().strftime("%Y%m%dT%H%M%S")
    for attempt in range(100):
        folder = runs / f"{stamp}{f'.{attempt}' if attempt else ''}-{task}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if runs.exists() and not runs.is_dir():
                break
            continue
        except OSError as error:
            raise RunFolderError(f"{folder} cannot be made ({error.strerror}); give another place with --out") from None
        return folder
    raise RunFolderError(f"no run folder can be made below {runs}; give another place with --out")


def write_run(folder: Path, run: Run) -> Path:
    """Write run.json, whole or not at all, and return its path."""
    path = folder / RUN_FILE
    draft = folder / f".{RUN_FILE}"
    draft.write_bytes(msgspec.json.format(to_json(run), indent=2))
    draft.replace(path)
    return path


def read_run(folder: Path) -> Run:
    """Read the ``run.json`` of a run folder.

    Raises
    ------
    RunFolderError
        If there is no such file, or it is of an unknown version.
    """
    path = folder / RUN_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise RunFolderError(f"{folder} is not a run folder: it has no {RUN_FILE}") from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror})") from None
    try:
        try:
            return msgspec.json.decode(text, type=Run)
        except msgspec.ValidationError:  # a number in it may not be finite
            return msgspec.convert(from_json(text), Run)
    except (msgspec.DecodeError, ValueError) as error:
        raise RunFolderError(f"{path} is not a run that can be read here ({error})") from None
