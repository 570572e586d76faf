"""The compiled step of a neural culture: membranes, synapses with delays, pulses, detected spikes.

Leaky integrate-and-fire neurons with exponential currents are linear between spikes, so each step is exact
(Rotter and Diesmann, Biol. Cybern. 81, 381 (1999)). A spike is written at once into a ring of future steps, where
its delay puts it; short-term plasticity is brought up to date only when its neuron fires. Voltages are in mV
above rest, times in steps. One function, no Python in it and the GIL released.

No spike arrives sooner than the shortest delay, so that `LANES` neurons at once are advanced by that many steps while
their state stays in registers; the spikes found are then sent in order of time and neuron.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import recompile_with
from inmateria.simulators.culture.lanes import (
    LANES,
    SCATTERS,
    SUMS_BYTES,
    above,
    add_spread,
    as_floats,
    at_least,
    bits,
    first_of,
    fused,
    load,
    mask_of,
    prefetch,
    splat,
    store,
    sum_of_bytes,
    where,
)

Single = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Steps = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

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
TOGETHER = 28
"""Steps that neurons are advanced by at once: at most the shortest delay, at most `LONGEST`, and so few that no neuron
fires twice in them."""
CONSTANTS = 29
LONGEST = 16

_LINE, _LINES = 16, 8  # synapses in a line of the cache, and lines
_SETTLING = 64  # steps between two looks for what has faded
_FADED = np.float32(1e-20)  # mV; far below, the processor would work on denormal numbers, ten times as slowly
_ZERO, _NEVER = np.float32(0.0), np.float32(np.inf)
_SCALE = np.float32(1.0 / math.sqrt(4 * (256**2 - 1) / 12))

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
    random: Words,
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
    neurons : ndarray, shape (8, columns)
        Changed in place, as are all arrays of state below. A column is a neuron; the last ones, up to a multiple of
        `LANES`, are 0 and fire never.
    held : ndarray, shape (columns,)
        Steps left of the refractory period.
    spiked : ndarray, shape (neurons,)
        Step of the last spike.
    random : ndarray, shape (2, columns)
        State of one xoroshiro64 generator a neuron (Blackman and Vigna, 2021).
    ring : ndarray, shape (2, slots, columns)
        Excitation and inhibition of each neuron in the steps to come, mV.
    synapses : tuple
        First synapse of each neuron; target of each synapse, and where it writes into a ring (2nd and 3rd axis flat)
        for a spike in slot 0; first place of each neuron in the list of
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
    count, slots, columns = len(spiked), ring.shape[1], ring.shape[2]
    arriving = ring.reshape(-1)
    threshold = np.float32(constants[THRESHOLD])
    together = int(constants[TOGETHER])
    pulse_step, pulse_electrode, pulse_strength, pulse_blanking = pulses
    found, many = np.empty((together, count), np.int32), np.empty(together, np.int64)
    released = np.empty(count, np.float32)
    spikes = detections = pulse = 0
    step, end = begin, begin + steps
    while step < end:
        if step % _SETTLING == 0:
            settle(neurons)
        until = min(end, step + together, step - step % _SETTLING + _SETTLING)
        if pulse < len(pulse_step):
            until = min(until, max(pulse_step[pulse], step + 1))
        pulsed = pulse < len(pulse_step) and pulse_step[pulse] <= step
        limit = _NEVER if pulsed else threshold  # a pulse comes before the threshold is looked at
        integrate(until - step, step % slots, constants, limit, neurons, held, random, arriving, slots, found, many)
        if pulsed:
            while pulse < len(pulse_step) and pulse_step[pulse] <= step:
                kick(
                    step, pulse_electrode[pulse], pulse_strength[pulse], pulse_blanking[pulse], constants,
                    neurons[VOLTAGE], neurons[EXCITED], held, reach, electrodes, tired,
                )  # fmt: skip
                pulse += 1
            many[0] = find(threshold, constants, neurons, held, count, found[0])
        last = spikes
        for k in range(until - step):
            for place in range(many[k]):
                fired[0, last], fired[1, last] = step + k, found[k, place]
                last += 1
        # No neuron fires twice in here, so that all may release before any is sent, and their exponentials overlap.
        for spike in range(spikes, last):
            n = fired[1, spike]
            fetch(n, synapses, weights)
            released[spike - spikes] = release(
                fired[0, spike] - spiked[n], n, n < constants[EXCITATORY], constants, neurons
            )
        for spike in range(spikes, last):
            step, n = fired[0, spike], fired[1, spike]
            if constants[POTENTIATION] > 0 and n < constants[EXCITATORY]:
                learn(step, n, constants, neurons, spiked, synapses, weights, eligible, tagged)
            spiked[n] = step
            half = 0 if n < constants[EXCITATORY] else slots * columns
            send(
                n, half, slots * columns, step % slots * columns, released[spike - spikes], synapses, weights, arriving
            )
            detections = hear(step, n, constants[DEAD], heard, electrodes, detected, detections)
        spikes, step = last, until
    return spikes, detections


recompile_with(advance, "inmateria.simulators.culture.lanes")


@_inner
def integrate(
    steps: int,
    slot: int,
    constants: Floats,
    threshold: np.float32,
    neurons: Single,
    held: Integers,
    random: Words,
    arriving: Single,
    slots: int,
    found: Integers,
    many: Steps,
) -> None:
    """Advance every membrane by some steps, exactly, and list for each step the neurons that fire in it.

    Spikes that arrive in a step count from its start; ``slot`` is that of the first step. The neurons that fire are
    reset and held.
    """
    columns, excitatory = neurons.shape[1], int(constants[EXCITATORY])
    inhibiting = slots * columns
    for k in range(steps):
        many[k] = 0
    v_, e_, i_, a_, bias_ = neurons[VOLTAGE], neurons[EXCITED], neurons[INHIBITED], neurons[ADAPTED], neurons[BIAS]
    high_, low_ = random[0], random[1]
    keep, keep_e = splat(np.float32(constants[KEEP])), splat(np.float32(constants[KEEP_E]))
    keep_i, keep_a = splat(np.float32(constants[KEEP_I])), splat(np.float32(constants[KEEP_A]))
    from_e, from_i = splat(np.float32(constants[FROM_E])), splat(np.float32(-constants[FROM_I]))
    from_a, noise = splat(np.float32(-constants[FROM_A])), splat(np.float32(constants[NOISE]))
    noisy = np.uint32(constants[NOISE] > 0)
    reset, edge = splat(np.float32(constants[RESET])), splat(threshold)
    none, nothing, one, scale = splat(_ZERO), splat(np.uint32(0)), splat(np.uint32(1)), splat(_SCALE)
    for at in range(0, columns, LANES):
        v, e, i, a, bias = load(v_, at), load(e_, at), load(i_, at), load(a_, at), load(bias_, at)
        wait, high, low = load(held, at), load(high_, at), load(low_, at)
        place = slot * columns + at
        for k in range(steps):
            excited, inhibited = e + load(arriving, place), i + load(arriving, inhibiting + place)
            store(arriving, place, none)
            store(arriving, inhibiting + place, none)
            moved = fused(from_e, excited, fused(keep, v, bias))
            moved = fused(from_a, a, fused(from_i, inhibited, moved))
            if noisy != 0:
                drawn = high * splat(np.uint32(0x9E3779BB))
                low = low ^ high
                high = rotated(high, 26) ^ low ^ (low << splat(np.uint32(9)))
                low = rotated(low, 13)
                moved = fused(noise, drawn_of(drawn) * scale, moved)
            waits = above(wait, nothing)
            v = where(waits, reset, moved)
            wait = where(waits, wait - one, wait)
            e, i, a = keep_e * excited, keep_i * inhibited, keep_a * a
            fires = at_least(v, edge)
            which = bits(fires)
            if which != 0:
                excites = mask_of(np.uint32((1 << min(max(excitatory - at, 0), LANES)) - 1))
                v = where(fires, reset, v)
                a = where(fires, a + where(excites, splat(np.float32(constants[ADAPTATION])), none), a)
                longer, shorter = np.uint32(constants[REFRACTORY_E]), np.uint32(constants[REFRACTORY_I])
                wait = where(fires, where(excites, splat(longer), splat(shorter)), wait)
                listed = np.uint64(many[k])
                while which != 0:
                    found[k, listed] = np.uint32(at) + first_of(which)
                    listed += np.uint64(1)
                    which &= which - np.uint32(1)
                many[k] = listed
            place = place + columns if place + columns < inhibiting else at
        store(v_, at, v)
        store(e_, at, e)
        store(i_, at, i)
        store(a_, at, a)
        store(held, at, wait)
        store(high_, at, high)
        store(low_, at, low)


@_inner
def rotated(word: Any, left: int) -> Any:
    """Rotate the bits of each lane to the left."""
    return (word << splat(np.uint32(left))) | (word >> splat(np.uint32(32 - left)))


@_inner
def sum_of_bytes_by_parts(word: Any) -> Any:
    """Add the four bytes of each lane, and take 510 off, their mean.

    Divided by the standard deviation of the sum, it is a random number of mean 0 and variance 1. The membrane sums
    over hundreds of these, so it need be no closer to normal.
    """
    every_other = splat(np.uint32(0x00FF00FF))
    pairs = (word & every_other) + ((word >> splat(np.uint32(8))) & every_other)
    # The bits of 2^23 plus a whole number below that are those of 2^23 plus the bits of the number.
    both = (pairs + (pairs >> splat(np.uint32(16)))) & splat(np.uint32(0xFFFF))
    return as_floats(both | splat(np.uint32(0x4B000000))) - splat(np.float32(2**23 + 510))


drawn_of = sum_of_bytes if SUMS_BYTES else sum_of_bytes_by_parts


@_inner
def settle(neurons: Single) -> None:
    """Set to 0 what has faded, at steps that do not depend on how a run is divided."""
    for row in range(BIAS):
        values = neurons[row]
        for n in range(len(values)):
            values[n] = values[n] if abs(values[n]) > _FADED else _ZERO


@_inner
def find(threshold: np.float32, constants: Floats, neurons: Single, held: Integers, count: int, found: Integers) -> int:
    """List the neurons that are above the threshold, reset and hold them; return their number."""
    many = 0
    for n in range(count):
        if neurons[VOLTAGE, n] >= threshold:
            neurons[VOLTAGE, n] = np.float32(constants[RESET])
            if n < constants[EXCITATORY]:
                neurons[ADAPTED, n] += np.float32(constants[ADAPTATION])
                held[n] = int(constants[REFRACTORY_E])
            else:
                held[n] = int(constants[REFRACTORY_I])
            found[many] = n
            many += 1
    return many


@_inner
def send_each(
    n: int,
    half: int,
    size: int,
    start: int,
    released: np.float32,
    synapses: tuple[Any, ...],
    weights: Single,
    arriving: Single,
) -> None:
    """Write the spike of a neuron into the steps in which it arrives.

    Its own step begins at ``start`` of the ring of its kind, which has a ``size`` and begins at ``half``.
    """
    first, place = synapses[0], synapses[2]
    begin, wrapped = np.uint64(half + start), np.uint64(half + start - size)
    left = np.uint64(size - start)
    for s in range(np.uint64(first[n]), np.uint64(first[n + 1])):
        way = np.uint64(place[s])
        at = way + (begin if way < left else wrapped)
        arriving[at] += weights[s] * released


@_inner
def send_sixteen(
    n: int,
    half: int,
    size: int,
    start: int,
    released: np.float32,
    synapses: tuple[Any, ...],
    weights: Single,
    arriving: Single,
) -> None:
    """Do what `send_each` does for sixteen synapses at once: their targets differ, so no two write to one place."""
    first, place = synapses[0], synapses[2]
    begin, wrapped, left = np.uint32(half + start), np.uint32(half + start - size), np.uint32(size - start)
    end = first[n + 1]
    for s in range(first[n], end, _LINE):
        add_spread(arriving, place, weights, s, end, left, begin, wrapped, released)


send = send_sixteen if SCATTERS else send_each


@_inner
def fetch(n: int, synapses: tuple[Any, ...], weights: Single) -> None:
    """Ask for a neuron's first synapses, so that they have come into the nearest cache when its spike is sent."""
    begin = np.uint64(synapses[0][n])
    for line in range(_LINES):
        prefetch(synapses[2], begin + np.uint64(_LINE * line))
        prefetch(weights, begin + np.uint64(_LINE * line))


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
    left = tire(step, electrode, constants, electrodes, tired)
    electrodes[BLIND, electrode] = max(electrodes[BLIND, electrode], step + blanking)
    for pair in range(reach[0][electrode], reach[0][electrode + 1]):
        n = reach[1][pair]
        felt = strength * left * reach[2][pair]
        e[n] += np.float32(constants[PULSE_RELEASE] * felt)
        if held[n] <= 0:
            v[n] += np.float32(felt)


@_inner
def tire(step: int, electrode: int, constants: Floats, electrodes: Steps, tired: Floats) -> float:
    """Note a pulse of an electrode and return what earlier ones left of its effect, 0 to 1."""
    left: float = 1.0 - (1.0 - tired[electrode]) * math.exp(
        -(step - electrodes[PULSED, electrode]) / constants[FATIGUE_RECOVERY]
    )
    electrodes[PULSED, electrode] = step
    tired[electrode] = left * (1.0 - constants[FATIGUE])
    return left


@_inner
def hear(
    step: int, n: int, dead: float, heard: tuple[Any, ...], electrodes: Steps, detected: Steps, detections: int
) -> int:
    """List at which electrodes the spike of a neuron is detected; return the number of all detections."""
    for pair in range(heard[0][n], heard[0][n + 1]):
        electrode = heard[1][pair]
        if step >= electrodes[BLIND, electrode] and step - electrodes[DETECTED, electrode] >= dead:
            electrodes[DETECTED, electrode] = step
            detected[0, detections], detected[1, detections] = step, pair
            detections += 1
    return detections


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
