"""What a run leaves behind: a folder with run.json, the recording and the report.

`Outcome` is what a task found out; `Run` is that together with everything needed to tell, years later,
what was run: parameters, versions, seed, the substrate's info.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inmateria.substrate import FloatArray, SubstrateInfo

__all__ = [
    "Curves",
    "ExchangeStatistics",
    "Outcome",
    "Run",
    "RunFolderError",
    "Score",
    "make_folder",
    "read_run",
    "weights_by_output",
    "write_run",
]

RUN_FILE = "run.json"
RECORDING_FILE = "recording.h5"
REPORT_FILE = "report.html"

_VERSION = 1


class RunFolderError(Exception):
    """A run folder cannot be made, or is not one that can be read here."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How well one readout did on one sort of features.

    Parameters
    ----------
    readout : str
        Which readout, and of what where a task has several targets.
    on : str
        What it read: the substrate, or a control without the physics.
    features : int
        How many features it read.
    score : float
        By the outcome's metric, on the held-out part of the first split.
    splits : tuple of float
        The same for every split, the first included.
    control : bool
        Whether this is a control.
    """

    readout: str
    on: str
    features: int
    score: float
    splits: tuple[float, ...]
    control: bool


class ExchangeStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What the streaming cost.

    Parameters
    ----------
    count, steps : int
        ExchangeStatistics, and substrate steps in them.
    seconds : float
        How long they took.
    round_trip_p50, round_trip_p99 : float
        Of single-step exchanges made one at a time, s.
    round_trips : int
        How many of those were made.
    """

    count: int
    steps: int
    seconds: float
    round_trip_p50: float
    round_trip_p99: float
    round_trips: int

    @property
    def per_second(self) -> float:
        """ExchangeStatistics per second while streaming."""
        return self.count / self.seconds


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Lines for one picture.

    Parameters
    ----------
    heading, text : str
        What it shows.
    x_label, y_label : str
        With units.
    x : tuple of float
    lines : dict of str to tuple of float
        Name to values, one for each x.
    """

    heading: str
    text: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    lines: dict[str, tuple[float, ...]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a task found out.

    Parameters
    ----------
    title, sentence : str
        What was done, in a few words and in one sentence.
    metric : str
        What a score is; more is better.
    chance : float
        The score of who knows nothing, and `chance_description` says who that is.
    trained, held_out : int
        Items in the two parts of the first split.
    splitting : str
        How the splits were made, in the order of each score's `splits`.
    scores : tuple of Score
        The substrate's first, then the controls.
    exchanges : ExchangeStatistics
        What the streaming cost.
    classes : tuple of str
        What the batch readout has outputs for: the columns of `weights`, and of `confusion` where there is one.
    weights : tuple of tuple of float
        For each output channel, for each class: root mean square weight of the batch readout over its
        standardised features.
    confusion : dict of str to tuple
        For each readout: rows are the true classes, columns the named ones, held-out part.
    learning_curve : tuple of int
        1 where the online readout named a training item rightly before it learned from it, else 0.
    curves : tuple of Curves
        Other pictures worth showing.
    """

    title: str
    sentence: str
    metric: str
    chance: float
    chance_description: str
    trained: int
    held_out: int
    splitting: str
    scores: tuple[Score, ...]
    exchanges: ExchangeStatistics
    classes: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    confusion: dict[str, tuple[tuple[int, ...], ...]] = {}
    learning_curve: tuple[int, ...] = ()
    curves: tuple[Curves, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was run, and what came of it."""

    task: str
    created: str
    on: str
    over: str
    settings: dict[str, Any]
    substrate: SubstrateInfo
    outcome: Outcome
    versions: dict[str, str]
    version: int = _VERSION


def weights_by_output(coef: FloatArray, outputs: list[str]) -> tuple[tuple[float, ...], ...]:
    """Average the weights (classes, features) over each output's features, as root mean square.

    Parameters
    ----------
    coef : ndarray of float, shape (classes, features)
    outputs : list of str
        Output channel of each feature.
    """
    names = list(dict.fromkeys(outputs))
    column = np.array([names.index(output) for output in outputs])
    return tuple(tuple(np.sqrt(np.mean(coef[:, column == each] ** 2, axis=1)).tolist()) for each in range(len(names)))


def make_folder(runs: Path, task: str) -> Path:
    """Make a new folder ``<time>-<task>`` below `runs`, and return its path.

    Raises
    ------
    RunFolderError
        Where it cannot be made.
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
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2))
    draft.replace(path)
    return path


def read_run(folder: Path) -> Run:
    """Read the run.json of a run folder.

    Raises
    ------
    RunFolderError
        Where there is none, or it is not one that can be read here.
    """
    path = folder / RUN_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise RunFolderError(f"{folder} is not a run folder: it has no {RUN_FILE}") from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror})") from None
    try:
        return msgspec.json.decode(text, type=Run)
    except (msgspec.DecodeError, ValueError) as error:
        raise RunFolderError(f"{path} is not a run that can be read here ({error})") from None
