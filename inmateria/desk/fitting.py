"""Readouts fitted to many recordings, which may be larger than memory, on one machine or on a Dask cluster."""

import logging
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from inmateria.desk.dask_cluster import dask_client, results_of
from inmateria.exchange import Response, Stimulus
from inmateria.one_line import one_line
from inmateria.recording.reading import Recording, open_recording
from inmateria.reservoir.features import Features, SignalOrCounts
from inmateria.reservoir.readouts.kept_samples import Samples
from inmateria.reservoir.readouts.ridge import RidgeClassifierReadout, RidgeReadout

__all__ = ["RecordedBlock", "RecordingUnsuitable", "fit_recordings"]

FloatArray = npt.NDArray[np.float64]
Readout = TypeVar("Readout", RidgeReadout, RidgeClassifierReadout)

_BYTES = 1 << 24
"""Bytes of signal or drive of an exchange above which it is read in pieces."""

_logger = logging.getLogger("inmateria")


class RecordingUnsuitable(ValueError):
    """A recording has other features than those before it, or exchanges are missing in it."""


@dataclass(frozen=True, eq=False)
class RecordedBlock:
    """Consecutive steps of the series in a recording, for which targets are wanted.

    Parameters
    ----------
    path : Path
        The recording.
    steps : slice
        Their place among all steps of the recording.
    in_session : ndarray of int, shape (steps,)
        Number of each step since the last return to rest.
    drive : ndarray of float, shape (steps, positions, inputs)
        Drives, in the units of the inputs.
    before : ndarray of float, shape (up to `history`, positions, inputs)
        Drives of the steps before these.
    history : int
        See `fit_recordings`.
    """

    path: Path
    steps: slice
    in_session: npt.NDArray[np.intp]
    drive: FloatArray
    before: FloatArray
    history: int

    __repr__ = one_line

    def lagged(self, lag: int) -> FloatArray:
        """Return the drives so many steps before each, shape (steps, positions, inputs).

        They are NaN in the first steps after a return to rest, before which nothing was sent.

        Raises
        ------
        ValueError
            If the lag is larger than `history`, or less than 0.
        """
        if not 0 <= lag <= self.history:
            raise ValueError(f"lag is {lag}; it may be 0 to {self.history}, the history given to fit_recordings")
        everything = np.concatenate([self.before, self.drive])
        lagged = everything[np.maximum(np.arange(len(self.drive)) + len(self.before) - lag, 0)]
        lagged[self.in_session < lag] = np.nan
        return lagged


Targets: TypeAlias = Callable[[RecordedBlock], npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class _Work:
    """All that a worker needs to know of the fit."""

    readout: Any
    targets: Targets
    features: Features
    positions: int
    discard: int
    history: int
    classes: npt.NDArray[Any] | None


def fit_recordings(
    recordings: str | PathLike[str] | Sequence[str | PathLike[str]],
    readout: Readout,
    targets: Targets,
    *,
    features: Features | None = None,
    positions: int = 1,
    discard: int = 0,
    history: int = 100,
    classes: npt.ArrayLike | None = None,
    dask: str | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Readout:
    """Fit a ridge readout to the steps of many recordings, in memory that does not grow with them.

    The result is that of a fit to all steps in one piece, exact leave-one-out included: the recordings are read once
    for the second moments, and once more to choose the regularisation.

    Parameters
    ----------
    recordings : path-like or sequence of path-like
        Files, or a pattern such as ``"runs/*/recording.h5"``.
    readout : RidgeReadout or RidgeClassifierReadout
        Its parameters are used; it is not changed.
    targets : callable
        Returns the targets of a `RecordedBlock`: shape (steps,) or (steps, outputs), or the classes (steps,). On a Dask
        cluster it must be a function that can be sent to other processes.
    features : Features, optional
        Extracts the features of each step; `SignalOrCounts` by default. They may depend on that step only.
    positions : int
        Substrate steps that belong to one step of the series.
    discard : int
        Steps that are left out after every return to rest.
    history : int
        Steps before each block whose drives are kept for `RecordedBlock.lagged`.
    classes : array_like, optional
        All classes; a classifier needs them.
    dask : str, optional
        ``"local"``, or the address of a scheduler whose workers see the same files. By default all is done here.
    workers : int, optional
        Number of processes of a local cluster.
    on_progress : callable, optional
        Called with the number of recordings read so far, and the number to be read in all passes.

    Returns
    -------
    RidgeReadout or RidgeClassifierReadout

    Raises
    ------
    RecordingError
        If a recording is damaged.
    RecordingUnsuitable
        If the names of the features differ, or exchanges were dropped, so that steps would be counted wrongly.
    FileNotFoundError
        If there is no recording.
    """
    paths = _paths(recordings)
    for name, value, least in (("positions", positions, 1), ("discard", discard, 0), ("history", history, 0)):
        if value < least:
            raise ValueError(f"{name} is {value}; give at least {least}")
    if not isinstance(readout, RidgeReadout | RidgeClassifierReadout):
        raise TypeError(f"readout is a {type(readout).__name__}; give a RidgeReadout or a RidgeClassifierReadout")
    if (classes is None) != isinstance(readout, RidgeReadout):
        raise ValueError(f"classes is {classes!r}; a classifier needs the list of all classes, a regression none")
    known = None if classes is None else np.unique(np.asarray(classes))
    work = _Work(clone(readout), targets, features or SignalOrCounts(), positions, discard, history, known)
    told = _Told(len(paths), on_progress)
    fitted: Readout
    if dask is None:
        fitted = _fit(paths, work, told, lambda function, *more: _here(function, paths, work, told, *more))
        return fitted
    with dask_client(dask, workers) as client:
        shared = client.scatter(work, broadcast=True, hash=False)
        fitted = _fit(paths, work, told, lambda function, *more: _there(client, function, paths, shared, told, *more))
    return fitted


class _Told:
    """Recordings read so far."""

    def __init__(self, recordings: int, on_progress: Callable[[int, int], None] | None) -> None:
        self.done, self.of, self._recordings, self._tell = 0, recordings, recordings, on_progress

    def pass_begins(self) -> None:
        self.of = self.done + self._recordings

    def read(self) -> None:
        self.done += 1
        if self._tell is not None:
            self._tell(self.done, self.of)


def _fit(paths: Sequence[Path], work: _Work, told: _Told, each: Callable[..., list[Any]]) -> Any:
    fitted = each(_fit_one)
    names = {path: found for path, (_, found) in zip(paths, fitted, strict=True) if found is not None}
    readouts = [part for part, _ in fitted if part is not None]
    if not readouts:
        of = f"{paths[0]} has" if len(paths) == 1 else f"the {len(paths)} recordings have"
        raise RecordingUnsuitable(f"{of} no steps after the {work.discard} discarded of each session")
    _require_alike(names)
    total = _sum_of(readouts)

    def over_parts(function: Callable[[Iterable[Samples]], Any]) -> list[Any]:
        told.pass_begins()
        return each(_apply_to_one, total, function)

    return total.solve_in_parts(over_parts)


def _sum_of(readouts: list[Any]) -> Any:
    """Add neighbours, then their sums, and so on: rounding errors grow with the logarithm of the number."""
    while len(readouts) > 1:
        readouts = [reduce(operator.add, readouts[at : at + 2]) for at in range(0, len(readouts), 2)]
    return readouts[0]


def _here(function: Callable[..., Any], paths: Sequence[Path], work: _Work, told: _Told, *more: Any) -> list[Any]:
    results = []
    for path in paths:
        results.append(function(work, path, *more))
        told.read()
    return results


def _there(
    client: Any, function: Callable[..., Any], paths: Sequence[Path], work: Any, told: _Told, *more: Any
) -> list[Any]:
    sent = [client.scatter(each, broadcast=True, hash=False) for each in more]
    futures = [client.submit(function, work, path.resolve(), *sent, pure=False) for path in paths]
    return results_of(client, futures, told.read)


def _paths(recordings: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[Path]:
    if not isinstance(recordings, str | PathLike):
        paths = [Path(each) for each in recordings]
    elif Path(recordings).exists():
        paths = [Path(recordings)]
    else:
        pattern = Path(recordings)
        root = Path(pattern.anchor)
        paths = sorted(root.glob(str(pattern.relative_to(root))))
    if not paths:
        raise FileNotFoundError(f"there is no recording {recordings!r}; give files, or a pattern of some")
    return paths


def _require_alike(names: dict[Path, list[str]]) -> None:
    first, *others = names.items()
    for path, found in others:
        if found != first[1]:
            wrong = next((pair for pair in zip(first[1], found, strict=False) if pair[0] != pair[1]), None)
            how = f"{len(found)} features, not {len(first[1])}" if wrong is None else f"{wrong[1]} where {wrong[0]} is"
            raise RecordingUnsuitable(f"{path} has other features than {first[0]}: {how}; fit them one by one")


def _fit_one(work: _Work, path: Path) -> tuple[Any, list[str] | None]:
    """Fit to one recording; return the readout and the names of its features, or None for what has no steps."""
    readout, names = clone(work.readout), None
    with open_recording(path) as recording:
        for X, y in _samples(work, recording):
            if names is None:
                step = float(recording.exchanges["step"][0])
                names = work.features.names(recording.info, step, work.positions)
                if work.classes is not None:
                    readout.partial_fit(X, y, work.classes)
                    continue
            readout.partial_fit(X, y)
    return (readout, names) if names is not None else (None, None)


def _apply_to_one(work: _Work, path: Path, readout: Any, function: Callable[[Iterable[Samples]], Any]) -> Any:
    """Apply a function to the samples of one recording, as the readout weighs them."""
    with open_recording(path) as recording:
        return function(readout.samples(X, y) for X, y in _samples(work, recording))


def _samples(work: _Work, recording: Recording) -> Iterator[tuple[FloatArray, npt.NDArray[Any]]]:
    """Yield features and targets, block by block, without the steps to discard."""
    if recording.dropped:
        raise RecordingUnsuitable(
            f"{recording.path} lacks {recording.dropped} exchanges that were not recorded because the disk was too "
            "slow, so that the steps of the series cannot be counted; fit the others without it"
        )
    if not recording.finished:
        _logger.warning("%s was not ended; its %d whole exchanges are used", recording.path, len(recording))
    _require_one_step(recording)
    at = in_session = 0
    session = None
    before = np.zeros((0, work.positions, len(recording.info.inputs)))
    for blocks in _blocks(recording, work.positions):
        X, drives, numbers = [], [], []
        for stimulus, response, of in blocks:
            if of != session:
                session, in_session = of, 0
            if len(stimulus.drive) % work.positions:
                raise RecordingUnsuitable(
                    f"{recording.path} has an exchange of {len(stimulus.drive)} substrate steps, which are not whole "
                    f"steps of {work.positions} positions"
                )
            X.append(work.features.extract(response, stimulus, recording.info, work.positions))
            drives.append(stimulus.drive)
            numbers.append(np.arange(in_session, in_session + len(X[-1])))
            in_session += len(X[-1])
        since = np.concatenate(numbers)
        drive = np.concatenate(drives).reshape(len(since), work.positions, -1)
        steps = slice(at, at + len(since))
        block = RecordedBlock(recording.path, steps, since, drive, before, work.history)
        before = np.concatenate([before, drive])[-work.history :] if work.history else before
        at += len(since)
        y = np.asarray(work.targets(block))
        if y.ndim < 1 or len(y) != len(since):
            raise ValueError(f"targets has shape {y.shape} for {len(since)} steps; it must have a row for each")
        used = since >= work.discard
        if used.any():
            yield np.concatenate(X)[used], y[used]


def _require_one_step(recording: Recording) -> None:
    steps = np.unique(recording.exchanges["step"])
    if len(steps) > 1:
        raise RecordingUnsuitable(
            f"{recording.path} has steps of {steps[0]:g} to {steps[-1]:g} s; features of all steps must be the same"
        )


def _blocks(recording: Recording, positions: int) -> Iterator[list[tuple[Stimulus, Response, int]]]:
    """Yield some exchanges at a time, and long ones in pieces: stimulus, response and session of each."""
    for first, last in recording.batches():
        row = recording.exchanges[first]
        bytes_of_step = _bytes_of_step(recording, row)
        rows = max(1, _BYTES // (bytes_of_step * positions)) * positions
        if last - first > 1 or recording.info.spiking or row["steps"] <= rows:
            yield [(each.stimulus, each.response, each.session) for each in recording.between(first, last)]
            continue
        for begin in range(0, int(row["steps"]), rows):
            yield [(*_piece(recording, row, begin, min(begin + rows, int(row["steps"]))), int(row["session"]))]


def _bytes_of_step(recording: Recording, row: Any) -> int:
    info = recording.info
    return 8 * (int(row["samples"]) // max(int(row["steps"]), 1) * len(info.outputs) + len(info.inputs))


def _piece(recording: Recording, row: Any, begin: int, end: int) -> tuple[Stimulus, Response]:
    """Read some steps of a long exchange without spikes."""
    each = int(row["samples"]) // int(row["steps"])
    step, sample = int(row["first_step"]), int(row["first_sample"])
    signal = recording.rows("signal", sample + begin * each, sample + end * each)
    if recording.scale is not None:
        signal = signal * recording.scale
    drive = recording.rows("drive", step + begin, step + end)
    response = Response(
        signal.reshape(end - begin, each, -1),
        None,
        float(row["start"]) + begin * float(row["step"]),
        int(row["sequence"]),
    )
    return Stimulus(drive, float(row["step"]), recording.info.floats), response
