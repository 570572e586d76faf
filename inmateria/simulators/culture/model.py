"""The physiology of a simulated culture: its constants, its two regimes, what is allowed, and what the kernel gets.

Times in s, voltages in mV above rest (a threshold of 15 mV is -50 mV for a rest at -65 mV).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators.culture import kernel

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
    trace_time, depression : float
        Of spike-timing plasticity: time constant of both sides of its window, s; how much stronger its depression
        is than its potentiation at the mean weight (van Rossum, Bi and Turrigiano, J. Neurosci. 20, 8812 (2000)).
    weight_limit : float
        Largest weight that is learnt, as a multiple of ``excitation``.
    eligibility_time : float
        How long a synapse stays eligible for a reward, s (Izhikevich, Cereb. Cortex 17, 2443 (2007)).
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
    trace_time: float = 20e-3
    depression: float = 1.05
    weight_limit: float = 10.0
    eligibility_time: float = 1.0

    def packed(self, dt: float) -> FloatArray:
        """Give the constants of a step of ``dt`` seconds where the kernel reads them; 0 for what the culture sets."""
        keep, keep_e, keep_i, keep_a = (
            math.exp(-dt / time)
            for time in (self.membrane_time, self.excitation_time, self.inhibition_time, self.adaptation_time)
        )

        def moved(time: float, kept: float) -> float:
            # What an exponential of that time constant adds to the membrane within a step.
            return time / (time - self.membrane_time) * (kept - keep)

        packed = np.zeros(kernel.CONSTANTS)
        for place, value in (
            (kernel.KEEP, keep),
            (kernel.KEEP_E, keep_e),
            (kernel.KEEP_I, keep_i),
            (kernel.KEEP_A, keep_a),
            (kernel.FROM_E, moved(self.excitation_time, keep_e)),
            (kernel.FROM_I, moved(self.inhibition_time, keep_i)),
            (kernel.FROM_A, moved(self.adaptation_time, keep_a)),
            (kernel.NOISE, self.noise * math.sqrt(1 - keep**2)),
            (kernel.THRESHOLD, self.threshold),
            (kernel.RESET, self.reset),
            (kernel.ADAPTATION, self.adaptation),
            (kernel.REFRACTORY_E, round(self.refractory_excitatory / dt)),
            (kernel.REFRACTORY_I, round(self.refractory_inhibitory / dt)),
            (kernel.RELEASE_E, self.release),
            (kernel.RECOVERY_E, self.recovery / dt),
            (kernel.RELEASE_I, self.inhibitory_release),
            (kernel.RECOVERY_I, self.inhibitory_recovery / dt),
            (kernel.FACILITATION, self.facilitation / dt),
            (kernel.PULSE_RELEASE, self.pulse_release),
            (kernel.TRACE, self.trace_time / dt),
            (kernel.WEIGHT_LIMIT, self.weight_limit * self.excitation),
            (kernel.ELIGIBILITY, self.eligibility_time / dt),
        ):
            packed[place] = value
        return packed


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


_POSITIVE = (
    "step", "pitch", "synapses", "connection_length", "conduction_velocity", "current_limit", "phase_duration",
    "fatigue_recovery", "electrode_noise", "dead_time",
)  # fmt: skip
_PLASTICITY = ("none", "stdp", "reward")


def check_parameters(own: Mapping[str, Any]) -> None:
    """Refuse parameters of `NeuralCulture` that make no culture; those of the model are checked there.

    Raises
    ------
    ValueError
        It says which, and what is allowed.
    """
    for key in ("neurons", "electrodes", "organoids"):
        if own[key] < 1:
            raise ValueError(f"{key} is {own[key]}; give at least 1")
    if own["organoids"] > min(own["electrodes"], own["neurons"]):
        raise ValueError(
            f"{own['organoids']} organoids share {own['electrodes']} electrodes and {own['neurons']} neurons; give more"
        )
    for key in _POSITIVE:
        if not 0 < own[key] < math.inf:
            raise ValueError(f"{key} is {own[key]}; give more than 0")
    for key in ("aging", "days", "synaptic_delay", "blanking"):
        if not 0 <= own[key] < math.inf:
            raise ValueError(f"{key} is {own[key]}; give 0 or more")
    if not (0 < own["excitatory"] <= 1 and 0 <= own["fatigue"] < 1):
        raise ValueError(f"excitatory is {own['excitatory']} and fatigue {own['fatigue']}; both are fractions")
    if not 1e-5 <= own["dt"] <= 1e-3:
        raise ValueError(f"dt is {own['dt']} s; allowed is 1e-5 to 1e-3")
    if own["plasticity"] not in _PLASTICITY:
        raise ValueError(f"plasticity is {own['plasticity']!r}; there are {', '.join(_PLASTICITY)}")
    if not 0 < own["learning_rate"] <= 0.5:
        raise ValueError(f"learning_rate is {own['learning_rate']}; give more than 0 and at most 0.5")


def constants_of(own: Mapping[str, Any], model: CultureModel, excitatory: int) -> FloatArray:
    """Give all constants of the compiled step: those of the model and those of the culture."""
    dt = own["dt"]
    constants = model.packed(dt)
    constants[kernel.EXCITATORY] = excitatory
    constants[kernel.DEAD] = round(own["dead_time"] / dt)
    constants[kernel.FATIGUE] = own["fatigue"]
    constants[kernel.FATIGUE_RECOVERY] = own["fatigue_recovery"] / dt
    if own["plasticity"] != "none":
        constants[kernel.POTENTIATION] = own["learning_rate"] * model.excitation
        constants[kernel.DEPRESSION] = own["learning_rate"] * model.depression
    return constants
