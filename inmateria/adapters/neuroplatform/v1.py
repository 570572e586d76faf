"""The vendor's package ``neuroplatform`` (version 1, blocking), with its own names and units, over a twin.

Names and behaviour follow the vendor's public guide (np-docs: np_usage, closed_loop, db_usage). Columns of tables
that the guide does not print are listed in docs/neuroplatform.md.
"""

import enum
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.twin import ELECTRODES, UPLOAD, Neuroplatform, Stimulation
from inmateria.substrate import SubstrateError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PlatformDatabase", "StimParam", "StimPolarity", "StimShape", "version1"]

_INCUBATOR = {"co2": 5.0, "o2": 20.0, "temperature": 37.0, "pressure": 1013.0, "humidity": 95.0, "flowrate": 0.0}


class StimPolarity(enum.Enum):
    """Direction of the first phase."""

    NegativeFirst = 0
    PositiveFirst = 1


class StimShape(enum.Enum):
    """Shape of a pulse; the twin plays biphasic ones."""

    Biphasic = 0
    BiphasicWithInterphaseDelay = 1
    Triphasic = 2


class StimParam:
    """Parameters of the stimulation of one electrode; us and uA. Attributes are set one by one, as on the platform."""

    def __init__(self) -> None:
        self.enable: bool = True
        self.index: int = 0
        self.trigger_key: int = 0
        self.polarity = StimPolarity.NegativeFirst
        self.phase_duration1: float = 100.0
        self.phase_amplitude1: float = 1.0
        self.phase_duration2: float = 100.0
        self.phase_amplitude2: float = 1.0
        self.stim_shape = StimShape.Biphasic
        self.interphase_delay: float = 0.0
        self.trigger_delay: float = 0.0
        self.nb_pulse: int = 0
        self.pulse_train_period: float = 10_000.0
        self.post_stim_ref_period: float = 1000.0
        self.enable_amp_settle: bool = True
        self.pre_stim_amp_settle: float = 0.0
        self.post_stim_amp_settle: float = 1000.0
        self.enable_charge_recovery: bool = True
        self.post_charge_recovery_on: float = 0.0
        self.post_charge_recovery_off: float = 100.0

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _ATTRIBUTES:
            raise AttributeError(f"StimParam has no {name}; it has {', '.join(_ATTRIBUTES)}")
        super().__setattr__(name, value)

    def display_attributes(self) -> None:
        """Print all parameters."""
        for name in _ATTRIBUTES:
            print(f"{name}: {getattr(self, name)}")


_ATTRIBUTES = (
    *("enable", "index", "trigger_key", "polarity", "phase_duration1", "phase_amplitude1", "phase_duration2"),
    *("phase_amplitude2", "stim_shape", "interphase_delay", "trigger_delay", "nb_pulse", "pulse_train_period"),
    *("post_stim_ref_period", "enable_amp_settle", "pre_stim_amp_settle", "post_stim_amp_settle"),
    *("enable_charge_recovery", "post_charge_recovery_on", "post_charge_recovery_off"),
)


def stimulation_of(param: Any) -> Stimulation:
    """Convert a StimParam."""
    if param.stim_shape is not StimShape.Biphasic:
        raise SubstrateError(f"the twin does not play the shape {param.stim_shape.name}", "allowed is Biphasic")
    return Stimulation(
        index=int(param.index),
        trigger_key=int(param.trigger_key),
        enable=bool(param.enable),
        negative_first=param.polarity is StimPolarity.NegativeFirst,
        phase_duration1=float(param.phase_duration1),
        phase_amplitude1=float(param.phase_amplitude1),
        phase_duration2=float(param.phase_duration2),
        phase_amplitude2=float(param.phase_amplitude2),
        trigger_delay=float(param.trigger_delay),
        nb_pulse=int(param.nb_pulse),
        pulse_train_period=float(param.pulse_train_period),
    )


class PlatformDatabase:
    """The platform's database, which returns tables; times are UTC.

    Parameters
    ----------
    platform : Neuroplatform
    """

    def __init__(self, platform: Neuroplatform) -> None:
        self._platform = platform

    def get_spike_event(self, start: datetime, stop: datetime, fsname: str) -> "pd.DataFrame":
        """Return Time, Amplitude (uV) and channel of each spike of one booking's electrodes."""
        spikes, heights = self._spikes(start, stop, fsname)
        return _table(Time=_times(spikes["time"]), Amplitude=heights, channel=spikes["channel"].astype(np.int64))

    def get_spike_count(self, start: datetime, stop: datetime, fsname: str) -> "pd.DataFrame":
        """Return the spikes of each electrode in each minute: Time, channel and Spike per minute."""
        spikes, _ = self._spikes(start, stop, fsname)
        minutes = np.floor((spikes["time"] - _seconds(start)) / 60).astype(np.int64)
        found, counts = np.unique(np.column_stack([minutes, spikes["channel"]]), axis=0, return_counts=True)
        times = _seconds(start) + 60.0 * found[:, 0]
        return _table(Time=_times(times), channel=found[:, 1], **{"Spike per minute": counts})

    def get_raw_spike(self, start: datetime, stop: datetime, index: int) -> "pd.DataFrame":
        """Return 3 ms around the spikes of an electrode within a time, at 30 kHz: Time, channel and Amplitude (uV).

        The twin draws the same shape around every spike, as high as the spike was.
        """
        spikes, heights = self._platform.spikes(_seconds(start), _seconds(stop))
        chosen = spikes["channel"] == index
        offset = (np.arange(90) - 30) / 30_000
        # A fast trough and a slower, smaller hump, as of an extracellular spike.
        shape = np.exp(-((offset / 2e-4) ** 2)) - 0.35 * np.exp(-(((offset - 6e-4) / 4e-4) ** 2))
        shape /= shape.max()
        times = (spikes["time"][chosen, np.newaxis] + offset).ravel()
        return _table(
            Time=_times(times),
            channel=np.full(len(times), index),
            Amplitude=(heights[chosen, np.newaxis] * shape).ravel(),
        )

    def get_all_triggers(self, start: datetime, stop: datetime, fsname: str | None = None) -> "pd.DataFrame":
        """Return when each trigger went up and down again: _time, _value, trigger, up and tag."""
        rows = [each for each in self._platform.triggers if _seconds(start) <= each[0] < _seconds(stop)]
        edges = [(at + 1e-3 * (1 - up), key, up, tag) for at, key, tag in rows for up in (1, 0)]
        return _table(
            _time=_times(np.array([edge[0] for edge in edges])),
            _value=[edge[2] for edge in edges],
            trigger=[edge[1] for edge in edges],
            up=[edge[2] for edge in edges],
            tag=[edge[3] for edge in edges],
        )

    def get_impedance(self, start: datetime, stop: datetime) -> "pd.DataFrame":
        """Return measured impedances: Time, channel, impedance (ohm); the twin's are all equal."""
        times = [at for at in self._platform.impedances if _seconds(start) <= at < _seconds(stop)]
        return _table(
            Time=_times(np.repeat(times, ELECTRODES)),
            channel=np.tile(np.arange(ELECTRODES), len(times)),
            impedance=np.full(len(times) * ELECTRODES, 50e3),
        )

    def __getattr__(self, name: str) -> Any:
        if name == "door":
            return lambda start, stop: _table(Time=_times(np.zeros(0)), value=[])
        if name not in _INCUBATOR:
            raise AttributeError(f"the database has no {name}")

        def measured(start: datetime, stop: datetime, *_: object) -> "pd.DataFrame":
            times = np.arange(_seconds(start), _seconds(stop), 60.0)
            return _table(Time=_times(times), value=np.full(len(times), _INCUBATOR[name]))

        return measured

    def _spikes(self, start: datetime, stop: datetime, fsname: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        electrodes = [each.electrodes for each in self._platform.bookings if each.fs_name == fsname]
        if not electrodes:
            known = ", ".join(sorted({each.fs_name for each in self._platform.bookings}))
            raise SubstrateError(f"there are no organoids {fsname!r}", f"known are {known}", "see Experiment.exp_name")
        spikes, heights = self._platform.spikes(_seconds(start), _seconds(stop))
        own = np.isin(spikes["channel"], electrodes[0])
        return spikes[own], heights[own]


def _seconds(at: datetime) -> float:
    """Convert a time to seconds since 1970; a time without a zone is UTC."""
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _times(seconds: npt.NDArray[np.float64]) -> "pd.DatetimeIndex":
    import pandas as pd

    return pd.to_datetime(np.asarray(seconds, dtype=np.float64), unit="s", utc=True)


def _table(**columns: Any) -> "pd.DataFrame":
    try:
        import pandas as pd
    except ImportError:
        raise SubstrateError("the database gives pandas tables", 'pip install "inmateria[neuroplatform]"') from None
    return pd.DataFrame(columns)


def version1(platform: Neuroplatform) -> ModuleType:
    """Return the module ``neuroplatform`` over a platform."""

    class Experiment:
        """Time on the platform: start it, work, stop it."""

        def __init__(self, token: str) -> None:
            self._booking = platform.booking(token)
            self.electrodes = list(self._booking.electrodes)
            self.exp_name = self._booking.fs_name

        def start(self) -> bool:
            return platform.start(self._booking)

        def stop(self) -> None:
            platform.stop(self._booking)

    class IntanSofware:
        """The recording and stimulating system; its name is spelled as the vendor does."""

        def __init__(self) -> None:
            self._closed = False

        def send_stimparam(self, params: list[StimParam]) -> None:
            self._check()
            platform.send_parameters([stimulation_of(each) for each in params])
            platform.upload()
            platform.clock.sleep(UPLOAD)

        def var_threshold(self, enable: bool) -> None:
            self._check()

        def impedance(self) -> None:
            self._check()
            platform.clock.sleep(UPLOAD)
            platform.impedances.append(platform.clock.now())

        def set_tag_trigger(self, tag: int) -> None:
            self._check()
            platform.tag = int(tag)

        def set_count(self, triggers: list[int]) -> None:
            self._check()
            platform.listen(triggers)

        def read_count(self) -> npt.NDArray[np.int64]:
            self._check()
            return platform.counts()

        def close(self) -> None:
            self._closed = True

        def _check(self) -> None:
            if self._closed:
                raise SubstrateError("the connection to the Intan software is closed", "", "make a new one")

    class Trigger:
        """The trigger generator."""

        def __init__(self) -> None:
            self._closed = False

        def send(self, triggers: npt.ArrayLike) -> None:
            if self._closed:
                raise SubstrateError("the connection to the trigger generator is closed", "", "make a new one")
            platform.trigger(triggers)

        def close(self) -> None:
            self._closed = True

    class Database(PlatformDatabase):
        """The platform's database."""

        def __init__(self) -> None:
            super().__init__(platform)

    module = ModuleType("neuroplatform", "The vendor's package, over a twin of the platform.")
    for each in (Experiment, IntanSofware, Trigger, Database, StimParam, StimPolarity, StimShape):
        setattr(module, each.__name__, each)
    return module
