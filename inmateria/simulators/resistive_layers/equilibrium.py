"""Equilibrium of resistors and ideal diodes in layers, compiled: exact block coordinate descent, a layer a block.

The voltages minimise half the power that the resistors dissipate, less what the sources of current deliver, within the
limits that the diodes set: a convex quadratic programme (Scellier, ICML 2024). Nodes of one layer are not connected
with each other, so that all of them are set to their best voltages at once, given the layers beside them: the mean of
their neighbours' voltages, weighted by conductances, cut off at the diode's limit.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

MOST_SWEEPS = 100_000
"""Sweeps after which an equilibrium is not found."""

# Sums may be reordered, which lets the processor add several terms at once; the same machine gives the same bits.
compiled = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc", "arcp"}, boundscheck=False
)


class Layers(NamedTuple):
    """The network as the compiled functions take it; all floating-point arrays are of one type.

    Parameters
    ----------
    first : ndarray, shape (first layer, 2 * inputs)
        Conductances from the inputs and from the negated inputs to the nodes of the first layer, uS.
    upper : ndarray
        Conductances of all other layers one after another, each as rows (node, node of the layer before), uS.
    current : ndarray, shape (nodes,)
        Constant current into each node, uA.
    low, high : ndarray, shape (nodes,)
        Limits that the diodes set, V.
    place : ndarray, shape (layers + 1,)
        Where the nodes of each layer begin.
    block : ndarray, shape (layers,)
        Where the conductances of each layer begin in `upper`; that of the first is not used.
    """

    first: Floats
    upper: Floats
    current: Floats
    low: Floats
    high: Floats
    place: Indices
    block: Indices


class Bench(NamedTuple):
    """Scratch of the compiled functions, for at most so many samples at once.

    Parameters
    ----------
    drive : ndarray, shape (samples, first layer)
        Currents that the inputs send into nodes at 0 V, uA.
    first_sum : ndarray, shape (first layer,)
        Conductance from each node to all inputs, uS.
    own : ndarray, shape (nodes,)
        Sum of the conductances at each node, uS.
    inverse : ndarray, shape (nodes,)
        Its inverse, with the nudge at the outputs.
    next : ndarray, shape (samples, widest layer)
    free, plus, minus : ndarray, shape (samples, nodes)
        Voltages of the free state and of those nudged in both directions.
    """

    drive: Floats
    first_sum: Floats
    own: Floats
    inverse: Floats
    next: Floats
    free: Floats
    plus: Floats
    minus: Floats


def make_bench(layers: Layers, samples: int) -> Bench:
    """Make the scratch for so many samples."""
    kind, nodes, first = layers.first.dtype, len(layers.current), len(layers.first)
    widest = int(np.diff(layers.place).max())

    def rows(count: int) -> Floats:
        return np.zeros((samples, count), dtype=kind)

    return Bench(
        rows(first), np.zeros(first, kind), np.zeros(nodes, kind), np.zeros(nodes, kind), rows(widest), rows(nodes),
        rows(nodes), rows(nodes),
    )  # fmt: skip


@compiled
def sum_conductances(layers: Layers, bench: Bench) -> None:
    """Add up the conductances at each node, those to the inputs as `Bench.first_sum` has them."""
    own, place, last = bench.own, layers.place, len(layers.place) - 2
    own[:] = 0
    own[: place[1]] = bench.first_sum
    for layer in range(1, last + 1):
        below, here = own[place[layer - 1] : place[layer]], own[place[layer] : place[layer + 1]]
        for k in range(len(here)):
            begin = layers.block[layer] + k * len(below)
            row = layers.upper[begin : begin + len(below)]
            total = own[0] - own[0]
            for j in range(len(below)):
                total += row[j]
                below[j] += row[j]
            here[k] += total


@compiled
def sweep(layers: Layers, bench: Bench, volts: Floats, labels: Floats, nudge: Floats, samples: int) -> float:
    """Set each layer in turn to its best voltages; return the largest change beyond the first layer, V.

    The first layer changes in the next sweep by at most as much, because each of its voltages is a weighted mean.
    """
    place, last, change = layers.place, len(layers.place) - 2, 0.0
    for layer in range(last + 1):
        begin, end = place[layer], place[layer + 1]
        size = end - begin
        for s in range(samples):
            to, constant = bench.next[s], layers.current[begin:end]
            if layer == 0:
                source = bench.drive[s]
                for j in range(size):
                    to[j] = source[j] + constant[j]
            else:
                for j in range(size):
                    to[j] = constant[j]
            if layer == last:
                pull, label = nudge[0], labels[s]
                for j in range(size):
                    to[j] += pull * label[j]
        if layer > 0:
            before, width = place[layer - 1], begin - place[layer - 1]
            for k in range(size):
                start = layers.block[layer] + k * width
                row = layers.upper[start : start + width]
                for s in range(samples):
                    below = volts[s, before:begin]
                    total = row[0] - row[0]
                    for j in range(width):
                        total += row[j] * below[j]
                    bench.next[s, k] += total
        if layer < last:
            for k in range(place[layer + 2] - end):
                start = layers.block[layer + 1] + k * size
                row = layers.upper[start : start + size]
                for s in range(samples):
                    above, to = volts[s, end + k], bench.next[s]
                    if above != 0:
                        for j in range(size):
                            to[j] += row[j] * above
        low, high, inverse = layers.low[begin:end], layers.high[begin:end], bench.inverse[begin:end]
        for s in range(samples):
            here, to = volts[s, begin:end], bench.next[s]
            most = here[0] - here[0]
            for j in range(size):
                best = min(max(to[j] * inverse[j], low[j]), high[j])
                most = max(most, abs(best - here[j]))
                here[j] = best
            if layer > 0 or last == 0:
                change = max(change, float(most))
    return change


@compiled
def relax(
    layers: Layers,
    bench: Bench,
    volts: Floats,
    labels: Floats,
    nudge: Floats,
    samples: int,
    sweeps: int,
    tolerance: float,
) -> int:
    """Find the equilibrium from the voltages in `volts`, in place; return the number of sweeps, 0 if there is none.

    With `sweeps` above 0, so many are made and nothing is tested. Otherwise the descent ends when all that later sweeps
    would still change, estimated from the last two, is below `tolerance`, V.
    """
    place, last = layers.place, len(layers.place) - 2
    for j in range(len(bench.own)):
        total = bench.own[j]
        if j >= place[last]:
            total += nudge[0]
            if total < 0:
                return 0
        bench.inverse[j] = 1 / total if total > 0 else total - total
    if sweeps > 0:
        for _ in range(sweeps):
            sweep(layers, bench, volts, labels, nudge, samples)
        return sweeps
    before = np.inf
    for count in range(1, MOST_SWEEPS):
        change = sweep(layers, bench, volts, labels, nudge, samples)
        if not change < 1e30:
            return 0
        if change == 0 or (count > 1 and change < before and change * change <= tolerance * (before - change)):
            return count
        before = change
    return 0
