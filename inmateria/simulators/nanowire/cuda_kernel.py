"""The step of many networks of one graph on a CUDA device: each network in a block of threads.

The block holds what it eliminates in its shared memory, where there is room for it, and goes through all steps of its
drive; states and conductances are read and written once in a step. The levels of `level_schedule` are what its threads
do at once. One network a thread instead would leave a card of 132 multiprocessors with 76 threads on each, at ten
thousand networks, and all entries of all of them in its memory.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda, float64

_index = np.uint64


def advancing(evolve: Callable[..., tuple[float, float]], in_shared_memory: bool) -> Any:
    """Return the function that advances networks, for `numba.cuda.jit`.

    Parameters
    ----------
    evolve : callable
        How a junction evolves; see `evolution_cuda`.
    in_shared_memory : bool
        Whether there is room for the scratch of a network in the shared memory of a block.
    """
    evolve_junction = cuda.jit(device=True)(evolve)

    def advance(
        first, second, read, made_begin, made, border_begin, border, contact_begin, contact, level, start, rows,
        pair_level, pair, pair_more, node_level, node, node_more,
        constants, loads, states, conductances, feels, conducts, drive, step, samples, substeps, alike, limit, scratch,
        signal, exceeded,
    ):  # type: ignore[no-untyped-def] # fmt: skip
        # All but the plan have a row for each network; drive and signal have steps and channels in it, and `exceeded`
        # a number of each thread. Indices are unsigned, or each access would test for negative ones.
        one, two, three, four = _index(1), _index(2), _index(3), _index(4)
        network = cuda.blockIdx.x
        thread, threads = _index(cuda.threadIdx.x), _index(cuda.blockDim.x)
        if in_shared_memory:
            link = cuda.shared.array(0, float64)
        else:
            link = scratch[network]
        n, fixed, levels = _index(len(start)) - one, _index(len(contact_begin)) - one, _index(len(level)) - one
        toward = _index(len(rows))
        entries, inverse = toward, toward + n
        voltage = inverse + n  # of free places it holds the current from fixed ones first
        count, inputs, reads = _index(len(first)), _index(drive.shape[2]), _index(len(read))
        state, conductance, own = states[network], conductances[network], constants[network]
        duration = step / substeps
        row, turn, worst = _index(0), 0, 0.0
        for t in range(_index(drive.shape[1])):
            for part in range(samples * substeps):
                cuda.syncthreads()
                i = thread
                while i < fixed:
                    link[voltage + n + i] = drive[network, t, i] if i < inputs else 0.0
                    i += threads
                e = thread
                while e < entries:
                    g = 0.0
                    for i in range(_index(made_begin[e]), _index(made_begin[e + one])):
                        g += conductance[made[i]]
                    link[e] = g
                    e += threads
                k = thread
                while k < n:
                    to, current = loads[network, k], 0.0
                    for i in range(_index(border_begin[k]), _index(border_begin[k + one])):
                        g = conductance[border[i, 0]]
                        at = _index(border[i, 1]) - n
                        to += g
                        if at < inputs:
                            current += g * drive[network, t, at]
                    link[toward + k] = to
                    link[voltage + k] = current
                    k += threads
                for up in range(levels):
                    cuda.syncthreads()
                    k, end = _index(level[up]) + thread, _index(level[up + one])
                    while k < end:
                        total = link[toward + k]
                        for e in range(_index(start[k]), _index(start[k + one])):
                            total += link[e]
                        link[inverse + k] = 1.0 / total
                        k += threads
                    cuda.syncthreads()
                    # The indices of the next change are loaded before this one is made, and wait for nothing.
                    i, end = _index(pair_level[up]) + thread, _index(pair_level[up + one])
                    into, a, b, c, more, after = pair[0, 0], pair[0, 0], pair[0, 0], pair[0, 0], pair[0, 0], pair[0, 0]
                    if i < end:
                        into, a, b, c = pair[0, i], pair[one, i], pair[two, i], pair[three, i]
                        more, after = pair[four, i], pair[four, i + one]
                    while i < end:
                        at, low, high = _index(into), _index(more), _index(after)
                        e, f, k = _index(a), _index(b), _index(c)
                        i += threads
                        if i < end:
                            into, a, b, c = pair[0, i], pair[one, i], pair[two, i], pair[three, i]
                            more, after = pair[four, i], pair[four, i + one]
                        total = link[at] + link[e] * link[inverse + k] * link[f]
                        for m in range(low, high):
                            share = link[pair_more[0, m]] * link[inverse + _index(pair_more[two, m])]
                            total += share * link[pair_more[one, m]]
                        link[at] = total
                    i, end = _index(node_level[up]) + thread, _index(node_level[up + one])
                    while i < end:
                        r, k = _index(node[0, i]), _index(node[two, i])
                        share = link[node[one, i]] * link[inverse + k]
                        to, current = share * link[toward + k], share * link[voltage + k]
                        for m in range(_index(node[three, i]), _index(node[three, i + one])):
                            k = _index(node_more[one, m])
                            share = link[node_more[0, m]] * link[inverse + k]
                            to += share * link[toward + k]
                            current += share * link[voltage + k]
                        link[toward + r] += to
                        link[voltage + r] += current
                        i += threads
                for down in range(levels):
                    cuda.syncthreads()
                    at = levels - one - down
                    k, end = _index(level[at]) + thread, _index(level[at + one])
                    while k < end:
                        current = link[voltage + k]
                        for e in range(_index(start[k]), _index(start[k + one])):
                            current += link[e] * link[voltage + _index(rows[e])]
                        link[voltage + k] = current * link[inverse + k]
                        k += threads
                cuda.syncthreads()
                if part % substeps == 0:
                    i = thread
                    while i < reads:
                        signal[network, row, i] = link[voltage + _index(read[i])]
                        i += threads
                    i = thread
                    while i < fixed:
                        total = 0.0
                        for m in range(_index(contact_begin[i]), _index(contact_begin[i + one])):
                            j = contact[m, 0]
                            v = link[voltage + _index(first[j])] - link[voltage + _index(second[j])]
                            total += -conductance[j] * v if contact[m, one] else conductance[j] * v
                        signal[network, row, reads + i] = total
                        i += threads
                    row += one
                    cuda.syncthreads()
                j = thread
                while j < count:
                    v = link[voltage + _index(first[j])] - link[voltage + _index(second[j])]
                    if not alike:
                        v *= feels[network, j]
                    x, g = evolve_junction(own, duration, v, state[j])
                    if not alike:
                        g *= conducts[network, j]
                    if limit > 0.0 and turn == 0:
                        before = conductance[j]
                        if g > limit * before or before > limit * g:
                            worst = math.fabs(v) if math.fabs(v) > worst else worst
                    state[j] = x
                    conductance[j] = g
                    j += threads
                turn = 0 if turn == 4 else turn + 1
        exceeded[network, thread] = worst

    return advance
