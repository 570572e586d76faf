"""The graph of a nanowire network: wires, junctions, electrodes and their places, without physics."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, issparse

from inmateria.simulators.nanowire.geometry import Geometry, components, deposit, grid, spread_out
from inmateria.simulators.nanowire.parameters import Grid, RandomWires

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Graph:
    """Wires, junctions and electrodes.

    Parameters
    ----------
    wire_count : int
    junctions : ndarray of int, shape (junctions, 2)
    inputs, grounds, outputs : ndarray of int
        Wires that are driven, at 0 V, and read.
    geometry : Geometry or None
        Places of wires and junctions; None for a graph without places.
    """

    wire_count: int
    junctions: IntArray
    inputs: IntArray
    grounds: IntArray
    outputs: IntArray
    geometry: Geometry | None


def random_graph(
    wires: int, seed: int, electrodes: int, inputs: int, grounds: int, geometry: RandomWires | Grid
) -> Graph:
    """Make the graph of a seeded network, with electrodes on wires far from one another.

    Raises
    ------
    ValueError
        If a number is out of range, or too few wires are connected.
    """
    at_least("wires", wires, 2)
    at_least("seed", seed, 0)
    for name, value in (("electrodes", electrodes), ("inputs", inputs), ("grounds", grounds)):
        at_least(name, value, 1)
    if inputs + grounds > electrodes:
        raise ValueError(
            f"{inputs} inputs and {grounds} grounds need {inputs + grounds} electrodes and there are {electrodes}; "
            "give more electrodes or fewer inputs"
        )
    side = math.sqrt(wires / geometry.density) if geometry.side is None else geometry.side
    rng = np.random.default_rng(seed)
    if isinstance(geometry, RandomWires):
        placed = deposit(wires, side, geometry.length, geometry.length_spread, rng)
    else:
        if math.isqrt(wires) ** 2 != wires:
            raise ValueError(
                f"a grid of {wires} nodes is not square; give {math.isqrt(wires) ** 2} wires, for instance"
            )
        placed = grid(math.isqrt(wires), side, rng)
    count = len(placed.segments)
    if electrodes > count:
        raise ValueError(
            f"{electrodes} electrodes need at least as many wires and the largest connected part has {count}; "
            "give more or denser wires, or fewer electrodes"
        )
    chosen = spread_out(placed.centres, electrodes)
    # The two farthest apart, chosen first, become the first input and the first ground.
    chosen = np.concatenate((chosen[:1], chosen[2 : inputs + 1], chosen[1:2], chosen[inputs + 1 :]))
    driven, grounded, read = np.split(chosen, [inputs, inputs + grounds])
    return Graph(count, placed.junctions, driven, grounded, read, placed)


def given_graph(
    wire_count: int,
    junctions: Any,
    inputs: Iterable[int],
    grounds: Iterable[int],
    outputs: Iterable[int] | None,
) -> Graph:
    """Check a given graph and its electrodes.

    Parameters
    ----------
    junctions
        Pairs of wires, a square sparse or dense adjacency matrix, or a networkx graph of nodes 0 to wire_count-1.
    outputs
        All wires that are neither driven nor at 0 V, by default.

    Raises
    ------
    ValueError
        If a wire does not exist, has two roles, or is connected to neither an input nor a ground.
    """
    at_least("wire_count", wire_count, 1)
    ends = edge_list(wire_count, junctions)
    if ends.size and (ends.min() < 0 or ends.max() >= wire_count):
        raise ValueError(f"junctions name wires {ends.min()} to {ends.max()}; there are 0 to {wire_count - 1}")
    loops = np.flatnonzero(ends[:, 0] == ends[:, 1])
    if loops.size:
        raise ValueError(f"junction {loops[0]} joins wire {ends[loops[0], 0]} to itself; leave it out")
    driven, grounded = np.array([*inputs], dtype=np.intp), np.array([*grounds], dtype=np.intp)
    if outputs is None:
        read = np.setdiff1d(np.arange(wire_count), np.concatenate((driven, grounded)))
    else:
        read = np.array([*outputs], dtype=np.intp)
    chosen = np.concatenate((driven, grounded, read))
    if not driven.size:
        raise ValueError("no wire is driven; give at least one in inputs")
    if chosen.min() < 0 or chosen.max() >= wire_count:
        raise ValueError(f"electrodes lie on wires {chosen.min()} to {chosen.max()}; there are 0 to {wire_count - 1}")
    if len(np.unique(chosen)) < len(chosen):
        twice = np.flatnonzero(np.bincount(chosen) > 1)
        raise ValueError(f"wire {twice[0]} is an electrode twice; give each wire one role")
    label = components(wire_count, ends)
    floating = np.flatnonzero(~np.isin(label, label[np.concatenate((driven, grounded))]))
    if floating.size:
        raise ValueError(
            f"{floating.size} wires (the first is {floating[0]}) are connected to no input and no ground, so that "
            "their voltage is undefined; leave them out"
        )
    return Graph(wire_count, ends, driven, grounded, read, None)


def edge_list(wire_count: int, junctions: Any) -> IntArray:
    """Read pairs of wires from any of the allowed forms, shape (junctions, 2), lower index first."""
    if hasattr(junctions, "edges") and hasattr(junctions, "nodes"):
        strange = [node for node in junctions.nodes if not isinstance(node, (int, np.integer))]
        if strange:
            raise ValueError(
                f"the graph has a node {strange[0]!r}; nodes must be 0 to {wire_count - 1}: "
                "networkx.convert_node_labels_to_integers gives that"
            )
        pairs = np.array([edge[:2] for edge in junctions.edges], dtype=np.intp).reshape(-1, 2)
    elif issparse(junctions):
        matrix = coo_array(junctions)  # type: ignore[call-overload]
        _square(wire_count, matrix.shape)
        linked = matrix.data != 0
        pairs = np.unique(np.sort(np.column_stack((matrix.row, matrix.col))[linked], axis=1), axis=0)
    else:
        array = np.asarray(junctions)
        if array.size == 0:
            return np.empty((0, 2), dtype=np.intp)
        if array.ndim == 2 and array.shape[1] != 2:
            _square(wire_count, array.shape)
            pairs = np.unique(np.sort(np.argwhere(array != 0), axis=1), axis=0)
        elif array.ndim == 2 and np.array_equal(array, array.astype(np.intp)):
            pairs = array
        else:
            raise ValueError(f"junctions have shape {array.shape} and type {array.dtype}; give pairs of whole numbers")
    return np.sort(pairs.astype(np.intp), axis=1)


def at_least(name: str, value: object, least: int) -> None:
    """Raise `ValueError` if a count is not a whole number or too small."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r}; give a whole number of at least {least}")


def _square(wire_count: int, shape: Sequence[int]) -> None:
    if tuple(shape) != (wire_count, wire_count):
        raise ValueError(f"the adjacency matrix has shape {tuple(shape)}; for {wire_count} wires it is square")
