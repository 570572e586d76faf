"""The progress of a run in a file of its folder, for those who watch it: stages, targets in order of time, the end.

The file, ``progress.jsonl``, is only appended to, a line of JSON at a time, by a thread of its own: a task that reports
its progress sets a value and never waits for a disk. While the run lives, its process holds a lock on the file, so that
a watcher knows at once whether it still does. The file appears whole with its first line.

It is kept with a recording, without which the targets could not be set beside an output; a run that keeps no recording
removes it at its end.
"""

import asyncio
import fcntl
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.substrate import FloatArray, Substrate

__all__ = [
    "PROGRESS_FILE",
    "Begun",
    "Ended",
    "Line",
    "NoTargets",
    "ProgressFile",
    "Reading",
    "RunningScore",
    "Stage",
    "Targets",
    "Values",
    "note_learning",
    "note_no_targets",
    "note_reading",
    "note_score",
    "progress_file",
    "recorded_by",
]

PROGRESS_FILE = "progress.jsonl"

_FORMAT = 1
_EVERY, _BEAT = 0.25, 2.0
"""Seconds between two writings, and between two signs of life."""
_PIECE = 1 << 16
"""Most bytes that are written at once."""
_ROWS = 1000
"""Rows of targets in a line."""
_MOST_TARGETS, _MOST_ROWS = 8, 200_000
_LAST = 5.0
"""Seconds that a run waits at its end for a slow disk to take the last lines."""

_logger = logging.getLogger("inmateria")

Row = Literal["step", "trial", "last step", "learned step"]
"""What a row of targets belongs to: a step, a whole trial, its last step, or a step from which matter learns."""


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="begun", tag_field="line"):
    """The first line: what is run.

    Parameters
    ----------
    task, on, over, keep, part : str
        As in `inmateria.protocols.runs.Run`.
    created : str
        Time at which the run began, ISO 8601.
    at : float
        The same, s since 1970.
    host : str
        Machine on which it runs.
    pid : int
        Process in which it runs.
    locked : bool
        Whether the process holds a lock on the file.
    format : int
        Version of this format.
    """

    task: str
    on: str
    over: str
    keep: str
    part: str
    created: str
    at: float
    host: str
    pid: int
    locked: bool
    format: int = _FORMAT

    __repr__ = one_line


class Stage(msgspec.Struct, frozen=True, kw_only=True, tag="stage", tag_field="line"):
    """How far a stage of the run is.

    Parameters
    ----------
    name : str
        As the task names it: ``"streaming"``, ``"scoring"``, ``"report"``.
    done, of : int
        Items that are done, and all.
    steps : int
        Substrate steps applied in all.
    at : float
        s since 1970.
    """

    name: str
    done: int
    of: int
    steps: int
    at: float

    __repr__ = one_line


class Reading(msgspec.Struct, frozen=True, kw_only=True, tag="reading", tag_field="line"):
    """What is to be read out of the exchanges that follow.

    Parameters
    ----------
    stage : str
        Stage in which they are made.
    recording : str
        Name of the file that records them; empty if none does.
    first, exchanges : int
        Number of the first of them in that recording, and how many they are; -1 if it is not known how many.
    names : tuple of str
        Names of the targets, at most 8.
    targets : int
        Number of targets of the task; `names` are some of them if there are more.
    rows : int
        Number of rows of targets that follow as `Values`.
    row : {"step", "trial", "last step", "learned step"}
        What a row belongs to. With ``"learned step"`` no values follow: labels are in the drive of each step that
        matter learns from.
    classes : tuple of str
        Names of the classes, of which a target is the number; empty if targets are numbers.
    washout : int
        Rows at the beginning that are not learned.
    metric : str
        Name of the task's score.
    features : dict
        ``"type"`` and parameters of the features.
    positions, resting : int
        Substrate steps for a step of the series, and steps at rest after each trial, in steps of the series.
    """

    stage: str
    recording: str
    first: int
    exchanges: int
    names: tuple[str, ...]
    targets: int
    rows: int
    row: Row
    classes: tuple[str, ...] = ()
    washout: int = 0
    metric: str = ""
    features: dict[str, Any] = {}
    positions: int = 1
    resting: int = 0

    __repr__ = one_line


class Values(msgspec.Struct, frozen=True, kw_only=True, tag="values", tag_field="line"):
    """Some rows of the targets of the last `Reading`.

    Parameters
    ----------
    first : int
        Number of the first row.
    values : bytes
        float32, little-endian, shape (rows, names); NaN for a row without a target.
    """

    first: int
    values: bytes

    __repr__ = one_line


class NoTargets(msgspec.Struct, frozen=True, kw_only=True, tag="no targets", tag_field="line"):
    """Why no output can be shown beside a target.

    Parameters
    ----------
    reason : str
    """

    reason: str

    __repr__ = one_line


class RunningScore(msgspec.Struct, frozen=True, kw_only=True, tag="score", tag_field="line"):
    """A score that the run itself computes as it goes on.

    Parameters
    ----------
    name : str
    value : float
    done : int
        Items that were scored until then.
    at : float
        s since 1970.
    """

    name: str
    value: float
    done: int
    at: float

    __repr__ = one_line


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="line"):
    """The last line.

    Parameters
    ----------
    how : {"finished", "failed", "cancelled"}
    error : str
        Of a failed run, in one line.
    at : float
        s since 1970.
    """

    how: Literal["finished", "failed", "cancelled"]
    error: str
    at: float

    __repr__ = one_line


Line = Begun | Stage | Reading | Values | NoTargets | RunningScore | Ended


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """Targets of a presentation in the order in which it is made, as a task knows them before.

    Parameters
    ----------
    names : tuple of str
    values : ndarray of float, shape (rows, targets)
        Numbers, or numbers of classes; NaN for a row without a target.
    row : {"step", "trial", "last step"}
        What a row belongs to.
    classes : tuple of str
        Names of the classes, if the targets are classes.
    washout : int
        Rows at the beginning that are not learned.
    metric : str
        Name of the task's score.
    """

    names: tuple[str, ...]
    values: FloatArray
    row: Row
    classes: tuple[str, ...] = ()
    washout: int = 0
    metric: str = ""

    __repr__ = one_line

    @classmethod
    def of_numbers(cls, targets: Mapping[str, FloatArray], *, washout: int = 0, metric: str = "1 - NRMSE") -> "Targets":
        """Make targets that are numbers, one for each step of a series."""
        values = np.column_stack([np.asarray(each, dtype=np.float64) for each in targets.values()])
        return cls(names=tuple(targets), values=values, row="step", washout=washout, metric=metric)

    @classmethod
    def of_classes(
        cls,
        labels: npt.ArrayLike,
        name: str,
        *,
        row: Row = "trial",
        washout: int = 0,
        classes: Sequence[str] | None = None,
    ) -> "Targets":
        """Make a target that is a class; a negative label is none.

        Parameters
        ----------
        labels : array_like of int, shape (rows,)
        name : str
            Name of what the classes are.
        row : {"step", "trial", "last step"}
        washout : int
        classes : sequence of str, optional
            Name of class 0, 1, ...; the numbers by default.
        """
        given = np.asarray(labels, dtype=np.float64)
        values = np.where(given >= 0, given, np.nan)[:, np.newaxis]
        count = int(np.nanmax(given, initial=0)) + 1
        names = tuple(classes) if classes is not None else tuple(str(k) for k in range(count))
        return cls(names=(name,), values=values, row=row, classes=names, washout=washout, metric="accuracy")


class ProgressFile:
    """The file while its run goes on. Nothing that is noted waits for the disk, or raises if it is full.

    Parameters
    ----------
    path : Path
    begun : Begun
        Its first line; whether it is locked is filled in.

    Attributes
    ----------
    explained : bool
        Whether the task has said why it has no targets in order of time.
    """

    def __init__(self, path: Path, begun: Begun) -> None:
        self.path = path
        self._lock, self._left = threading.Lock(), threading.Event()
        self._lines: deque[Line] = deque()
        self._latest: dict[tuple[type, str], Stage | RunningScore] = {}
        self._beaten = time.monotonic()
        self._handle = -1
        self.explained = False
        draft = path.with_name(f".{path.name}")
        try:
            self._handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            locked = _locked(self._handle)
            self._write(msgspec.json.encode(msgspec.structs.replace(begun, locked=locked)) + b"\n")
            draft.rename(path)
        except OSError as error:
            self._give_up(error)
        self._thread = threading.Thread(target=self._work, name=f"progress of {path.parent.name}", daemon=True)
        self._thread.start()

    def stage(self, name: str, done: int, of: int, steps: int) -> None:
        """Note how far a stage is; of several notes between two writings the last one is written."""
        with self._lock:
            key = (Stage, name)
            self._latest.pop(key, None)  # stages are written in the order in which they were last noted
            self._latest[key] = Stage(name=name, done=done, of=of, steps=steps, at=time.time())

    def score(self, name: str, value: float, done: int) -> None:
        """Note a score of the run itself; of several notes between two writings the last one is written."""
        with self._lock:
            self._latest[(RunningScore, name)] = RunningScore(name=name, value=value, done=done, at=time.time())

    def add(self, *lines: Line) -> None:
        """Note lines that are all written, in order."""
        with self._lock:
            self._lines.extend(lines)

    def end(self, how: Literal["finished", "failed", "cancelled"], error: str = "", *, keep: bool = True) -> None:
        """Write what is left and the last line, and close the file; without `keep`, remove it."""
        self.add(Ended(how=how, error=error, at=time.time()))
        self._left.set()
        self._thread.join(_LAST)
        if not keep:
            with suppress(OSError):
                self.path.unlink()

    def _work(self) -> None:
        try:
            while not self._left.wait(_EVERY):
                self._flush()
            self._flush()
        finally:
            if self._handle >= 0:
                os.close(self._handle)

    def _flush(self) -> None:
        with self._lock:
            lines: list[Line] = [*self._lines]
            latest = list(self._latest.values())
            self._lines.clear()
            self._latest.clear()
        if self._handle < 0:
            return
        # What is to be read is said before how far it is, and the end after that.
        last = [lines.pop()] if lines and isinstance(lines[-1], Ended) else []
        try:
            waiting = b""
            for line in (*lines, *latest, *last):
                waiting += msgspec.json.encode(line) + b"\n"
                if len(waiting) >= _PIECE:
                    self._write(waiting)
                    waiting = b""
            self._write(waiting)
            if time.monotonic() - self._beaten >= _BEAT:
                self._beaten = time.monotonic()
                os.utime(self._handle)
        except OSError as error:
            self._give_up(error)

    def _write(self, text: bytes) -> None:
        view = memoryview(text)
        while view:
            view = view[os.write(self._handle, view[:_PIECE]) :]

    def _give_up(self, error: OSError) -> None:
        """Write nothing more; the run goes on."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):
                os.close(handle)
        _logger.warning(
            "%s cannot be written (%s); the run goes on and cannot be watched", self.path, error.strerror or error
        )


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks
        return False
    return True


_present: ContextVar[ProgressFile | None] = ContextVar("inmateria_progress", default=None)


@contextmanager
def progress_file(folder: Path, begun: Mapping[str, Any]) -> Iterator[ProgressFile]:
    """Write the progress of what runs in this context to ``progress.jsonl`` in a folder.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    begun : mapping
        ``task``, ``on``, ``over``, ``keep``, ``part`` and ``created`` of the run.
    """
    first = Begun(**begun, at=time.time(), host=socket.gethostname(), pid=os.getpid(), locked=False)
    file = ProgressFile(folder / PROGRESS_FILE, first)
    token = _present.set(file)
    try:
        yield file
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        file.end("cancelled")
        raise
    except BaseException as error:
        file.end("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise
    else:
        file.end("finished", keep=first.keep != "nothing")
    finally:
        _present.reset(token)


def note_reading(
    targets: Targets | None,
    *,
    stage: str,
    recording: str,
    first: int,
    exchanges: int,
    features: object = None,
    positions: int = 1,
    resting: int = 0,
) -> None:
    """Note what is to be read out of the exchanges that follow; nothing is done outside a run.

    Parameters
    ----------
    targets : Targets or None
        None if the task does not say them in order of time.
    stage, recording, first, exchanges, positions, resting
        As of `Reading`.
    features : Features
        By which responses become the features of the readout.
    """
    file = _present.get()
    if file is None:
        return
    if targets is None:
        if not file.explained:
            file.add(NoTargets(reason="this task does not say its targets in order of time"))
        return
    if not recording:
        file.add(NoTargets(reason="this run keeps no recording, from which an output could be read"))
        return
    rows, count = targets.values.shape
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST_TARGETS)).round().astype(int))
    rows = min(rows, _MOST_ROWS)
    values = np.ascontiguousarray(targets.values[:rows, shown], dtype="<f4")
    file.add(
        Reading(
            stage=stage, recording=recording, first=first, exchanges=exchanges,
            names=tuple(targets.names[k] for k in shown), targets=count, rows=rows, row=targets.row,
            classes=targets.classes, washout=targets.washout, metric=targets.metric, features=described(features),
            positions=positions, resting=resting,
        ),
        *(Values(first=begin, values=values[begin : begin + _ROWS].tobytes()) for begin in range(0, rows, _ROWS)),
    )  # fmt: skip


def note_learning(names: Sequence[str], *, recording: str, first: int) -> None:
    """Note that matter learns from the exchanges that follow, which hold inputs, labels and ``learn``."""
    file = _present.get()
    if file is None:
        return
    if not recording:
        file.add(NoTargets(reason="this run keeps no recording, from which the outputs could be read"))
        return
    file.add(
        Reading(
            stage="training", recording=recording, first=first, exchanges=-1, names=tuple(names[:_MOST_TARGETS]),
            targets=len(names), rows=0, row="learned step", metric="error (V)",
        )
    )  # fmt: skip


def recorded_by(substrate: Substrate) -> tuple[str, int]:
    """Return the name of the file that records a substrate, and the exchanges in it so far; empty if none does."""
    from inmateria.recording import RecordedSubstrate  # HDF5 is loaded only where there is a recording

    return (substrate.path.name, substrate.exchanges) if isinstance(substrate, RecordedSubstrate) else ("", 0)


def note_no_targets(reason: str) -> None:
    """Note why no output can be shown beside a target; nothing is done outside a run."""
    if (file := _present.get()) is not None:
        file.explained = True
        file.add(NoTargets(reason=reason))


def note_score(name: str, value: float, done: int) -> None:
    """Note a score that the task itself computes as it goes on, of so many items; nothing is done outside a run.

    One that is not finite, as of targets that do not vary, is left out.
    """
    if (file := _present.get()) is not None and np.isfinite(value):
        file.score(name, float(value), done)


def described(features: object) -> dict[str, Any]:
    """Return the type of features and their parameters, as JSON holds them."""
    own = asdict(features) if is_dataclass(features) and not isinstance(features, type) else {}
    try:
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(own))
    except TypeError:
        plain = {}
    return {"type": type(features).__name__, **plain}
