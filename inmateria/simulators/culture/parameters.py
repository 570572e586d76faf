"""Parameters of a culture in groups: connections between neurons, and properties of the electrodes."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.model import Asynchronous, Bursting
from inmateria.simulators.parameters import check_size, convert_fields

FloatArray = npt.NDArray[np.float64]

_MOST_NEURONS = 200_000
_USUAL_STEP = 1e-4  # s
_LEAST_DELAY = 1e-3  # s
_BARRIER = 0.5826  # -zeta(1/2) / sqrt(2 pi)
_PLASTICITY = ("none", "stdp", "reward")


@dataclass(frozen=True, kw_only=True)
class Connectivity:
    r"""Connections between the neurons of a culture.

    A neuron is connected to another one of its organoid at the distance :math:`d` with a probability proportional to
    :math:`e^{-d / \ell}`, and to ``synapses`` neurons on average. The delay of a synapse is :math:`d / c + t_0`.

    Parameters
    ----------
    excitatory : float
        Fraction of the neurons that are excitatory, above 0 and at most 1.
    synapses : float
        Mean number of outgoing synapses of a neuron.
    length : float
        :math:`\ell`, um.
    velocity, delay : float
        Conduction velocity :math:`c`, m/s, and synaptic delay :math:`t_0`, s.
    """

    excitatory: float = 0.8
    synapses: float = 100.0
    length: float = 400.0
    velocity: float = 0.3
    delay: float = 5e-4

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        if not 0 < self.excitatory <= 1:
            raise ValueError(f"excitatory is {self.excitatory}; allowed is a fraction above 0 and at most 1")
        _check_positive(self, "synapses", "length", "velocity")
        _check_not_negative(self, "delay")


@dataclass(frozen=True, kw_only=True)
class ElectrodeArray:
    r"""Properties of the electrodes of a culture.

    Every pulse reduces the effect :math:`k` of its electrode by the fraction :math:`f`; it then recovers:

    .. math::

        \frac{\mathrm{d}k}{\mathrm{d}t} = \frac{1 - k}{\tau}, \qquad k \to (1 - f)\, k \text{ after a pulse}

    after D. Eytan, N. Brenner and S. Marom, Selective adaptation in networks of cortical neurons,
    J. Neurosci. 23, 9349 (2003).

    Parameters
    ----------
    pitch : float
        Distance between neighbouring electrodes, um.
    noise : float
        Standard deviation of the recorded noise, V; the threshold of spike detection is 6 times that.
    dead_time : float
        Shortest interval between two spikes detected by an electrode, s.
    blanking : float
        Time after a pulse during which its electrode detects no spikes, s.
    fatigue, fatigue_recovery : float
        :math:`f`, from 0 to less than 1, and :math:`\tau`, s.
    """

    pitch: float = 200.0
    noise: float = 5e-6
    dead_time: float = 3e-3
    blanking: float = 3e-3
    fatigue: float = 0.1
    fatigue_recovery: float = 5.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_positive(self, "pitch", "noise", "dead_time", "fatigue_recovery")
        _check_not_negative(self, "blanking")
        if not 0 <= self.fatigue < 1:
            raise ValueError(f"fatigue is {self.fatigue}; allowed is a fraction from 0 to less than 1")


@dataclass(frozen=True, kw_only=True)
class CultureParameters:
    """All parameters of a `NeuralCulture`, checked; see there."""

    neurons: int
    seed: int
    electrodes: int
    organoids: int
    regime: Asynchronous | Bursting
    connectivity: Connectivity
    array: ElectrodeArray
    plasticity: str
    learning_rate: float
    aging: float
    days: float
    current_limit: float
    phase_duration: float
    dt: float
    step: float
    continuity_correction: bool

    def __post_init__(self) -> None:
        convert_fields(self)
        check_size("neurons", self.neurons, _MOST_NEURONS)
        check_size("electrodes", self.electrodes, _MOST_NEURONS)
        for name in ("neurons", "electrodes", "organoids"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give at least 1")
        _check_not_negative(self, "seed", "aging", "days")
        _check_positive(self, "step", "current_limit", "phase_duration")
        if self.organoids > min(self.electrodes, self.neurons):
            raise ValueError(
                f"{self.organoids} organoids share {self.electrodes} electrodes and {self.neurons} neurons; "
                "give at least one of each to an organoid"
            )
        if not 1e-5 <= self.dt <= 1e-3:
            raise ValueError(f"dt is {self.dt} s; allowed is 1e-5 to 1e-3")
        if self.continuity_correction and self.threshold <= self.regime.reset:
            raise ValueError(
                f"with continuity_correction and dt {self.dt} s the threshold is {self.threshold:.3g} mV, "
                f"and the reset {self.regime.reset} mV; give a smaller dt, or a lower reset"
            )
        if self.plasticity not in _PLASTICITY:
            raise ValueError(f"plasticity is {self.plasticity!r}; there are {', '.join(map(repr, _PLASTICITY))}")
        if not 0 < self.learning_rate <= 0.5:
            raise ValueError(f"learning_rate is {self.learning_rate}; give more than 0 and at most 0.5")

    @property
    def threshold(self) -> float:
        r"""Threshold that is compared with the membrane once a step, mV.

        A noisy membrane that is looked at every :math:`h` crosses a threshold as often as one looked at all the time
        crosses one that is higher by :math:`0.5826\, s`, with the standard deviation :math:`s` of the noise of a step
        (M. Broadie, P. Glasserman and S. Kou, A continuity correction for discrete barrier options, Math. Finance 7,
        325 (1997)). The correction is the difference to steps of 0.1 ms.
        """
        if not self.continuity_correction:
            return self.regime.threshold
        ours, usual = (self.regime.noise_of_step(dt) for dt in (self.dt, _USUAL_STEP))
        return self.regime.threshold - _BARRIER * (ours - usual)

    @property
    def least_delay(self) -> int:
        """Steps that every delay is made to last at least; more than one lets neurons be advanced by as many at once.

        Two with ``continuity_correction`` and steps of more than 0.1 and at most 0.5 ms, else one.
        """
        coarse = self.continuity_correction and self.dt > _USUAL_STEP
        return max(1, min(2, math.floor(_LEAST_DELAY / self.dt))) if coarse else 1

    def packed(self, excitatory: int, shortest_delay: int) -> FloatArray:
        """Return all constants of the compiled step, for a number of excitatory neurons and a shortest delay, steps."""
        model, array, dt = self.regime, self.array, self.dt
        constants = model.packed(dt)
        constants[kernel.EXCITATORY] = excitatory
        constants[kernel.THRESHOLD] = self.threshold
        # Not longer than a neuron rests, so that none fires twice within.
        rest = int(min(constants[kernel.REFRACTORY_E], constants[kernel.REFRACTORY_I]))
        constants[kernel.TOGETHER] = min(shortest_delay, kernel.LONGEST, 1 + rest)
        constants[kernel.DEAD] = round(array.dead_time / dt)
        constants[kernel.FATIGUE] = array.fatigue
        constants[kernel.FATIGUE_RECOVERY] = array.fatigue_recovery / dt
        if self.plasticity != "none":
            constants[kernel.POTENTIATION] = self.learning_rate * model.excitation
            constants[kernel.DEPRESSION] = self.learning_rate * model.depression
        return constants


def _check_positive(group: object, *names: str) -> None:
    for name in names:
        if getattr(group, name) <= 0:
            raise ValueError(f"{name} is {getattr(group, name)}; give more than 0")


def _check_not_negative(group: object, *names: str) -> None:
    for name in names:
        if getattr(group, name) < 0:
            raise ValueError(f"{name} is {getattr(group, name)}; give 0 or more")
