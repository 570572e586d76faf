"""The physiology of a simulated culture: its constants, its two regimes, and how they reach the compiled step.

Times in s, voltages in mV above rest (a threshold of 15 mV is -50 mV for a rest at -65 mV).
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CultureModel:
    """Constants of the neurons, the synapses and the electrodes.

    Parameters
    ----------
    membrane_time, excitation_time, inhibition_time : float
        Time constants of the membrane and of both synaptic currents, s.
    threshold, reset : float
        mV above rest.
    refractory_excitatory, refractory_inhibitory : float
        s.
    drive, drive_spread : float
        Mean and standard deviation over neurons of the constant drive, mV: what makes some fire by themselves.
    noise : float
        Standard deviation of the membrane voltage that noise alone would give, mV.
    excitation, inhibition : float
        Current that one fully released synapse adds, as what it would hold the membrane at, mV.
    excitation_to_inhibitory : float
        Factor on excitation where its target is inhibitory.
    weight_spread : float
        Standard deviation of the logarithm of the weights.
    adaptation, adaptation_time : float
        What a spike of an excitatory neuron takes from its drive, mV, and for how long, s.
    release, recovery, facilitation : float
        Utilisation of the excitatory synapses at rest, recovery time and facilitation time, s
        (Tsodyks, Uziel and Markram 2000).
    inhibitory_release, inhibitory_recovery : float
        The same of the inhibitory synapses.
    pulse_gain, pulse_release : float
        Depolarisation at the electrode by 1 uA of a very long phase, mV; excitatory current that comes with it, as
        a multiple of it.
    """

    membrane_time: float = 20e-3
    excitation_time: float = 5e-3
    inhibition_time: float = 10e-3
    threshold: float = 15.0
    reset: float = 3.0
    refractory_excitatory: float = 3e-3
    refractory_inhibitory: float = 2e-3
    drive: float = 5.0
    drive_spread: float = 3.0
    noise: float = 5.0
    excitation: float = 6.0
    inhibition: float = 15.0
    excitation_to_inhibitory: float = 1.0
    weight_spread: float = 0.5
    adaptation: float = 0.3
    adaptation_time: float = 1.0
    release: float = 0.5
    recovery: float = 0.8
    facilitation: float = 20e-3
    pulse_gain: float = 60.0
    pulse_release: float = 3.0
    inhibitory_release: float = 0.25
    inhibitory_recovery: float = 0.3

    def packed(self, dt: float) -> FloatArray:
        """Give the constants of a step of ``dt`` seconds, in the order that the kernel reads them."""
        keep, keep_e, keep_i, keep_a = (
            math.exp(-dt / time)
            for time in (self.membrane_time, self.excitation_time, self.inhibition_time, self.adaptation_time)
        )

        def moved(time: float, kept: float) -> float:
            # What an exponential of that time constant adds to the membrane within a step.
            return time / (time - self.membrane_time) * (kept - keep)

        return np.array(
            [
                0.0,  # excitatory neurons, set by the culture
                keep,
                keep_e,
                keep_i,
                keep_a,
                moved(self.excitation_time, keep_e),
                moved(self.inhibition_time, keep_i),
                moved(self.adaptation_time, keep_a),
                self.noise * math.sqrt(1 - keep**2),
                self.threshold,
                self.reset,
                self.adaptation,
                round(self.refractory_excitatory / dt),
                round(self.refractory_inhibitory / dt),
                0.0,  # dead time of detection, steps
                self.release,
                self.recovery / dt,
                self.inhibitory_release,
                self.inhibitory_recovery / dt,
                0.0,  # learning rate
                self.facilitation / dt,
                0.0,  # fatigue
                1.0,  # its recovery, steps
                self.pulse_release,
            ]
        )


_REGIMES = {
    "asynchronous": CultureModel(),
    "bursting": CultureModel(
        drive=3.0,
        drive_spread=4.0,
        noise=3.0,
        excitation=12.0,
        inhibition=8.0,
        excitation_time=8e-3,
        adaptation=0.8,
        adaptation_time=3.0,
        release=0.25,
        recovery=0.4,
    ),
}


def culture_model(regime: str, changed: dict[str, float]) -> CultureModel:
    """Take the constants of a regime, with some of them changed.

    Raises
    ------
    ValueError
        Where there is no such regime, or a constant is out of range.
    """
    if regime not in _REGIMES:
        raise ValueError(f"regime is {regime!r}; there are {', '.join(_REGIMES)}")
    names = {field.name for field in fields(CultureModel)}
    strange = sorted(set(changed) - names)
    if strange:
        raise ValueError(f"the model has no {strange[0]}; it has {', '.join(sorted(names))}")
    model = replace(_REGIMES[regime], **changed)
    for name in names:
        value = getattr(model, name)
        if not math.isfinite(value) or (value < 0 and name not in ("drive", "reset")):
            raise ValueError(f"{name} is {value}; give 0 or more")
        if value == 0 and (name.endswith(("_time", "recovery")) or name in ("facilitation", "threshold")):
            raise ValueError(f"{name} is {value}; give more than 0")
    if model.membrane_time in (model.excitation_time, model.inhibition_time, model.adaptation_time):
        raise ValueError("a synapse or adaptation has the membrane's own time constant; make it a little different")
    if not (model.release <= 1 and model.inhibitory_release <= 1 and model.reset < model.threshold):
        raise ValueError("release must be at most 1 and reset below threshold")
    return model
