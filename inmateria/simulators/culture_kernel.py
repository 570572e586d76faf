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

VOLTAGE, EXCITED, INHIBITED, ADAPTED, BIAS, UTILISED, AVAILABLE, BEFORE, AFTER = range(9)
"""Rows of the table of neurons: membrane voltage, excitatory and inhibitory current, adaptation and constant drive,
mV; utilisation and available fraction of transmitter at the last spike; traces of spike-timing plasticity then."""
DETECTED, BLIND, PULSED = range(3)
"""Rows of the counts of electrodes: steps of the last spike detected, of the end of blanking, of the last pulse."""

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
    """Run ``steps`` steps from step ``begin`` and give how many spikes were fired and detected.

    Parameters
    ----------
    begin, steps : int
    constants : ndarray
        `Membrane.packed` and what follows it there.
    neurons : ndarray, shape (9, neurons)
        Changed in place, as are all arrays of state below.
    held, spiked : ndarray, shape (neurons,)
        Steps left of the refractory period; step of the last spike.
    random : ndarray, shape (2, neurons)
        State of one xoroshiro64 generator a neuron (Blackman and Vigna, 2021).
    ring : ndarray, shape (2, slots, neurons)
        What excites and what inhibits each neuron in the steps to come, mV.
    synapses : tuple
        First synapse of each neuron, then target and delay of each synapse; then, for plasticity, first place of
        each neuron in the list of incoming excitatory synapses, their indices, and their sources.
    weights : ndarray, shape (synapses,)
        mV; the sign is the neuron's.
    eligible, tagged : ndarray, shape (synapses,)
        Eligibility and the step at which it was that; empty without neuromodulation.
    heard : tuple
        First pair of each neuron, electrode of each pair.
    reach : tuple
        First pair of each electrode, neuron and attenuation of each pair.
    electrodes, tired : ndarray, shape (3, electrodes) and (electrodes,)
        Counts, and what is left of the effect of a pulse, 0 to 1.
    pulses : tuple
        Step, electrode, strength in mV, and blanking in steps of each pulse, in order of time.
    fired, detected : ndarray, shape (2, capacity)
        Step and neuron; step and pair of ``heard``.
    """
    count = neurons.shape[1]
    slots = ring.shape[1]
    excitatory = int(constants[0])
    keep = np.float32(constants[1])
    keep_e, keep_i, keep_a = np.float32(constants[2]), np.float32(constants[3]), np.float32(constants[4])
    from_e, from_i, from_a = np.float32(constants[5]), np.float32(constants[6]), np.float32(constants[7])
    noise = np.float32(constants[8])
    threshold, reset = np.float32(constants[9]), np.float32(constants[10])
    plastic = constants[19] > 0
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
                    a[n] += np.float32(constants[11])
                    held[n] = int(constants[12])
                else:
                    held[n] = int(constants[13])
                released = release(step - spiked[n], n, n < excitatory, constants, neurons)
                if plastic:
                    learn(step, n, constants, neurons, spiked, synapses, weights, eligible, tagged)
                spiked[n] = step
                kind = 0 if n < excitatory else 1
                for s in range(first[n], first[n + 1]):
                    at = slot + delay[s]
                    at -= slots if at >= slots else 0
                    ring[kind, at, target[s]] += weights[s] * released
                for pair in range(heard[0][n], heard[0][n + 1]):
                    electrode = heard[1][pair]
                    if step >= electrodes[BLIND, electrode] and step - electrodes[DETECTED, electrode] >= constants[14]:
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
    """Take every membrane one step on, exactly; what arrives in this step counts from its start."""
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
    """Bring short-term plasticity up to date and give the fraction released by this spike.

    Tsodyks, Uziel and Markram, J. Neurosci. 20, RC50 (2000): utilisation rises, then a part of what is
    available is released.
    """
    used = constants[15] if excitatory else constants[17]
    recovery = constants[16] if excitatory else constants[18]
    x = 1.0 - (1.0 - neurons[AVAILABLE, n]) * math.exp(-since / recovery)
    u = used + (neurons[UTILISED, n] - used) * math.exp(-since / constants[20])
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
    """Depolarise the neurons near an electrode by one pulse, weaker where pulses came just before.

    Besides the membranes it excites fibres that pass there: transmitter is released around the electrode.
    """
    left = 1.0 - (1.0 - tired[electrode]) * math.exp(-(step - electrodes[PULSED, electrode]) / constants[22])
    electrodes[PULSED, electrode] = step
    electrodes[BLIND, electrode] = max(electrodes[BLIND, electrode], step + blanking)
    tired[electrode] = left * (1.0 - constants[21])
    for pair in range(reach[0][electrode], reach[0][electrode + 1]):
        n = reach[1][pair]
        felt = strength * left * reach[2][pair]
        e[n] += np.float32(constants[23] * felt)
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
    """Pair this spike with the traces of all before it, over excitatory synapses onto excitatory neurons."""
