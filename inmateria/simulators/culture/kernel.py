"""The compiled step of a neural culture: membranes, synapses with delays, pulses, detected spikes.

Leaky integrate-and-fire neurons with exponential currents are linear between spikes, so each step is exact
(Rotter and Diesmann, Biol. Cybern. 81, 381 (1999)). A spike is written at once into a ring of future steps, where
its delay puts it; short-term plasticity is brought up to date only when its neuron fires. Voltages are in mV
above rest, times in steps. One function, no Python in it and the GIL released.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Single = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Steps = npt.NDArray[np.int64]

VOLTAGE, EXCITED, INHIBITED, ADAPTED, BIAS, UTILISED, AVAILABLE, TRACED = range(8)
"""Rows of the table of neurons: membrane voltage, excitatory and inhibitory current, adaptation and constant drive,
mV; utilisation and available fraction of transmitter, and trace of spike-timing plasticity, just after the last
spike."""
ROWS = 8
DETECTED, BLIND, PULSED = range(3)
"""Rows of the counts of electrodes: steps of the last spike detected, of the end of blanking, of the last pulse."""

EXCITATORY = 0
"""Place in the constants of how many neurons are excitatory: these come first."""
KEEP, KEEP_E, KEEP_I, KEEP_A, FROM_E, FROM_I, FROM_A = range(1, 8)
"""Factors of decay per step of membrane voltage, currents and adaptation; effect of those three on the membrane."""
NOISE, THRESHOLD, RESET, ADAPTATION = range(8, 12)
"""mV; the noise is that of one step."""
REFRACTORY_E, REFRACTORY_I, DEAD = range(12, 15)
"""Refractory periods and dead time of the detection, steps."""
RELEASE_E, RECOVERY_E, RELEASE_I, RECOVERY_I, FACILITATION = range(15, 20)
"""Short-term plasticity: utilisation at rest, and times in steps."""
FATIGUE, FATIGUE_RECOVERY, PULSE_RELEASE = range(20, 23)
"""Fraction that an electrode loses with each pulse, its recovery time in steps, and `CultureModel.pulse_release`."""
POTENTIATION, DEPRESSION, TRACE, WEIGHT_LIMIT, ELIGIBILITY = range(23, 28)
"""Spike-timing plasticity: mV added, and part of the weight taken, by a pair of no lag (both 0 without it); time
constant of the window, steps; largest weight, mV; steps that eligibility lasts, with reward-modulated plasticity."""
CONSTANTS = 28

_BLOCK = 64
_ZERO = np.float32(0.0)

_inner = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True)
_outer = numba.njit(error_model="numpy", fastmath={"contract", "nsz"}, nogil=True, cache=True)


@_outer
def advance(
    begin: int,
    steps: int,
    constants: Floats,
    neurons: Single,
    held: Integers,
    spiked: Steps,
    random: npt.NDArray[np.uint32],
    ring: Single,
    synapses: tuple[Any, ...],
    weights: Single,
    eligible: Single,
    tagged: Steps,
    heard: tuple[Any, ...],
    reach: tuple[Any, ...],
    electrodes: Steps,
    tired: Floats,
    pulses: tuple[Any, ...],
    fired: Steps,
    detected: Steps,
) -> tuple[int, int]:
    """Run ``steps`` steps from step ``begin`` and return the numbers of spikes fired and detected.

    Parameters
    ----------
    begin, steps : int
    constants : ndarray
        `CultureParameters.packed`.
    neurons : ndarray, shape (8, neurons)
        Changed in place, as are all arrays of state below.
    held, spiked : ndarray, shape (neurons,)
        Steps left of the refractory period; step of the last spike.
    random : ndarray, shape (2, neurons)
        State of one xoroshiro64 generator a neuron (Blackman and Vigna, 2021).
    ring : ndarray, shape (2, slots, neurons)
        Excitation and inhibition of each neuron in the steps to come, mV.
    synapses : tuple
        First synapse of each neuron, target and delay of each synapse; first place of each neuron in the list of
        incoming synapses that learn, their indices, and their sources.
    weights : ndarray, shape (synapses,)
        mV; the sign is the neuron's.
    eligible, tagged : ndarray, shape (synapses,)
        Eligibility and the step at which it was that; empty without neuromodulation.
    heard : tuple
        First pair of each neuron, electrode of each pair.
    reach : tuple
        First pair of each electrode, neuron and attenuation of each pair.
    electrodes, tired : ndarray, shape (3, electrodes) and (electrodes,)
        Counts, and remaining effect of a pulse, 0 to 1.
    pulses : tuple
        Step, electrode, strength in mV, and blanking in steps of each pulse, in order of time.
    fired, detected : ndarray, shape (2, capacity)
        Step and neuron; step and pair of ``heard``.
    """
    count = neurons.shape[1]
    slots = ring.shape[1]
    excitatory = int(constants[EXCITATORY])
    keep = np.float32(constants[KEEP])
    keep_e, keep_i, keep_a = np.float32(constants[KEEP_E]), np.float32(constants[KEEP_I]), np.float32(constants[KEEP_A])
    from_e, from_i, from_a = np.float32(constants[FROM_E]), np.float32(constants[FROM_I]), np.float32(constants[FROM_A])
    noise = np.float32(constants[NOISE])
    threshold, reset = np.float32(constants[THRESHOLD]), np.float32(constants[RESET])
    plastic = constants[POTENTIATION] > 0
    first, target, delay = synapses[0], synapses[1], synapses[2]
    pulse_step, pulse_electrode, pulse_strength, pulse_blanking = pulses
    v, e, i, a, bias = neurons[VOLTAGE], neurons[EXCITED], neurons[INHIBITED], neurons[ADAPTED], neurons[BIAS]
    high, low = random[0], random[1]
    spikes = detections = pulse = 0
    for step in range(begin, begin + steps):
        slot = step % slots
        integrate(
            v, e, i, a, bias, held, high, low, ring[0, slot], ring[1, slot], keep, keep_e, keep_i, keep_a,
            from_e, from_i, from_a, noise, reset,
        )  # fmt: skip
        while pulse < len(pulse_step) and pulse_step[pulse] <= step:
            kick(
                step, pulse_electrode[pulse], pulse_strength[pulse], pulse_blanking[pulse], constants, v, e, held,
                reach, electrodes, tired,
            )  # fmt: skip
            pulse += 1
        for block in range(0, count, _BLOCK):
            end = min(block + _BLOCK, count)
            above = 0
            for n in range(block, end):
                above += v[n] >= threshold
            if above == 0:
                continue
            for n in range(block, end):
                if v[n] < threshold:
                    continue
                fired[0, spikes], fired[1, spikes] = step, n
                spikes += 1
                v[n] = reset
                if n < excitatory:
                    a[n] += np.float32(constants[ADAPTATION])
                    held[n] = int(constants[REFRACTORY_E])
                else:
                    held[n] = int(constants[REFRACTORY_I])
                released = release(step - spiked[n], n, n < excitatory, constants, neurons)
                if plastic and n < excitatory:
                    learn(step, n, constants, neurons, spiked, synapses, weights, eligible, tagged)
                spiked[n] = step
                kind = 0 if n < excitatory else 1
                for s in range(first[n], first[n + 1]):
                    at = slot + delay[s]
                    at -= slots if at >= slots else 0
                    ring[kind, at, target[s]] += weights[s] * released
                for pair in range(heard[0][n], heard[0][n + 1]):
                    electrode = heard[1][pair]
                    if (
                        step >= electrodes[BLIND, electrode]
                        and step - electrodes[DETECTED, electrode] >= constants[DEAD]
                    ):
                        electrodes[DETECTED, electrode] = step
                        detected[0, detections], detected[1, detections] = step, pair
                        detections += 1
    return spikes, detections


@_inner
def integrate(
    v: Single,
    e: Single,
    i: Single,
    a: Single,
    bias: Single,
    held: Integers,
    high: npt.NDArray[np.uint32],
    low: npt.NDArray[np.uint32],
    exciting: Single,
    inhibiting: Single,
    keep: np.float32,
    keep_e: np.float32,
    keep_i: np.float32,
    keep_a: np.float32,
    from_e: np.float32,
    from_i: np.float32,
    from_a: np.float32,
    noise: np.float32,
    reset: np.float32,
) -> None:
    """Advance every membrane by one step, exactly; spikes that arrive in this step count from its start."""
    middle, scale = np.float32(510.0), np.float32(1.0 / math.sqrt(4 * (256**2 - 1) / 12))
    for n in range(len(v)):
        s0, s1 = high[n], low[n]
        drawn = np.uint32(s0 * np.uint32(0x9E3779BB))
        s1 = np.uint32(s1 ^ s0)
        high[n] = np.uint32((np.uint32(s0 << 26) | np.uint32(s0 >> 6)) ^ s1 ^ np.uint32(s1 << 9))
        low[n] = np.uint32(s1 << 13) | np.uint32(s1 >> 19)
        # The sum of four bytes: the membrane sums over hundreds of these, so it need be no closer to normal.
        total = np.int32((drawn & 255) + ((drawn >> 8) & 255) + ((drawn >> 16) & 255) + (drawn >> 24))
        gauss = (np.float32(total) - middle) * scale
        excited = e[n] + exciting[n]
        inhibited = i[n] + inhibiting[n]
        exciting[n] = _ZERO
        inhibiting[n] = _ZERO
        moved = keep * v[n] + bias[n] + from_e * excited - from_i * inhibited - from_a * a[n] + noise * gauss
        v[n] = moved if held[n] <= 0 else reset
        held[n] = held[n] - 1 if held[n] > 0 else 0
        e[n] = keep_e * excited
        i[n] = keep_i * inhibited
        a[n] = keep_a * a[n]


@_inner
def release(since: int, n: int, excitatory: bool, constants: Floats, neurons: Single) -> Any:
    """Update short-term plasticity and return the fraction released by this spike.

    Tsodyks, Uziel and Markram, J. Neurosci. 20, RC50 (2000): utilisation rises, then that part of the available
    transmitter is released.
    """
    used = constants[RELEASE_E] if excitatory else constants[RELEASE_I]
    recovery = constants[RECOVERY_E] if excitatory else constants[RECOVERY_I]
    x = 1.0 - (1.0 - neurons[AVAILABLE, n]) * math.exp(-since / recovery)
    u = used + (neurons[UTILISED, n] - used) * math.exp(-since / constants[FACILITATION])
    u += used * (1.0 - u)
    neurons[UTILISED, n] = u
    neurons[AVAILABLE, n] = x - u * x
    return np.float32(u * x)


@_inner
def kick(
    step: int,
    electrode: int,
    strength: float,
    blanking: int,
    constants: Floats,
    v: Single,
    e: Single,
    held: Integers,
    reach: tuple[Any, ...],
    electrodes: Steps,
    tired: Floats,
) -> None:
    """Depolarise the neurons near an electrode by one pulse, weaker after recent pulses.

    It also excites passing fibres: transmitter is released around the electrode.
    """
    left = 1.0 - (1.0 - tired[electrode]) * math.exp(
        -(step - electrodes[PULSED, electrode]) / constants[FATIGUE_RECOVERY]
    )
    electrodes[PULSED, electrode] = step
    electrodes[BLIND, electrode] = max(electrodes[BLIND, electrode], step + blanking)
    tired[electrode] = left * (1.0 - constants[FATIGUE])
    for pair in range(reach[0][electrode], reach[0][electrode + 1]):
        n = reach[1][pair]
        felt = strength * left * reach[2][pair]
        e[n] += np.float32(constants[PULSE_RELEASE] * felt)
        if held[n] <= 0:
            v[n] += np.float32(felt)


@_inner
def learn(
    step: int,
    n: int,
    constants: Floats,
    neurons: Single,
    spiked: Steps,
    synapses: tuple[Any, ...],
    weights: Single,
    eligible: Single,
    tagged: Steps,
) -> None:
    """Apply spike-timing plasticity for this spike paired with all earlier ones, over synapses that learn.

    A pair of spikes adds a constant if the source fired first, and subtracts a fraction of the weight where the
    target did (van Rossum, Bi and Turrigiano, J. Neurosci. 20, 8812 (2000)); two spikes in one step change nothing.
    """
    first, target, _, incoming_first, incoming, source = synapses
    excitatory = int(constants[EXCITATORY])
    for s in range(first[n], first[n + 1]):
        if target[s] < excitatory:
            trace = traced(step, target[s], constants, neurons, spiked)
            if trace > 0:
                change(step, s, -constants[DEPRESSION] * weights[s] * trace, constants, weights, eligible, tagged)
    for place in range(incoming_first[n], incoming_first[n + 1]):
        trace = traced(step, source[place], constants, neurons, spiked)
        if trace > 0:
            change(step, incoming[place], constants[POTENTIATION] * trace, constants, weights, eligible, tagged)
    since = step - spiked[n]
    neurons[TRACED, n] = np.float32(1.0 + neurons[TRACED, n] * math.exp(-since / constants[TRACE]))


@_inner
def traced(step: int, n: int, constants: Floats, neurons: Single, spiked: Steps) -> float:
    """Sum over a neuron's spikes before this step, each fallen exponentially since."""
    trace = float(neurons[TRACED, n])
    if trace <= 0:
        return 0.0
    if spiked[n] == step:
        return trace - 1.0
    return trace * math.exp(-(step - spiked[n]) / constants[TRACE])


@_inner
def change(step: int, s: int, by: float, constants: Floats, weights: Single, eligible: Single, tagged: Steps) -> None:
    """Change a weight within its limits or, with reward-modulated plasticity, add the change to its eligibility."""
    if len(eligible):
        left = eligible[s] * math.exp(-(step - tagged[s]) / constants[ELIGIBILITY])
        eligible[s] = np.float32(left + by)
        tagged[s] = step
    elif by < 0:
        weights[s] = np.float32(max(weights[s] + by, 0.0))
    else:
        # A weight drawn above the limit stays where it is.
        weights[s] = np.float32(max(min(weights[s] + by, constants[WEIGHT_LIMIT]), weights[s]))
