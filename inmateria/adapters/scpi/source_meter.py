"""A source meter like a Keithley 2400 at two terminals of a simulator: source, limits, trigger model and buffers."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from inmateria.adapters.scpi.errors import ScpiError
from inmateria.adapters.scpi.settings import SETTINGS, Setting, Value
from inmateria.adapters.scpi.terminals import Held, Terminals

__all__ = ["ELEMENTS", "FUNCTIONS", "Reading", "SourceMeter"]

ELEMENTS = ("VOLT", "CURR", "RES", "TIME", "STAT")
"""Elements of a reading, in the order in which they are sent."""
FUNCTIONS = ("VOLT", "CURR", "RES")

_RANGES = {"VOLT": (0.2, 2.0, 20.0, 200.0), "CURR": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)}
_OVER_RANGE = 1.05
_AUTO_DELAY = 1e-3
_MOST_READINGS = 2500
_OVERFLOW, _FILTER, _COMPLIANCE, _RANGE_COMPLIANCE = 1 << 0, 1 << 1, 1 << 3, 1 << 16
_MEASURED = {"VOLT": 1 << 11, "CURR": 1 << 12, "RES": 1 << 13}
_SOURCED = {"VOLT": 1 << 14, "CURR": 1 << 15}
_BUFFER_AVAILABLE, _BUFFER_FULL, _READING_AVAILABLE = 1 << 8, 1 << 9, 1 << 6


class Reading(NamedTuple):
    """One reading: V, A, ohm, s since power was switched on, and the status word; NaN for what was not measured."""

    volts: float
    amperes: float
    ohms: float
    time: float
    status: int


class SourceMeter:
    """Source of voltage or current with a limit of the other, meter of both, trigger model and buffers.

    Time passes for the simulator only during trigger delays, source delays and measurements, as long as these say, so
    that results do not depend on the clock of the machine. With the output off nothing is held and no time passes.

    Parameters
    ----------
    terminals : Terminals

    Attributes
    ----------
    output : bool
        Whether the output is on.
    readings : list of Reading
        Of the last acquisition.
    buffer : list of Reading
    measurement_events : int
        Event register of ``STATus:MEASurement``.
    """

    def __init__(self, terminals: Terminals) -> None:
        self._terminals = terminals
        self._began = 0.0
        self.measurement_events = 0
        self.reset()

    def reset(self) -> None:
        """Return every setting to its value after ``*RST``; the simulator stays as it is."""
        self._values: dict[str, Value] = {key: setting.default for key, setting in SETTINGS.items()}
        self._acquisition: Iterator[bool] | None = None
        self._triggered = False
        self.output = self.limited = False
        self.functions: tuple[str, ...] = ("CURR",)
        self.elements: tuple[str, ...] = ELEMENTS
        self.nplc = 1.0
        self.lists: dict[str, tuple[float, ...]] = {"VOLT": (), "CURR": ()}
        self.readings: list[Reading] = []
        self.buffer: list[Reading] = []
        self._now = 0.0  # level at the terminals

    @property
    def terminals(self) -> Terminals:
        """Terminals of the simulator."""
        return self._terminals

    @property
    def busy(self) -> bool:
        """Whether an acquisition is in progress."""
        return self._acquisition is not None

    @property
    def source(self) -> str:
        """Quantity that is sourced, ``"VOLT"`` or ``"CURR"``."""
        return str(self._values["source"])

    def __getitem__(self, key: str) -> Value:
        if key.startswith("sense_") and key.endswith("_range") and key != "sense_res_range":
            return self._sense_range(key[6:10].upper())
        if key in ("volt_range", "curr_range"):
            return self._source_range(key[:4].upper())
        return self._values[key]

    def __setitem__(self, key: str, value: Value) -> None:
        """Change a setting, with those that depend on it.

        Raises
        ------
        ScpiError
            If it is beyond what the simulator takes (-222) or conflicts with another (-221).
        """
        if key in ("volt", "volt_start", "volt_stop"):
            self._check_volts(float(value))
        if key in ("volt", "curr") and not self._values[f"{key}_range_auto"]:
            most = _OVER_RANGE * float(self._values[f"{key}_range"])
            if abs(float(value)) > most:
                raise ScpiError(-222, f"{value:g}; the range that is set goes to {most:g}")
        if key in ("volt_range", "curr_range"):
            value = _range_for(key[:4].upper(), abs(float(value)))
            if abs(float(self._values[key[:4]])) > _OVER_RANGE * value:
                raise ScpiError(-221, f"the level is {self._values[key[:4]]:g}, beyond that range")
        if key in ("sense_volt_range", "sense_curr_range"):
            value = _range_for(key[6:10].upper(), abs(float(value)))
        if key in ("volt_protection", "curr_protection"):
            value = abs(float(value))
            if value == 0:
                raise ScpiError(-222, "the limit is 0")
        if key in ("trigger_count", "arm_count"):
            other = "arm_count" if key == "trigger_count" else "trigger_count"
            if int(value) * int(self._values[other]) > _MOST_READINGS:
                raise ScpiError(-221, f"triggers times arms is at most {_MOST_READINGS}")
        if key == "source" and value != self.source:
            self.output, self.limited = False, False  # as the instrument does
        self._values[key] = value
        if key.endswith("_range"):
            self._values[f"{key}_auto"] = False
        if key == "delay":
            self._values["delay_auto"] = False
        if key in ("volt", "curr", "source") and self._values[f"{self.source.lower()}_mode"] == "FIX":
            self._now = float(self._values[self.source.lower()])
        if key in ("buffer_points", "buffer_control") and value != "NEV":
            self.buffer = []

    def setting(self, key: str) -> Setting:
        """Return the declaration of a setting, with the range that the simulator allows."""
        setting = SETTINGS[key]
        if key in ("volt", "volt_start", "volt_stop"):
            low, high = max(setting.low, self._terminals.low), min(setting.high, self._terminals.high)
            return setting._replace(low=low, high=high)
        return setting

    def check_list(self, source: Literal["VOLT", "CURR"], levels: tuple[float, ...]) -> None:
        """Check the levels of a list.

        Raises
        ------
        ScpiError
            If there are more than 2500 (-223), or one is out of range (-222).
        """
        if len(levels) > _MOST_READINGS:
            raise ScpiError(-223, f"{len(levels)} levels; a list has at most {_MOST_READINGS}")
        for level in levels:
            if source == "VOLT":
                self._check_volts(level)

    def switch(self, on: bool) -> None:
        """Switch the output on or off; off ends an acquisition."""
        if not on:
            self.abort()
            self.limited = False
        self.output = on

    def abort(self) -> None:
        """End an acquisition; its readings so far remain."""
        if self._acquisition is not None:
            self._acquisition = None
            if self._values["clear_auto"]:
                self.output = False

    def trigger(self) -> None:
        """Trigger as the bus does (``*TRG``).

        Raises
        ------
        ScpiError
            If none is waited for (-211).
        """
        if self._acquisition is None or self._values["arm_source"] != "BUS":
            raise ScpiError(-211)
        self._triggered = True

    def initiate(self) -> None:
        """Begin an acquisition; `step` does it.

        Raises
        ------
        ScpiError
            If one is in progress (-213), the output is off (803), or there are no points to sweep (-221).
        """
        if self._acquisition is not None:
            raise ScpiError(-213)
        points = self._points()
        if self._values["clear_auto"]:
            self.output = True
        if not self.output:
            raise ScpiError(803)
        self.readings, self._triggered = [], False
        self._acquisition = self._acquire(points)

    def step(self) -> bool:
        """Take the next reading of an acquisition; False if it waits for a trigger."""
        if self._acquisition is None:
            return True
        moved = next(self._acquisition, None)
        if moved is None:
            self._acquisition = None
            self.measurement_events |= _READING_AVAILABLE if self.readings else 0
            if self._values["clear_auto"]:
                self.switch(False)
        return moved is not False

    def zero_time(self) -> None:
        """Begin the time of readings at 0."""
        self._began = self._terminals.clock

    def clear_buffer(self) -> None:
        """Empty the buffer."""
        self.buffer = []

    def _acquire(self, points: list[float] | None) -> Iterator[bool]:
        values, terminals = self._values, self._terminals
        source: Literal["VOLT", "CURR"] = "VOLT" if self.source == "VOLT" else "CURR"
        delay = _AUTO_DELAY if values["delay_auto"] else float(values["delay"])
        count = int(values["trigger_count"])
        recent: list[Held] = []
        for arm in range(int(values["arm_count"])):
            begun = terminals.clock
            while values["arm_source"] == "BUS" and not self._triggered:
                yield False
            self._triggered = False
            for number in range(count):
                self._hold(source, float(values["trigger_delay"]))
                if points is not None:
                    self._now = points[(arm * count + number) % len(points)]
                self._hold(source, delay)
                held = self._measure(source, recent)
                self._keep(self._reading(source, held))
                yield True
            if values["arm_source"] == "TIM" and arm + 1 < int(values["arm_count"]):
                self._hold(source, begun + float(values["arm_timer"]) - terminals.clock)

    def _hold(self, source: Literal["VOLT", "CURR"], seconds: float) -> Held:
        overvoltage = float(self._values["overvoltage"])
        level = self._now if source == "CURR" else min(max(self._now, -overvoltage), overvoltage)
        held = self._terminals.hold(source, level, self._limit(source)[0], seconds)
        if seconds > 0:
            self.limited = held.limited
        return held

    def _limit(self, source: str) -> tuple[float, bool]:
        """Return the limit of the other quantity, and whether it is that of its range."""
        other = "curr" if source == "VOLT" else "volt"
        limit, by_range = float(self._values[f"{other}_protection"]), False
        if not self._values[f"sense_{other}_range_auto"]:
            most = _OVER_RANGE * float(self._values[f"sense_{other}_range"])
            limit, by_range = min(limit, most), most < limit
        return (min(limit, float(self._values["overvoltage"])) if other == "volt" else limit), by_range

    def _measure(self, source: Literal["VOLT", "CURR"], recent: list[Held]) -> Held:
        """Measure for one integration time, or several that are averaged."""
        aperture = self.nplc / int(self._values["line_frequency"])
        if not self._values["average"]:
            return self._hold(source, aperture)
        count = int(self._values["average_count"])
        if self._values["average_control"] == "REP":
            recent.clear()
        recent.append(self._hold(source, aperture))
        while len(recent) < count:
            recent.append(self._hold(source, aperture))
        del recent[:-count]
        volts, amperes, limited = zip(*recent, strict=True)
        return Held(float(np.mean(volts)), float(np.mean(amperes)), any(limited))

    def _reading(self, source: str, held: Held) -> Reading:
        status = _SOURCED[source] | sum(_MEASURED[name] for name in self.functions)
        status |= _FILTER if self._values["average"] else 0
        if held.limited:
            status |= _COMPLIANCE | (_RANGE_COMPLIANCE if self._limit(source)[1] else 0)
        shown = {"VOLT": math.nan, "CURR": math.nan, source: self._now}
        for name, value in (("VOLT", held.volts), ("CURR", held.amperes)):
            if name in self.functions:
                shown[name] = value
                fixed = name != source and not self._values[f"sense_{name.lower()}_range_auto"]
                if fixed and abs(value) > 1.001 * _OVER_RANGE * float(self._values[f"sense_{name.lower()}_range"]):
                    shown[name], status = math.inf, status | _OVERFLOW
        ohms = math.nan
        if "RES" in self.functions:
            ohms = held.volts / held.amperes if held.amperes else math.inf
        return Reading(shown["VOLT"], shown["CURR"], ohms, self._terminals.clock - self._began, status)

    def _keep(self, reading: Reading) -> None:
        self.readings.append(reading)
        if self._values["buffer_control"] == "NEXT":
            self.buffer.append(reading)
            self.measurement_events |= _BUFFER_AVAILABLE if len(self.buffer) == 2 else 0
            if len(self.buffer) >= int(self._values["buffer_points"]):
                self._values["buffer_control"] = "NEV"
                self.measurement_events |= _BUFFER_FULL

    def _points(self) -> list[float] | None:
        """Return the levels of a sweep; None if the level is fixed."""
        values, key = self._values, self.source.lower()
        mode = values[f"{key}_mode"]
        if mode == "FIX":
            return None
        if mode == "LIST":
            if not self.lists[self.source]:
                raise ScpiError(-221, "the list has no levels")
            return list(self.lists[self.source])
        start, stop, count = float(values[f"{key}_start"]), float(values[f"{key}_stop"]), int(values["sweep_points"])
        if values["spacing"] == "LOG":
            if start * stop <= 0:
                raise ScpiError(-221, "a logarithmic sweep has a start and a stop of one sign, not 0")
            points = np.geomspace(start, stop, count)
        else:
            points = np.linspace(start, stop, count)
        levels: list[float] = points.tolist()
        return levels if values["direction"] == "UP" else levels[::-1]

    def _check_volts(self, volts: float) -> None:
        low, high = self._terminals.low, self._terminals.high
        if not low <= volts <= high:
            raise ScpiError(-222, f"{volts:g} V; {self._terminals.info.id} takes {low:g} to {high:g} V")

    def _source_range(self, name: str) -> float:
        key = name.lower()
        if self._values[f"{key}_range_auto"]:
            return _range_for(name, abs(float(self._values[key])))
        return float(self._values[f"{key}_range"])

    def _sense_range(self, name: str) -> float:
        key = name.lower()
        if name == self.source:
            return self._source_range(name)  # what is sourced is measured on the range of the source
        if self._values[f"sense_{key}_range_auto"]:
            return _range_for(name, float(self._values[f"{key}_protection"]))
        return float(self._values[f"sense_{key}_range"])


def _range_for(name: str, value: float) -> float:
    """Return the smallest range that a value fits in."""
    ranges = _RANGES[name]
    return next((each for each in ranges if value <= _OVER_RANGE * each * (1 + 1e-9)), ranges[-1])
