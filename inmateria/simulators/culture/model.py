"""The physiology of a simulated culture: equations and constants of neurons and synapses, in two regimes.

Times in s, voltages in mV above rest (a threshold of 15 mV is -50 mV for a rest at -65 mV).
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.culture import kernel
from inmateria.simulators.parameters import convert_fields

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CultureModel:
    r"""Constants of the neurons, the synapses and their response to pulses; the base of `Asynchronous` and `Bursting`.

    **Membrane.** A leaky integrate-and-fire neuron with membrane voltage :math:`v` above rest, excitatory and
    inhibitory currents :math:`e` and :math:`i`, and adaptation :math:`a`, all in mV:

    .. math::

        \tau_m \frac{\mathrm{d}v}{\mathrm{d}t} &= -v + D + e - i - a + \sigma \sqrt{2 \tau_m}\, \xi(t) \\
        \tau_e \frac{\mathrm{d}e}{\mathrm{d}t} &= -e, \qquad
        \tau_i \frac{\mathrm{d}i}{\mathrm{d}t} = -i, \qquad
        \tau_a \frac{\mathrm{d}a}{\mathrm{d}t} = -a

    with the drive :math:`D`, normally distributed over neurons, and white noise :math:`\xi`, which alone would give
    :math:`v` the standard deviation :math:`\sigma`. At the threshold the neuron fires: :math:`v` is reset and held for
    the refractory period, and :math:`a` of an excitatory neuron grows by ``adaptation`` [1]_. Between spikes all of it
    is linear, so that each step is exact [2]_.

    **Synapse.** A spike that arrives after its delay adds :math:`w\,u\,x` to :math:`e` or :math:`i` of the target,
    where utilisation :math:`u` and available transmitter :math:`x` follow [3]_

    .. math::

        \frac{\mathrm{d}u}{\mathrm{d}t} &= \frac{U - u}{\tau_f}, \qquad u \to u + U (1 - u) \text{ at a spike,} \\
        \frac{\mathrm{d}x}{\mathrm{d}t} &= \frac{1 - x}{\tau_r}, \qquad x \to x - u x \text{ thereafter.}

    Weights are lognormal around the mean :math:`\bar w`: :math:`w = \bar w \exp(s z - s^2 / 2)` with :math:`z` standard
    normal and :math:`s` = ``weight_spread``.

    **Plasticity.** Each pair of spikes of two excitatory neurons changes the synapse between them [4]_:

    .. math::

        \Delta w = \begin{cases}
            \eta\, \bar w\, e^{-\Delta t / \tau} & \text{source first} \\
            -\eta\, \beta\, w\, e^{-\Delta t / \tau} & \text{target first}
        \end{cases}

    with the lag :math:`\Delta t`, the ``learning_rate`` :math:`\eta` of the culture and :math:`\beta` = ``depression``;
    spikes in one step of integration change nothing. With ``plasticity="reward"``, :math:`\Delta w` is added to an
    eligibility :math:`c` instead, which decays, and a reward :math:`r` changes the weight [5]_:

    .. math::

        \tau_c \frac{\mathrm{d}c}{\mathrm{d}t} = -c, \qquad \Delta w = r\, c

    Learning keeps weights between 0 and ``weight_limit`` times :math:`\bar w`; one drawn above that is not cut.

    **Pulse.** A biphasic pulse of amplitude :math:`I` and phase duration :math:`T` depolarises a neuron at the distance
    :math:`d` of its electrode by

    .. math::

        \Delta v = g\, k\, p\, \frac{I}{1 + T_c / T}\, \frac{1}{1 + (d / 60\,\mathrm{\mu m})^2}

    (Lapicque and Weiss) with :math:`g` = ``pulse_gain``, the chronaxie :math:`T_c` = 0.2 ms, :math:`p` = 1 where the
    negative phase comes first and 0.6 otherwise, and the fraction :math:`k` that earlier pulses left of the
    electrode's effect (`ElectrodeArray`). Fibres are excited too: :math:`e` grows by ``pulse_release`` times
    :math:`\Delta v`.

    Parameters
    ----------
    membrane_time, excitation_time, inhibition_time : float
        Time constants :math:`\tau_m`, :math:`\tau_e` and :math:`\tau_i`, s.
    threshold, reset : float
        mV above rest.
    refractory_excitatory, refractory_inhibitory : float
        Refractory periods, s.
    drive, drive_spread : float
        Mean and standard deviation of :math:`D` over neurons, mV: some neurons fire by themselves.
    noise : float
        :math:`\sigma`, mV.
    excitation, inhibition : float
        Mean weights :math:`\bar w` of both kinds of synapse, mV.
    excitation_to_inhibitory : float
        Factor on the weight of an excitatory synapse whose target is inhibitory.
    weight_spread : float
        Standard deviation of the logarithm of the weights.
    adaptation, adaptation_time : float
        Increase of :math:`a` by a spike, mV, and :math:`\tau_a`, s.
    release, recovery, facilitation : float
        :math:`U` and :math:`\tau_r` of the excitatory synapses, and :math:`\tau_f` of all, fraction, s, s.
    inhibitory_release, inhibitory_recovery : float
        :math:`U` and :math:`\tau_r` of the inhibitory synapses, fraction and s.
    pulse_gain, pulse_release : float
        :math:`g`, mV per uA of a very long phase; excitatory current per depolarisation.
    trace_time, depression : float
        :math:`\tau` of both sides of the window of plasticity, s, and :math:`\beta`.
    weight_limit : float
        Largest weight that can be learnt, in units of ``excitation``.
    eligibility_time : float
        :math:`\tau_c`, s.

    Raises
    ------
    ValueError
        If a constant is out of range.

    References
    ----------
    .. [1] T. Masquelier and G. Deco, Network bursting dynamics in excitatory cortical neuron cultures results from the
       combination of different adaptive mechanisms, PLoS ONE 8, e75824 (2013).
    .. [2] S. Rotter and M. Diesmann, Exact digital simulation of time-invariant linear systems with applications to
       neuronal modeling, Biol. Cybern. 81, 381 (1999).
    .. [3] M. Tsodyks, A. Uziel and H. Markram, Synchrony generation in recurrent networks with frequency-dependent
       synapses, J. Neurosci. 20, RC50 (2000); u as in G. Mongillo, O. Barak and M. Tsodyks, Synaptic theory of working
       memory, Science 319, 1543 (2008).
    .. [4] M. C. W. van Rossum, G. Q. Bi and G. G. Turrigiano, Stable Hebbian learning from spike timing-dependent
       plasticity, J. Neurosci. 20, 8812 (2000).
    .. [5] E. M. Izhikevich, Solving the distal reward problem through linkage of STDP and dopamine signaling,
       Cereb. Cortex 17, 2443 (2007).
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

    def __post_init__(self) -> None:
        convert_fields(self)
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if value < 0 and name not in ("drive", "reset"):
                raise ValueError(f"{name} is {value}; give 0 or more")
            if value == 0 and (name.endswith(("_time", "recovery")) or name in ("facilitation", "threshold")):
                raise ValueError(f"{name} is {value}; give more than 0")
        for name in ("excitation_time", "inhibition_time", "adaptation_time"):
            if getattr(self, name) == self.membrane_time:
                raise ValueError(
                    f"{name} is {getattr(self, name)} s, as is membrane_time; make one of them a little different"
                )
        for name in ("release", "inhibitory_release"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 to 1")
        if self.reset >= self.threshold:
            raise ValueError(f"reset is {self.reset} mV; give less than threshold, {self.threshold} mV")

    def noise_of_step(self, dt: float) -> float:
        """Return the standard deviation of the noise of a step of ``dt`` seconds, mV."""
        return self.noise * math.sqrt(1 - math.exp(-dt / self.membrane_time) ** 2)

    def packed(self, dt: float) -> FloatArray:
        """Return the constants of a step of ``dt`` seconds where the kernel reads them; 0 for those of the culture."""
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
            (kernel.NOISE, self.noise_of_step(dt)),
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


@dataclass(frozen=True, kw_only=True)
class Asynchronous(CultureModel):
    """`CultureModel` with constants, tuned by hand, for irregular and asynchronous activity."""

    __repr__ = one_line


@dataclass(frozen=True, kw_only=True)
class Bursting(CultureModel):
    """`CultureModel` with constants for network bursts, as mature dissociated cultures have them for life.

    ``excitation_time`` is that of slow (NMDA) receptors, which carry a burst, and the high ``reset`` lets a neuron that
    fires by itself fire again: spikes between bursts come in groups. The constants were searched at random on cultures
    of seeds 100 to 103 for these statistics, which a test measures on seeds 0 to 4:

    - Activity is dominated by bursts of the whole network for as long as the culture lives [1]_.
    - Bursts come a few times a minute and last tenths of a second [2]_; here they are more regular than in a dish.
    - A response to pulses has a late phase that lasts beyond 100 ms, which is a network burst [3]_.
    - After a burst the network answers less, and recovers over seconds [4]_.
    - Electrodes are correlated [5]_.
    - Sizes of avalanches fall with an exponent near 1.5, as in mature cultures [6]_ [7]_; here about 1.7.

    References
    ----------
    .. [1] D. A. Wagenaar, R. Madhavan, J. Pine and S. M. Potter, Controlling bursting in cortical cultures with
       closed-loop multi-electrode stimulation, J. Neurosci. 25, 680 (2005).
    .. [2] D. A. Wagenaar, J. Pine and S. M. Potter, An extremely rich repertoire of bursting patterns during the
       development of cortical cultures, BMC Neurosci. 7, 11 (2006).
    .. [3] S. Marom and G. Shahaf, Development, learning and memory in large random networks of cortical neurons:
       lessons beyond anatomy, Q. Rev. Biophys. 35, 63 (2002).
    .. [4] O. Weihberger, S. Okujeni, J. E. Mikkonen and U. Egert, Quantitative examination of stimulus-response
       relations in cortical networks in vitro, J. Neurophysiol. 109, 1764 (2013).
    .. [5] E. Schneidman, M. J. Berry, R. Segev and W. Bialek, Weak pairwise correlations imply strongly correlated
       network states in a neural population, Nature 440, 1007 (2006).
    .. [6] V. Pasquale, P. Massobrio, L. L. Bologna, M. Chiappalone and S. Martinoia, Self-organization and neuronal
       avalanches in networks of dissociated cortical neurons, Neuroscience 153, 1354 (2008).
    .. [7] C. Tetzlaff, S. Okujeni, U. Egert, F. Woergoetter and M. Butz, Self-organized criticality in developing
       neuronal networks, PLoS Comput. Biol. 6, e1001013 (2010).
    """

    excitation_time: float = 60e-3
    reset: float = 14.2
    drive: float = 2.4
    drive_spread: float = 3.1
    noise: float = 4.0
    excitation: float = 4.0
    inhibition: float = 45.0
    adaptation: float = 0.7
    adaptation_time: float = 5.5
    release: float = 0.11
    recovery: float = 0.64
    inhibitory_release: float = 0.15
    inhibitory_recovery: float = 0.4

    __repr__ = one_line
