"""The database of the emulated Neuroplatform: events, counts, waveforms, triggers and the incubator, as pandas tables.

Names of columns are the vendor's: those of spikes and triggers from its guide, ``Spike per minutes`` from its utilities
(np-utils: stim_scan). Those of impedances and of the incubator are printed nowhere.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.twin import ELECTRODES, RATE, Neuroplatform
from inmateria.substrate import SpikeArray, SubstrateError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PlatformDatabase"]

_INCUBATOR = {"co2": 5.0, "o2": 20.0, "temperature": 37.0, "pressure": 1013.0, "humidity": 95.0, "flowrate": 0.0}
_QUERIES = ("get_spike_event", "get_spike_count", "get_raw_spike", "get_all_triggers", "get_impedance")
_BEFORE, _SAMPLES = 30, 90
"""Samples of an event before its time, and all."""


class PlatformDatabase:
    """The platform's database, which returns tables.

    Times are UTC, with that zone in the tables. A time that is given without a zone is UTC, one with another zone is
    converted. A time range includes its start and not its stop. A query that finds nothing returns a table with all
    columns and no row.

    Parameters
    ----------
    platform : Neuroplatform
    """

    def __init__(self, platform: Neuroplatform) -> None:
        self._platform = platform

    def get_spike_event(self, start: datetime, stop: datetime, fsname: str) -> "pd.DataFrame":
        """Return Time, Amplitude (uV, of the peak, without sign) and channel of each event of a booking."""
        spikes, heights = self._events(start, stop, fsname)
        return _table(
            Time=_times(spikes["time"]), Amplitude=np.abs(heights), channel=spikes["channel"].astype(np.int64)
        )

    def get_spike_count(self, start: datetime, stop: datetime, fsname: str) -> "pd.DataFrame":
        """Return the events of each electrode in each minute from the start on: Time, channel and Spike per minutes."""
        spikes, _ = self._events(start, stop, fsname)
        minutes = np.floor((spikes["time"] - _seconds(start)) / 60).astype(np.int64)
        found, counts = np.unique(np.column_stack([minutes, spikes["channel"]]), axis=0, return_counts=True)
        times = _seconds(start) + 60.0 * found[:, 0]
        return _table(Time=_times(times), channel=found[:, 1], **{"Spike per minutes": counts})

    def get_raw_spike(self, start: datetime, stop: datetime, index: int) -> "pd.DataFrame":
        """Return the samples within a time that were kept of an electrode: Time, channel and Amplitude (uV).

        Of each event 90 samples are kept, from 1 ms before to 2 ms after. The twin draws the same shape around every
        event, as high as that was.
        """
        if index not in range(ELECTRODES):
            raise SubstrateError(f"there is no electrode {index}", f"allowed are 0 to {ELECTRODES - 1}")
        first, last = _range(start, stop)
        spikes, heights = self._platform.events(first - 2e-3, last + 1e-3)
        chosen = spikes["channel"] == index
        offset = (np.arange(_SAMPLES) - _BEFORE) / RATE
        # A fast trough and a slower, smaller hump, as of an extracellular spike.
        shape = np.exp(-((offset / 2e-4) ** 2)) - 0.35 * np.exp(-(((offset - 6e-4) / 4e-4) ** 2))
        shape /= shape.max()
        times = (spikes["time"][chosen, np.newaxis] + offset).ravel()
        volts = (heights[chosen, np.newaxis] * shape).ravel()
        half = 0.5 / RATE  # a time that is a sample's is that sample, however it was rounded
        asked = (times >= first - half) & (times < last - half)
        return _table(Time=_times(times[asked]), channel=np.full(int(asked.sum()), int(index)), Amplitude=volts[asked])

    def get_all_triggers(self, start: datetime, stop: datetime, fsname: str | None = None) -> "pd.DataFrame":
        """Return when each trigger went up and down again: _time, _value (its tag), trigger and up (1 or 0)."""
        first, last = _range(start, stop)
        rows = [each for each in self._platform.triggers if first <= each[0] < last]
        edges = [(at + 1e-3 * (1 - up), key, up, tag) for at, key, tag in rows for up in (1, 0)]
        columns = np.array([edge[1:] for edge in edges], dtype=np.int64).reshape(-1, 3)
        return _table(
            _time=_times(np.array([edge[0] for edge in edges])),
            _value=columns[:, 2],
            trigger=columns[:, 0],
            up=columns[:, 1],
        )

    def get_impedance(self, start: datetime, stop: datetime) -> "pd.DataFrame":
        """Return measured impedances: Time, channel, impedance (ohm); the twin's are all equal."""
        first, last = _range(start, stop)
        times = [at for at in self._platform.impedances if first <= at < last]
        return _table(
            Time=_times(np.repeat(times, ELECTRODES)),
            channel=np.tile(np.arange(ELECTRODES), len(times)),
            impedance=np.full(len(times) * ELECTRODES, 50e3),
        )

    def door(self, start: datetime, stop: datetime) -> "pd.DataFrame":
        """Return when a door was opened (0) or closed (1): Time and value; the twin's are never opened."""
        _range(start, stop)
        return _table(Time=_times(np.zeros(0)), value=np.zeros(0, dtype=np.int64))

    def __getattr__(self, name: str) -> Any:
        if name not in _INCUBATOR:
            raise AttributeError(f"the database has no {name}; it has {', '.join([*_QUERIES, *_INCUBATOR, 'door'])}")

        def measured(start: datetime, stop: datetime, *_: object) -> "pd.DataFrame":
            times = np.arange(*_range(start, stop), 60.0)
            return _table(Time=_times(times), value=np.full(len(times), _INCUBATOR[name]))

        return measured

    def _events(self, start: datetime, stop: datetime, fsname: str) -> tuple[SpikeArray, npt.NDArray[np.float64]]:
        electrodes = [each.electrodes for each in self._platform.bookings if each.fs_name == fsname]
        if not electrodes:
            known = ", ".join(sorted({each.fs_name for each in self._platform.bookings}))
            raise SubstrateError(f"there are no organoids {fsname!r}", f"known are {known}", "see Experiment.exp_name")
        spikes, heights = self._platform.events(*_range(start, stop))
        own = np.isin(spikes["channel"], electrodes[0])
        return spikes[own], heights[own]


def _range(start: datetime, stop: datetime) -> tuple[float, float]:
    """Convert a time range to seconds since 1970."""
    first, last = _seconds(start), _seconds(stop)
    if last < first:
        raise SubstrateError(
            f"a query stops at {stop}, before its start at {start}", "the stop is not before the start"
        )
    return first, last


def _seconds(at: datetime) -> float:
    """Convert a time to seconds since 1970; a time without a zone is UTC."""
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _times(seconds: npt.NDArray[np.float64]) -> "pd.DatetimeIndex":
    try:
        import pandas as pd
    except ImportError:
        raise SubstrateError("the database gives pandas tables", 'pip install "inmateria[neuroplatform]"') from None
    return pd.to_datetime(np.asarray(seconds, dtype=np.float64), unit="s", utc=True)


def _table(**columns: Any) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(columns)
