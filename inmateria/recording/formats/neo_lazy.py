"""Proxy objects of neo for a recording: shapes are known, data are read when they are loaded."""

from typing import Any

import neo
import numpy as np
import quantities as pq
from neo.io.proxyobjects import AnalogSignalProxy, BaseProxy, SpikeTrainProxy, consolidate_time_slice

from inmateria.recording.reading import Recording, open_recording
from inmateria.substrate import FloatArray


class LazySignal(AnalogSignalProxy):  # type: ignore[misc]
    """Some columns of the drive or the signal of consecutive exchanges."""

    def __init__(
        self,
        recording: Recording,
        rows: range,
        side: str,
        columns: list[int],
        sampling_rate: Any,
        t_start: Any,
        *,
        name: str,
        units: Any,
        array_annotations: dict[str, Any],
    ) -> None:
        exchanges = recording.exchanges[rows.start : rows.stop]
        first, count = ("first_step", "steps") if side == "stimulus" else ("first_sample", "samples")
        self._path = recording.path
        self._side, self._columns = side, columns
        self._first = int(exchanges[first][0])
        self.shape = (int(exchanges[count].sum()), len(columns))
        self.units, self.sampling_rate, self.sampling_period = units, sampling_rate, 1 / sampling_rate
        self.t_start = t_start
        self.dtype = np.dtype("f8")
        scale = None if side == "stimulus" or recording.scale is None else recording.scale[columns]
        self._scale = scale
        self._raw_units = None
        if scale is not None and (scale == scale[0]).all():
            self._raw_units = pq.CompoundUnit(f"{scale[0]}*{units.dimensionality.string}")
        BaseProxy.__init__(
            self,
            array_annotations=dict(array_annotations),
            name=name,
            file_origin=recording.path.name,
            description=None,
        )

    def load(
        self,
        time_slice: Any = None,
        strict_slicing: bool = True,
        channel_indexes: Any = None,
        magnitude_mode: str = "rescaled",
    ) -> "neo.AnalogSignal":
        """Read the signal, or the part of it within ``(t_start, t_stop)``, as neo's own proxies do.

        With ``magnitude_mode="raw"``, a signal that is kept as int16 counts is given so.
        """
        with open_recording(self._path) as recording:
            return self.values_of(recording, time_slice, strict_slicing, channel_indexes, magnitude_mode)

    def values_of(
        self,
        recording: Recording,
        time_slice: Any = None,
        strict_slicing: bool = True,
        channel_indexes: Any = None,
        magnitude_mode: str = "rescaled",
    ) -> "neo.AnalogSignal":
        """Read from an open recording, otherwise as `load`."""
        if magnitude_mode not in ("rescaled", "raw") or (magnitude_mode == "raw" and self._raw_units is None):
            raise ValueError(
                f"magnitude_mode is {magnitude_mode!r}; allowed is 'rescaled', and 'raw' for counts of one scale"
            )
        begin, end, t_start = self._time_slice_indices(time_slice, strict_slicing)
        begin, end = begin or 0, self.shape[0] if end is None else end
        chosen = slice(None) if channel_indexes is None else channel_indexes
        table = "drive" if self._side == "stimulus" else "signal"
        data = recording.rows(table, self._first + int(begin), self._first + int(end))[:, self._columns][:, chosen]
        units = self.units
        if magnitude_mode == "raw":
            units = self._raw_units
        elif self._scale is not None:
            data = data * self._scale[chosen]
        return neo.AnalogSignal(
            data,
            units=units,
            t_start=t_start,
            sampling_rate=self.sampling_rate,
            name=self.name,
            array_annotations={key: np.asarray(value)[chosen] for key, value in self.array_annotations.items()},
        )


class LazySpikeTrain(SpikeTrainProxy):  # type: ignore[misc]
    """The spikes of one output during consecutive exchanges."""

    def __init__(
        self, recording: Recording, rows: range, column: int, count: int, span: tuple[float, float], name: str
    ) -> None:
        self._path, self._rows, self._column = recording.path, rows, column
        self.shape = (count,)
        self.t_start, self.t_stop = span[0] * pq.s, span[1] * pq.s
        self.sampling_rate = self.left_sweep = None
        BaseProxy.__init__(self, name=name, file_origin=recording.path.name, description=None)

    def load(
        self,
        time_slice: Any = None,
        strict_slicing: bool = True,
        magnitude_mode: str = "rescaled",
        load_waveforms: bool = False,
    ) -> "neo.SpikeTrain":
        """Read the spike train, or the part of it within ``(t_start, t_stop)``; there are no waveforms."""
        if load_waveforms or magnitude_mode != "rescaled":
            raise ValueError("a recording holds the times of spikes in seconds, no waveforms")
        t_start, t_stop = consolidate_time_slice(time_slice, self.t_start, self.t_stop, strict_slicing)
        with open_recording(self._path) as recording:
            spikes = recording.spikes(self._rows.start, self._rows.stop)
        times = spikes["time"][spikes["channel"] == self._column]
        begin, end = float(t_start.rescale("s")), float(t_stop.rescale("s"))
        return self.of(times[(times >= begin) & (times <= end)], t_start, t_stop)

    def of(self, times: FloatArray, t_start: Any = None, t_stop: Any = None) -> "neo.SpikeTrain":
        """Return the spike train of given times, s."""
        return neo.SpikeTrain(
            times * pq.s,
            t_start=self.t_start if t_start is None else t_start,
            t_stop=self.t_stop if t_stop is None else t_stop,
            name=self.name,
        )
