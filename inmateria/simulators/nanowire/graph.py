"""The graph of a nanowire network: wires, junctions, electrodes and their places, without physics."""

import math
from collections.abc import Iterable, Mapping, Sequence
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
        First and second wire of each.
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
        Pairs of wires, a square sparse or dense adjacency matrix of 0 and 1, or a networkx graph of nodes 0 to
        wire_count-1. Voltage and state of a junction count from its first wire to its second.
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
    """Read pairs of wires from any of the allowed forms, shape (junctions, 2), each in the orientation given."""
    if hasattr(junctions, "edges") and hasattr(junctions, "nodes"):
        return _edges_of_networkx(wire_count, junctions)
    if isinstance(junctions, Mapping):
        if set(junctions) != {"first", "second"}:
            raise ValueError(f"junctions are a mapping of {sorted(junctions)}; give first and second wires, or pairs")
        return _whole_numbers(np.array([junctions["first"], junctions["second"]]).T)
    if issparse(junctions):
        matrix = coo_array(junctions)  # type: ignore[call-overload]
        matrix.sum_duplicates()
        _square(wire_count, matrix.shape)
        linked = _unweighted(matrix.data)
        return _oriented(matrix.row[linked], matrix.col[linked])
    array = np.asarray(junctions)
    if array.size == 0:
        return np.empty((0, 2), dtype=np.intp)
    if array.ndim == 2 and (array.shape[1] != 2 or _is_matrix_of_two(wire_count, junctions, array)):
        _square(wire_count, array.shape)
        row, column = np.nonzero(array)
        _unweighted(array[row, column])
        return _oriented(row, column)
    return _whole_numbers(array)


def listed(graph: Graph) -> Any:
    """Return the junctions of a graph as plain values from which `edge_list` reads them again."""
    pairs = graph.junctions.tolist()
    if _is_matrix_of_two(graph.wire_count, pairs, graph.junctions):
        return {"first": graph.junctions[:, 0].tolist(), "second": graph.junctions[:, 1].tolist()}
    return pairs


def _edges_of_networkx(wire_count: int, graph: Any) -> IntArray:
    strange = [node for node in graph.nodes if not isinstance(node, (int, np.integer))]
    if strange:
        raise ValueError(
            f"the graph has a node {strange[0]!r}; nodes must be 0 to {wire_count - 1}: "
            "networkx.convert_node_labels_to_integers gives that"
        )
    _unweighted(np.array([weight for *_, weight in graph.edges(data="weight", default=1)]))
    pairs = np.array([edge[:2] for edge in graph.edges], dtype=np.intp).reshape(-1, 2)
    # Edges of a graph without directions have no orientation; those of a directed one keep it.
    return pairs if graph.is_directed() else np.sort(pairs, axis=1)


def _whole_numbers(array: npt.NDArray[Any]) -> IntArray:
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iufb":
        raise ValueError(f"junctions have shape {array.shape} and type {array.dtype}; give pairs of whole numbers")
    if not np.array_equal(array, array.astype(np.intp)):
        raise ValueError(f"junctions hold {array[array != np.floor(array)][0]}; give pairs of whole numbers")
    return array.astype(np.intp)


def _is_matrix_of_two(wire_count: int, given: Any, array: npt.NDArray[Any]) -> bool:
    """Whether two rows of two numbers are the adjacency matrix of two wires: its diagonal is 0; tuples are pairs."""
    if wire_count != 2 or array.shape != (2, 2) or any(isinstance(row, tuple) for row in given):
        return False
    return bool((np.diag(array) == 0).all())


def _oriented(row: IntArray, column: IntArray) -> IntArray:
    """Return the pairs in a matrix, sorted: from row to column, or lower first where both directions are in it."""
    pairs = np.column_stack((row, column)).astype(np.intp)
    low, high = np.sort(pairs, axis=1).T
    order = np.lexsort((row, high, low))  # of both directions, the one with the lower row comes first
    pairs, ends = pairs[order], np.column_stack((low, high))[order]
    again = np.zeros(len(pairs), dtype=bool)
    again[1:] = (ends[1:] == ends[:-1]).all(axis=1)
    return pairs[~again]


def _unweighted(weights: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where there is an edge; refuse weights, which could mean conductances, resistances or lengths."""
    strange = np.flatnonzero((weights != 0) & (weights != 1))
    if strange.size:
        raise ValueError(
            f"an edge has weight {weights[strange[0]]}; weights are not used, give 1 for each junction, and "
            "what differs between them in junction_values"
        )
    return np.asarray(weights != 0)


def at_least(name: str, value: object, least: int) -> None:
    """Raise `ValueError` if a count is not a whole number or too small."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r}; give a whole number of at least {least}")


def _square(wire_count: int, shape: Sequence[int]) -> None:
    if tuple(shape) != (wire_count, wire_count):
        raise ValueError(f"the adjacency matrix has shape {tuple(shape)}; for {wire_count} wires it is square")
