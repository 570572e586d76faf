"""Stimulation of a culture: charge-balanced biphasic pulses, which of them are allowed, and what each does.

Both phases of a pulse have one amplitude and one duration, so that none can leave a charge behind.
"""

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Stimulus

FloatArray = npt.NDArray[np.float64]
PulseArray = npt.NDArray[np.void]

PULSE = np.dtype(
    [("time", "<f8"), ("electrode", "<u4"), ("amplitude", "<f8"), ("phase_duration", "<f8"), ("polarity", "<i1")]
)
"""One charge-balanced biphasic pulse: start, s; electrode; amplitude of either phase, A; duration of either phase,
s; -1 where the first phase is negative (cathodic), +1 where it is positive."""

_CHRONAXIE = 2e-4  # s
_LONGEST = 5e-3  # s
_ANODIC = 0.6  # effect of a pulse whose positive phase comes first, of that of one whose negative phase does


class Pulses:
    """Stimulation pulses, each charge-balanced and biphasic; every argument may be one value or one a pulse.

    Parameters
    ----------
    time : array_like of float
        Start of each pulse, s after the beginning of the run.
    electrode : array_like of int
    amplitude : array_like of float
        Of either phase, A; 0 or more.
    phase_duration : array_like of float
        Of either phase, s.
    polarity : array_like of int
        -1 for the negative (cathodic) phase first, which excites most; +1 for the positive one.

    Attributes
    ----------
    array : ndarray of `PULSE`, shape (pulses,)
        In order of time.

    Raises
    ------
    ValueError
        If an electrode is negative. The limits of a culture are checked when it is given the pulses.
    """

    def __init__(
        self,
        time: npt.ArrayLike,
        electrode: npt.ArrayLike,
        amplitude: npt.ArrayLike = 1e-6,
        phase_duration: npt.ArrayLike = 2e-4,
        polarity: npt.ArrayLike = -1,
    ) -> None:
        columns = np.broadcast_arrays(
            *(np.atleast_1d(each) for each in (time, electrode, amplitude, phase_duration, polarity))
        )
        if (columns[1] < 0).any():
            raise ValueError(f"electrode is {columns[1].min()}; give 0 or more")
        self.array = np.empty(columns[0].shape, dtype=PULSE)
        for name, column in zip(PULSE.names or (), columns, strict=True):
            self.array[name] = column
        self.array = self.array[np.argsort(self.array["time"], kind="stable")]

    def __len__(self) -> int:
        return len(self.array)


def admitted(pulses: "Pulses | PulseArray | None", duration: float, electrodes: int, limit: float) -> PulseArray:
    """Return the pulses in order of time, after checking that each is within the run and the limits.

    Parameters
    ----------
    pulses : Pulses or ndarray of `PULSE`, optional
    duration : float
        Of the run, s.
    electrodes : int
    limit : float
        Largest amplitude, A.

    Raises
    ------
    ValueError
        If a pulse is not; the message names the value and the allowed range.
    """
    if pulses is None:
        return np.empty(0, dtype=PULSE)
    given = pulses.array if isinstance(pulses, Pulses) else np.asarray(pulses)
    if given.dtype != PULSE or given.ndim != 1:
        raise ValueError(f"pulses are of dtype {given.dtype}; give Pulses(...) or an array of dtype PULSE")
    checks = (
        ("time", (given["time"] >= 0) & (given["time"] < duration), f"0 to {duration:g} s"),
        ("electrode", given["electrode"] < electrodes, f"0 to {electrodes - 1}"),
        ("amplitude", (given["amplitude"] >= 0) & (given["amplitude"] <= limit * (1 + 1e-9)), f"0 to {limit:g} A"),
        (
            "phase_duration",
            (given["phase_duration"] > 0) & (given["phase_duration"] <= _LONGEST),
            f"0 to {_LONGEST:g} s",
        ),
        ("polarity", np.abs(given["polarity"]) == 1, "-1 or +1"),
    )
    for name, good, allowed in checks:
        if not good.all():
            raise ValueError(f"a pulse has {name} {given[name][~good][0]}; allowed is {allowed}")
    return np.asarray(given[np.argsort(given["time"], kind="stable")])


def pulses_of(stimulus: Stimulus, phase_duration: float) -> PulseArray:
    """Return one pulse at the start of each step of a stimulus, negative phase first, where its amplitude is not 0."""
    row, electrode = np.nonzero(stimulus.drive)
    pulses = np.empty(len(row), dtype=PULSE)
    pulses["time"], pulses["electrode"] = row * stimulus.step, electrode
    pulses["amplitude"] = stimulus.drive[row, electrode]
    pulses["phase_duration"], pulses["polarity"] = phase_duration, -1
    return pulses


def strength_of(pulses: PulseArray, gain: float) -> FloatArray:
    """Return the depolarisation that each pulse would cause at its electrode, mV; gain in mV/uA.

    A shorter phase needs more current: the law of Lapicque and Weiss, with a chronaxie of 0.2 ms.
    """
    strength = pulses["amplitude"] * 1e6 / (1 + _CHRONAXIE / pulses["phase_duration"]) * gain
    return np.where(pulses["polarity"] < 0, strength, _ANODIC * strength)
