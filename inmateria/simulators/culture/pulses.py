"""Stimulation of a simulated culture: which biphasic pulses are allowed, and what each does."""

import numpy as np
import numpy.typing as npt

from inmateria.pulses import PULSE, PulseArray, biphasic, charge_of
from inmateria.substrate import Stimulus

FloatArray = npt.NDArray[np.float64]

_CHRONAXIE = 2e-4  # s
_LONGEST = 5e-3  # s
_ANODIC = 0.6  # effect of a pulse whose positive phase comes first, as a fraction of one whose negative phase does
_BALANCE = 1e-3  # largest charge that the phases may leave behind, as a fraction of the larger one


class Pulses:
    """Charge-balanced biphasic stimulation pulses; each argument is one value for all pulses or one for each.

    Parameters
    ----------
    time : array_like of float
        Start of each pulse, s after the beginning of the run.
    electrode : array_like of int
    amplitude : array_like of float
        Amplitude of either phase, A; 0 or more.
    phase_duration : array_like of float
        Duration of either phase, s.
    polarity : array_like of int
        -1 for the negative (cathodic) phase first, which excites most; +1 for the positive one.

    Attributes
    ----------
    array : ndarray of `PULSE`, shape (pulses,)
        The pulses in order of time.

    Raises
    ------
    ValueError
        If an electrode or an amplitude is negative, or if a polarity is neither -1 nor +1. The limits of a culture are
        checked when the pulses are given to it.
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
        begin, place, current, phase, sign = columns
        if not (np.abs(sign) == 1).all():
            raise ValueError(f"polarity is {sign[np.abs(sign) != 1][0]}; give -1 or +1")
        if (current < 0).any():
            raise ValueError(f"amplitude is {current.min()} A; give 0 or more, and the direction as polarity")
        array = biphasic(begin, place, sign * current, phase)
        self.array = array[np.argsort(array["time"], kind="stable")]

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
    if not len(given):
        return given
    first, second = given["amplitude"] * given["duration"], given["second_amplitude"] * given["second_duration"]
    checks = (
        ("time", (given["time"] >= 0) & (given["time"] < duration), f"0 to {duration:g} s"),
        ("electrode", given["electrode"] < electrodes, f"0 to {electrodes - 1}"),
        *(
            (name, np.abs(given[name]) <= limit * (1 + 1e-9), f"-{limit:g} to {limit:g} A")
            for name in ("amplitude", "second_amplitude")
        ),
        *(
            (name, (given[name] > 0) & (given[name] <= _LONGEST), f"0 to {_LONGEST:g} s")
            for name in ("duration", "second_duration")
        ),
        (
            "second_amplitude",
            np.abs(first + second) <= _BALANCE * (1 + 1e-6) * charge_of(given),
            f"one that leaves no charge behind, to {100 * _BALANCE:g} %: what charge does to cells is not simulated",
        ),
    )
    for name, good, allowed in checks:
        if not good.all():
            raise ValueError(f"a pulse has {name} {given[name][~good][0]}; allowed is {allowed}")
    return np.asarray(given[np.argsort(given["time"], kind="stable")])


def pulses_of(stimulus: Stimulus, phase_duration: float) -> PulseArray:
    """Return one pulse at the start of each step of a stimulus, negative phase first, where its amplitude is not 0."""
    row, electrode = np.nonzero(stimulus.drive)
    return biphasic(row * stimulus.step, electrode, -stimulus.drive[row, electrode], phase_duration)


def strength_of(pulses: PulseArray, gain: float) -> FloatArray:
    """Return the depolarisation that each pulse would cause at its electrode, mV; gain in mV/uA.

    The negative (cathodic) phase excites, by its own current and duration, and less where it comes second. A shorter
    phase needs more current: the law of Lapicque and Weiss, chronaxie 0.2 ms.
    """
    if not len(pulses):
        return np.zeros(0)
    first = pulses["amplitude"] <= 0
    current = np.abs(np.where(first, pulses["amplitude"], pulses["second_amplitude"]))
    phase = np.where(first, pulses["duration"], pulses["second_duration"])
    strength = current * 1e6 / (1 + _CHRONAXIE / phase) * gain
    return np.where(first, strength, _ANODIC * strength)
