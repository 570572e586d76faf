"""Recordings handed to SpikeInterface for spike sorting, and the units that it found as a recording again."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.exchange import SPIKE, Response
from inmateria.recording.format import END, Exchange, Note, RecordingError
from inmateria.recording.formats.plan import Plan, write_plan
from inmateria.recording.provenance import script, software
from inmateria.recording.reading import Recording
from inmateria.substrate_info import Channel
from inmateria.units import power_between

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording, BaseSorting

__all__ = ["record_sorting", "spikeinterface_recording"]


def spikeinterface_recording(
    recording: Recording, *, positions: npt.ArrayLike | None = None, fill: float | None = None
) -> "BaseRecording":
    """Return a recording as one of SpikeInterface, which reads its samples when they are asked for.

    Each stretch of unbroken device time is a segment, with its time of beginning. Counts stay int16, with their gain;
    the gain is to microvolts. Sorters need it saved first (``.save(folder=...)``), for they run in other processes.

    Parameters
    ----------
    recording : Recording
        Open for as long as the result is used.
    positions : array_like, shape (outputs, 2), optional
        Positions of the electrodes, um, which most sorters need.
    fill : float, optional
        Value, in the outputs' units, of samples that are missing (NaN). By default they are an error when they are
        read, for filters would spread them.

    Raises
    ------
    RecordingError
        If it has no signal, if its outputs are no voltages, or SpikeInterface is not installed.
    """
    core = _spikeinterface()
    info = recording.info
    if info.sampling_rate is None or not len(recording):
        raise RecordingError(f"{recording.path} has no signal to sort, of {info.id}; record it with its voltage")
    try:
        scale = {10.0 ** power_between(channel.unit, "uV") for channel in info.outputs}
    except ValueError as error:
        raise RecordingError(f"{recording.path} has outputs that are no voltages ({error})") from None
    if len(scale) > 1:
        raise RecordingError(f"{recording.path} has outputs in {len(scale)} units of voltage; one is needed")
    counts = recording.scale is not None
    gain = scale.pop() * (recording.scale if recording.scale is not None else np.ones(len(info.outputs)))

    class Stretch(core.BaseRecordingSegment):  # type: ignore[name-defined, misc]
        """Rows of the signal that follow each other in time."""

        def __init__(self, first: int, samples: int, start: float) -> None:
            super().__init__(sampling_frequency=info.sampling_rate, t_start=start)
            self._first, self._samples = first, samples

        def get_num_samples(self) -> int:
            return self._samples

        def get_traces(
            self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
        ) -> npt.NDArray[Any]:
            first = 0 if start_frame is None else start_frame
            last = self._samples if end_frame is None else end_frame
            rows = recording.rows("signal", self._first + first, self._first + last)
            rows = rows if channel_indices is None else rows[:, channel_indices]
            return rows if counts else _filled(rows, fill, recording)

    names = [channel.name for channel in info.outputs]
    dtype = np.dtype("int16") if counts else np.dtype("float64")
    made = core.BaseRecording(sampling_frequency=info.sampling_rate, channel_ids=names, dtype=dtype)
    for first, samples, start in _stretches(recording):
        made.add_recording_segment(Stretch(first, samples, start))
    made.set_channel_gains(gain)
    made.set_channel_offsets(np.zeros(len(names)))
    made.annotate(inmateria_id=info.id, inmateria_file=str(recording.path))
    if positions is not None:
        made.set_dummy_probe_from_locations(np.asarray(positions, dtype=float))
    return made


def record_sorting(sorting: "BaseSorting", source: Recording, path: str | PathLike[str], *, sorter: str = "") -> None:
    """Write the units of a sorting as a recording: of the same stimuli, with one output a unit and its spikes.

    Parameters
    ----------
    sorting : spikeinterface BaseSorting
        Of `spikeinterface_recording(source)`, or of what was made of it without a change of its times.
    source : Recording
    path : path-like
        Recording to make; it must not exist.
    sorter : str
        Name of the sorter and its settings, for the annotations.

    Raises
    ------
    RecordingError
        If the sorting is of another recording, or the file cannot be written.
    """
    stretches = list(_stretches(source))
    rate, units = source.info.sampling_rate, list(sorting.unit_ids)
    if rate is None or (sorting.get_num_segments(), float(sorting.sampling_frequency)) != (len(stretches), rate):
        raise RecordingError(
            f"the sorting has {sorting.get_num_segments()} segments at {sorting.sampling_frequency:g} Hz; "
            f"{source.path} has {len(stretches)} at {rate} Hz; sort what spikeinterface_recording made of it"
        )
    if not units:
        raise RecordingError(f"the sorting of {source.path} has no unit; nothing is written")
    samples, numbers = _spikes_by_row(sorting, units, stretches, source)
    info = msgspec.structs.replace(
        source.info,
        outputs=tuple(Channel(name=f"unit-{unit}", unit="1", low=0.0, high=1.0) for unit in units),
        sampling_rate=None,
        spiking=True,
        parameters={**source.info.parameters, "sorted_from": source.path.name},
    )
    annotations = {**source.annotations, "sorting": {"sorter": sorter, "units": [str(unit) for unit in units]}}

    def items() -> Iterator[Exchange | Note]:
        notes = [note for note in source.notes if note.kind != END]
        for k, exchange in enumerate(source):
            while notes and notes[0].exchange <= k:
                yield notes.pop(0)
            row = source.exchanges[k]
            first, count = int(row["first_sample"]), int(row["samples"])
            low, high = np.searchsorted(samples, [first, first + count])
            spikes = np.zeros(high - low, dtype=SPIKE)
            spikes["time"] = exchange.response.start + (samples[low:high] - first) / rate
            spikes["channel"] = numbers[low:high]
            response = Response(None, spikes, exchange.response.start, exchange.response.sequence)
            yield replace(exchange, response=response)
        yield from notes

    plan = Plan(
        source=f"a sorting of {source.path.name}", rows=(), info=info, steps=int(source.exchanges["steps"].sum()),
        items=items, annotations=annotations, provenance={"software": software(), "script": script()},
        finished=source.finished,
    )  # fmt: skip
    write_plan(plan, path)


def _stretches(recording: Recording) -> Iterator[tuple[int, int, float]]:
    """Yield the first row of the signal, the number of rows and the start (s) of each stretch of unbroken time."""
    rate = recording.info.sampling_rate
    assert rate is not None
    rows = recording.exchanges
    ends = rows["start"] + rows["samples"] / rate
    broken = (np.abs(rows["start"][1:] - ends[:-1]) > 0.5 / rate) | (rows["session"][1:] != rows["session"][:-1])
    edges = [0, *(np.flatnonzero(broken) + 1).tolist(), len(rows)]
    for begin, end in pairwise(edges):
        yield int(rows["first_sample"][begin]), int(rows["samples"][begin:end].sum()), float(rows["start"][begin])


def _spikes_by_row(
    sorting: "BaseSorting", units: list[Any], stretches: list[tuple[int, int, float]], source: Recording
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the row of the signal of each spike, in order, and the number of its unit."""
    at, numbers = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for segment, (first, count, _) in enumerate(stretches):
        for number, unit in enumerate(units):
            frames = np.asarray(sorting.get_unit_spike_train(unit, segment_index=segment), dtype=np.int64)
            if frames.size and not (frames.min() >= 0 and frames.max() < count):
                raise RecordingError(
                    f"unit {unit} has a spike at sample {frames.max()} of segment {segment}; "
                    f"{source.path} has {count} there; sort what spikeinterface_recording made of it"
                )
            at.append(first + frames)
            numbers.append(np.full(frames.size, number))
    rows, which = np.concatenate(at), np.concatenate(numbers)
    order = np.lexsort((which, rows))
    return rows[order], which[order]


def _filled(rows: npt.NDArray[Any], fill: float | None, recording: Recording) -> npt.NDArray[Any]:
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    if fill is None:
        raise RecordingError(
            f"{int(missing.any(axis=1).sum())} samples of {recording.path} are missing (NaN), and a filter would "
            "spread them; give fill=0.0 to have them replaced, or sort a part without gaps"
        )
    return np.where(missing, fill, rows)


def _spikeinterface() -> Any:
    try:
        import spikeinterface.core as core
    except ImportError as error:
        raise RecordingError(
            f'SpikeInterface is not installed ({error}): pip install "inmateria[spikeinterface]"'
        ) from None
    return core
