"""The step of many cultures on a CUDA device: each culture in a block of threads.

The arithmetic is that of `kernel`, rounded where that rounds, so that results are the same to the bit. A block holds
membranes, currents and random numbers of its neurons in its shared memory, where there is room for them, for all steps
of a call; each thread has every so many neurons. They are advanced by as many steps as the shortest delay, and those
that fire are listed, in any order; then they are put in order of step and neuron, and sent one after another, the
synapses of one spike at once. A neuron has at most one synapse with another, so that no two threads write to one place
of the ring, and every sum is made in the order in which `kernel` makes it. No spike waits for an addition of another.

What electrodes hear, and what is left of a pulse after earlier ones, is not here: it is the processor's (`electrodes`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, float32, int32, uint32

from inmateria.simulators.culture import kernel


class Arithmetic(NamedTuple):
    """Operations whose rounding is fixed: compilers for a device join a product with a sum that follows.

    Parameters
    ----------
    product, product_double : callable
        Product of two numbers, rounded; the first of float32.
    fused, fused_double : callable
        ``a * b + c``, rounded once.
    """

    product: Callable[..., Any]
    product_double: Callable[..., Any]
    fused: Callable[..., Any]
    fused_double: Callable[..., Any]


(
    NEURONS, COLUMNS, SLOTS, TABLE, CELLS, RING, WIRING, FIRST, INCOMING_FIRST, INCOMING, WEIGHTS, ELIGIBLE,
    REACH_FIRST, REACH, PULSE, PULSES, ROOM,
) = range(17)  # fmt: skip
"""Columns of the numbers of a culture: its size; where its parts begin in the arrays, each of which holds those of all
cultures one after another (-1 for an eligibility that it does not have); its first pulse, and the one after its last;
and how many spikes there is room for."""
RECOVERY_E, RECOVERY_I, FACILITATION, TRACE, ELIGIBILITY = range(5)
"""Which time constant an exponential falls by; see `decays`."""
PLACES, DECAYS = 17, 5

_HELD, _HIGH, _LOW = 5, 6, 7  # rows in shared memory after the first five of the table of neurons
SHARED_ROWS = 8
_WORD = np.uint64(0xFFFFFFFF)
_EVERY_OTHER, _LOWER = np.uint64(0x00FF00FF), np.uint64(0xFFFF)
_MULTIPLIER = np.uint64(0x9E3779BB)
_SCALE, _FADED, _SETTLING = kernel._SCALE, kernel._FADED, kernel._SETTLING
_ZERO, _NEVER = np.float32(0.0), np.float32(np.inf)


def advancing(in_shared_memory: bool, arithmetic: Arithmetic) -> Any:
    """Return the function that advances cultures, for `numba.cuda.jit`.

    Parameters
    ----------
    in_shared_memory : bool
        Whether there is room for the neurons of a culture in the shared memory of a block.
    arithmetic : Arithmetic
    """
    product, product_double, fused, fused_double = arithmetic
    on_device = cuda.jit(device=True)

    @on_device
    def fallen(since, which, c, decay_at, decay, times):  # type: ignore[no-untyped-def]
        # The exponentials of the processor's own library, as long as they matter.
        if since < decay_at[c, which + 1] - decay_at[c, which]:
            return decay[decay_at[c, which] + since]
        return math.exp(-since / times[c, which])

    @on_device
    def release(step, n, c, at, cell, constants, neurons, spiked, columns, decay_at, decay, times):  # type: ignore[no-untyped-def]
        excites = n < constants[c, kernel.EXCITATORY]
        used = constants[c, kernel.RELEASE_E] if excites else constants[c, kernel.RELEASE_I]
        since = step - spiked[cell + n]
        utilised, available = at + kernel.UTILISED * columns + n, at + kernel.AVAILABLE * columns + n
        recovered = fallen(since, RECOVERY_E if excites else RECOVERY_I, c, decay_at, decay, times)
        x = fused_double(np.float64(neurons[available]) - 1.0, recovered, 1.0)
        faded = fallen(since, FACILITATION, c, decay_at, decay, times)
        u = fused_double(np.float64(neurons[utilised]) - used, faded, used)
        u = fused_double(used, 1.0 - u, u)
        released = product_double(u, x)
        neurons[utilised] = np.float32(u)
        neurons[available] = np.float32(x - released)
        spiked[cell + n] = step
        return np.float32(released)

    @on_device
    def traced(step, n, c, at, cell, neurons, learnt, columns, decay_at, decay, times):  # type: ignore[no-untyped-def]
        trace = np.float64(neurons[at + kernel.TRACED * columns + n])
        if trace <= 0.0:
            return 0.0
        since = step - learnt[cell + n]
        if since == 0:
            return trace - 1.0
        return product_double(trace, fallen(since, TRACE, c, decay_at, decay, times))

    @on_device
    def change(step, s, by, c, places, constants, weights, eligible, tagged, decay_at, decay, times):  # type: ignore[no-untyped-def]
        own = places[c, ELIGIBLE]
        if own >= 0:
            left = fallen(step - tagged[own + s], ELIGIBILITY, c, decay_at, decay, times)
            eligible[own + s] = np.float32(fused_double(np.float64(eligible[own + s]), left, by))
            tagged[own + s] = step
        else:
            s += places[c, WEIGHTS]
            # Without min and max, which numba 0.68 cannot compile for CUDA.
            new = np.float64(weights[s]) + by
            most = constants[c, kernel.WEIGHT_LIMIT]
            if by < 0.0:
                weights[s] = np.float32(new if new > 0.0 else 0.0)
            elif np.float64(weights[s]) < most:
                weights[s] = np.float32(new if new < most else most)

    def advance(
        places, constants, begin, end, neurons, held, random, spiked, learnt, ring, first, into, target, weights,
        incoming_first, incoming, source, eligible, tagged, reach_first, reach, attenuation, pulse_step,
        pulse_electrode, pulse_strength, decay_at, decay, times, listed, listed_releases, releases, fired, counts,
    ):  # type: ignore[no-untyped-def] # fmt: skip
        c = cuda.blockIdx.x
        thread, threads = cuda.threadIdx.x, cuda.blockDim.x
        count, columns, slots = places[c, NEURONS], places[c, COLUMNS], places[c, SLOTS]
        table, cell, ring_at = places[c, TABLE], places[c, CELLS], places[c, RING]
        wiring, weights_at, row = places[c, WIRING], places[c, WEIGHTS], places[c, FIRST]
        size = slots * columns
        many = cuda.shared.array(2, int32)
        if in_shared_memory:
            cells, waits, words = (
                cuda.shared.array(0, float32),
                cuda.shared.array(0, int32),
                cuda.shared.array(0, uint32),
            )
            v_, held_, high_, low_ = 0, _HELD * columns, _HIGH * columns, _LOW * columns
            n = thread
            while n < count:
                for r in range(kernel.BIAS + 1):
                    cells[r * columns + n] = neurons[table + r * columns + n]
                waits[held_ + n] = held[cell + n]
                words[high_ + n], words[low_ + n] = random[2 * cell + n], random[2 * cell + columns + n]
                n += threads
        else:
            cells, waits, words = neurons, held, random
            v_, held_, high_, low_ = table, cell, 2 * cell, 2 * cell + columns
        e_, i_ = v_ + kernel.EXCITED * columns, v_ + kernel.INHIBITED * columns
        a_, bias_ = v_ + kernel.ADAPTED * columns, v_ + kernel.BIAS * columns
        keep, keep_e = np.float32(constants[c, kernel.KEEP]), np.float32(constants[c, kernel.KEEP_E])
        keep_i, keep_a = np.float32(constants[c, kernel.KEEP_I]), np.float32(constants[c, kernel.KEEP_A])
        from_e, from_i = np.float32(constants[c, kernel.FROM_E]), np.float32(-constants[c, kernel.FROM_I])
        from_a, noise = np.float32(-constants[c, kernel.FROM_A]), np.float32(constants[c, kernel.NOISE])
        noisy = constants[c, kernel.NOISE] > 0.0
        reset, threshold = np.float32(constants[c, kernel.RESET]), np.float32(constants[c, kernel.THRESHOLD])
        adaptation = np.float32(constants[c, kernel.ADAPTATION])
        longer, shorter = int(constants[c, kernel.REFRACTORY_E]), int(constants[c, kernel.REFRACTORY_I])
        excitatory, together = int(constants[c, kernel.EXCITATORY]), int(constants[c, kernel.TOGETHER])
        learns = constants[c, kernel.POTENTIATION] > 0.0
        list_at = places[c, ROOM] * c
        most = places[c, ROOM]
        start = begin[c]
        step, stop = start, end[c]
        pulse, pulses = places[c, PULSE], places[c, PULSES]
        while pulse < pulses and pulse_step[pulse] < start:
            pulse += 1  # an earlier launch of this call has given it
        total, turn = 0, 0
        if thread < 2:
            many[thread] = 0
        while step < stop:
            until = step - step % _SETTLING + _SETTLING
            if step + together < until:
                until = step + together
            if stop < until:
                until = stop
            pulsed = pulse < pulses and pulse_step[pulse] <= step
            if pulsed:
                until = step + 1
            elif pulse < pulses and pulse_step[pulse] < until:
                until = pulse_step[pulse]
            if total + (until - step) * count > most:
                break
            settles = step % _SETTLING == 0
            limit = _NEVER if pulsed else threshold  # a pulse comes before the threshold is looked at
            slot = step % slots
            cuda.syncthreads()
            n = thread
            while n < count:
                v, e, i, a = cells[v_ + n], cells[e_ + n], cells[i_ + n], cells[a_ + n]
                bias, wait = cells[bias_ + n], waits[held_ + n]
                high, low = words[high_ + n], words[low_ + n]
                if settles:
                    v = v if abs(v) > _FADED else _ZERO
                    e = e if abs(e) > _FADED else _ZERO
                    i = i if abs(i) > _FADED else _ZERO
                    a = a if abs(a) > _FADED else _ZERO
                now = slot
                for k in range(until - step):
                    at = np.uint64(ring_at + now * columns + n)
                    more = np.uint64(ring_at + size + now * columns + n)
                    excited, inhibited = ring[at], ring[more]
                    if excited != _ZERO:
                        ring[at] = _ZERO
                    if inhibited != _ZERO:
                        ring[more] = _ZERO
                    excited += e
                    inhibited += i
                    moved = fused(from_e, excited, fused(keep, v, bias))
                    moved = fused(from_a, a, fused(from_i, inhibited, moved))
                    if noisy:
                        drawn = np.uint32((np.uint64(high) * _MULTIPLIER) & _WORD)
                        mixed = np.uint64(low) ^ np.uint64(high)
                        turned = (np.uint64(high) << np.uint64(26)) | (np.uint64(high) >> np.uint64(6))
                        high = np.uint32((turned ^ mixed ^ (mixed << np.uint64(9))) & _WORD)
                        low = np.uint32(((mixed << np.uint64(13)) | (mixed >> np.uint64(19))) & _WORD)
                        pairs = np.uint64(drawn) & _EVERY_OTHER
                        pairs += (np.uint64(drawn) >> np.uint64(8)) & _EVERY_OTHER
                        sum_of_bytes = np.int32((pairs & _LOWER) + (pairs >> np.uint64(16)))
                        moved = fused(noise, product(np.float32(np.int32(sum_of_bytes - 510)), _SCALE), moved)
                    v = reset if wait > 0 else moved
                    wait = np.int32(wait - 1) if wait > 0 else np.int32(0)
                    e, i, a = product(keep_e, excited), product(keep_i, inhibited), product(keep_a, a)
                    if v >= limit:
                        v = reset
                        if n < excitatory:
                            a += adaptation
                        wait = np.int32(longer) if n < excitatory else np.int32(shorter)
                        place = list_at + cuda.atomic.add(many, turn, 1)
                        listed[place] = k * count + n
                        listed_releases[place] = release(
                            step + k, n, c, table, cell, constants, neurons, spiked, columns, decay_at, decay, times
                        )
                    now = now + 1 if now + 1 < slots else 0
                cells[v_ + n], cells[e_ + n], cells[i_ + n], cells[a_ + n] = v, e, i, a
                waits[held_ + n] = wait
                words[high_ + n], words[low_ + n] = high, low
                n += threads
            cuda.syncthreads()
            if pulsed:
                while pulse < pulses and pulse_step[pulse] <= step:
                    electrode = places[c, REACH_FIRST] + pulse_electrode[pulse]
                    pair = reach_first[electrode] + thread
                    while pair < reach_first[electrode + 1]:
                        near = places[c, REACH] + pair
                        n = int(reach[near])
                        felt = pulse_strength[pulse] * np.float64(attenuation[near])
                        cells[e_ + n] += np.float32(constants[c, kernel.PULSE_RELEASE] * felt)
                        if waits[held_ + n] <= 0:
                            cells[v_ + n] += np.float32(felt)
                        pair += threads
                    pulse += 1
                    cuda.syncthreads()
                n = thread
                while n < count:
                    if cells[v_ + n] >= threshold:
                        cells[v_ + n] = reset
                        if n < excitatory:
                            cells[a_ + n] += adaptation
                        waits[held_ + n] = longer if n < excitatory else shorter
                        place = list_at + cuda.atomic.add(many, turn, 1)
                        listed[place] = n
                        listed_releases[place] = release(
                            step, n, c, table, cell, constants, neurons, spiked, columns, decay_at, decay, times
                        )
                    n += threads
                cuda.syncthreads()
            spikes = int(many[turn])
            turn = 1 - turn
            if thread == 0:
                many[turn] = 0  # all threads have read it: it is that of the last time
            if spikes > 0:
                j = thread
                while j < spikes:
                    key, rank = listed[list_at + j], 0
                    for other in range(spikes):
                        if listed[list_at + other] < key:
                            rank += 1
                    fired[list_at + total + rank] = key + (step - start) * count
                    releases[list_at + rank] = listed_releases[list_at + j]
                    j += threads
                cuda.syncthreads()
                for j in range(spikes):
                    key = fired[list_at + total + j]
                    n, now = int(key % count), start + key // count
                    released = releases[list_at + j]
                    excites = n < excitatory
                    kind = ring_at if excites else ring_at + size
                    arrives = now % slots * columns
                    s, last = first[row + n] + thread, first[row + n + 1]
                    while s < last:
                        if learns and excites:
                            onto = int(target[wiring + s])
                            if onto < excitatory:
                                trace = traced(
                                    now, onto, c, table, cell, neurons, learnt, columns, decay_at, decay, times
                                )
                                if trace > 0.0:
                                    by = product_double(
                                        product_double(
                                            -constants[c, kernel.DEPRESSION], np.float64(weights[weights_at + s])
                                        ),
                                        trace,
                                    )
                                    change(
                                        now, s, by, c, places, constants, weights, eligible, tagged, decay_at, decay,
                                        times,
                                    )  # fmt: skip
                        at = arrives + into[wiring + s]
                        at = np.uint64(kind + (at - size if at >= size else at))
                        ring[at] = fused(weights[weights_at + s], released, ring[at])
                        s += threads
                    if learns and excites:
                        s, last = places[c, INCOMING] + thread, places[c, INCOMING]
                        s += incoming_first[places[c, INCOMING_FIRST] + n]
                        last += incoming_first[places[c, INCOMING_FIRST] + n + 1]
                        while s < last:
                            trace = traced(
                                now, int(source[s]), c, table, cell, neurons, learnt, columns, decay_at, decay, times
                            )
                            if trace > 0.0:
                                by = product_double(constants[c, kernel.POTENTIATION], trace)
                                change(
                                    now, int(incoming[s]), by, c, places, constants, weights, eligible, tagged,
                                    decay_at, decay, times,
                                )  # fmt: skip
                            s += threads
                        cuda.syncthreads()  # all have read the traces as they were
                        if thread == 0:
                            own = table + kernel.TRACED * columns + n
                            left = fallen(now - learnt[cell + n], TRACE, c, decay_at, decay, times)
                            neurons[own] = np.float32(fused_double(np.float64(neurons[own]), left, 1.0))
                            learnt[cell + n] = now
                    cuda.syncthreads()
                total += spikes
            step = until
        cuda.syncthreads()
        if in_shared_memory:
            n = thread
            while n < count:
                for r in range(kernel.BIAS):
                    neurons[table + r * columns + n] = cells[r * columns + n]
                held[cell + n] = waits[held_ + n]
                random[2 * cell + n], random[2 * cell + columns + n] = words[high_ + n], words[low_ + n]
                n += threads
        if thread == 0:
            begin[c] = step
            counts[c] = total

    return advance


def gather(fired, room, offset, packed):  # type: ignore[no-untyped-def]
    """Copy the spikes of all cultures next to each other; ``offset`` has where those of each begin, and the end."""
    c = cuda.blockIdx.x
    i = cuda.threadIdx.x
    while i < offset[c + 1] - offset[c]:
        packed[offset[c] + i] = fired[room * c + i]
        i += cuda.blockDim.x
