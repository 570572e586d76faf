"""Limits on the pulses that a culture may be given, and the check of each pulse by itself."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.pulses import PULSE, PulseArray, charge_of
from inmateria.substrate import StimulusRejected

__all__ = ["ATTO", "HOUR", "SLACK", "PulseLimits"]

HOUR = 3600.0
SLACK = 1e-6  # s: seconds since 1970 as a float are exact to a quarter of this
ATTO = 1e18  # doses are summed as whole attocoulombs, so that adding and taking away leaves nothing behind


@dataclass(frozen=True, kw_only=True)
class PulseLimits:
    """Limits on the stimulation pulses of a culture.

    Parameters
    ----------
    amplitude : float
        Largest current of either phase, A.
    charge : float
        Largest charge of one phase, C.
    imbalance : float
        Largest difference of the charges of the two phases, as a fraction of the larger one.
    phase : (float, float)
        Shortest and longest phase, s.
    interval : float
        Shortest time from the start of one pulse to the start of the next on the same electrode, s.
    rate : float
        Largest number of pulses on one electrode in any second.
    dose : float
        Largest charge in any hour, summed over all electrodes, C; the larger phase of each pulse is counted.
    area : float, optional
        Geometric area of an electrode, m2; if it is given, the charge density is limited too.
    density : float
        Largest charge of one phase per area, C/m2. By default 0.3, which is 30 uC/cm2.
    """

    amplitude: float = 3e-6
    charge: float = 3e-9
    imbalance: float = 1e-3
    phase: tuple[float, float] = (20e-6, 5e-3)
    interval: float = 5e-3
    rate: float = 50.0
    dose: float = 1e-3
    area: float | None = None
    density: float = 0.3

    __repr__ = one_line

    def __post_init__(self) -> None:
        for name in ("amplitude", "charge", "rate", "dose", "density", *(["area"] if self.area is not None else [])):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"pulse limits have {name} {getattr(self, name)}; give a finite number above 0")
        if not 0 <= self.imbalance < 1:
            raise ValueError(f"pulse limits have imbalance {self.imbalance}; give a fraction from 0 to below 1")
        if not 0 <= self.interval <= HOUR or self.rate < 1 / HOUR:
            raise ValueError(
                f"pulse limits have interval {self.interval} s and rate {self.rate}; "
                "allowed are an interval of 0 to 3600 s and a rate of at least one pulse an hour"
            )
        if not 0 < self.phase[0] <= self.phase[1] < float("inf"):
            raise ValueError(f"pulse limits have phase {self.phase} s; give 0 < shortest <= longest")

    def check(self, pulses: PulseArray) -> None:
        """Check each pulse by itself; raise `StimulusRejected` for the first that breaks a limit.

        Parameters
        ----------
        pulses : ndarray of `PULSE`
        """
        if pulses.dtype != PULSE or pulses.ndim != 1:
            raise StimulusRejected(f"pulses have dtype {pulses.dtype}, shape {pulses.shape}", f"a row of {PULSE}")
        if not pulses.size:
            return
        first = pulses["amplitude"] * pulses["duration"]
        second = pulses["second_amplitude"] * pulses["second_duration"]
        larger = charge_of(pulses)
        top = np.maximum(np.abs(pulses["amplitude"]), np.abs(pulses["second_amplitude"]))
        shortest = np.minimum(pulses["duration"], pulses["second_duration"])
        longest = np.maximum(pulses["duration"], pulses["second_duration"])
        numbers = np.array([pulses[name] for name in PULSE.names or () if name != "electrode"])
        # A pulse exactly at a limit passes, however 3e-6 is rounded.
        room = 1 + 1e-9

        def refuse(broken: npt.NDArray[np.bool_], said: Callable[[int], str], allowed: str, remedy: str = "") -> None:
            where = np.flatnonzero(broken)
            if where.size:
                k = int(where[0])
                raise StimulusRejected(
                    f"pulse {k} (electrode {pulses['electrode'][k]}) {said(k)}", f"allowed are {allowed}", remedy
                )

        refuse(~np.isfinite(numbers).all(axis=0), lambda k: "is not all finite numbers", "finite numbers")
        refuse(
            top > self.amplitude * room,
            lambda k: f"has {1e6 * top[k]:g} uA",
            f"at most {1e6 * self.amplitude:g} uA",
            "use a smaller current",
        )
        refuse(
            (shortest < self.phase[0] / room) | (longest > self.phase[1] * room),
            lambda k: f"has phases of {1e6 * shortest[k]:g} and {1e6 * longest[k]:g} us",
            f"{1e6 * self.phase[0]:g} to {1e6 * self.phase[1]:g} us",
        )
        refuse(
            larger > self.charge * room,
            lambda k: f"has {1e9 * larger[k]:g} nC in one phase",
            f"at most {1e9 * self.charge:g} nC",
            "use a smaller current or a shorter phase",
        )
        if self.area is not None:
            densities = larger / self.area
            refuse(
                densities > self.density * room,
                lambda k: f"has {densities[k]:g} C/m2 in one phase ({100 * densities[k]:g} uC/cm2)",
                f"at most {self.density:g} C/m2 ({100 * self.density:g} uC/cm2)",
                "use a smaller current, a shorter phase or a larger electrode",
            )
        refuse(
            np.abs(first + second) > self.imbalance * larger * room + 1e-9 * larger,
            lambda k: f"leaves {1e9 * (first[k] + second[k]):g} nC of {1e9 * larger[k]:g} nC behind",
            f"phases balanced to {100 * self.imbalance:g} %",
            "give the second phase the same charge with the opposite sign",
        )
