"""Kirchhoff's laws on a fixed graph, prepared once: which sums to make, in which order, for any conductances.

The nodes that are held at a voltage are known; for the others, nodal analysis gives one symmetric
positive definite system a step. Graph, elimination order and pattern never change, so the sparse
LDL^T factorisation (George and Liu, 1981) becomes a fixed list of multiply-and-subtract.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.sparse import csc_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Index = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Elimination:
    """What to do with the conductances of a graph to get its node voltages.

    Free nodes are numbered by their place in the elimination order; node numbers of the graph are
    those of its junctions.

    Parameters
    ----------
    held : ndarray of uint32, shape (held,)
        Nodes whose voltage is given.
    free : ndarray of uint32, shape (free,)
        The other nodes, in elimination order.
    inner, inner_slot, inner_low, inner_high : ndarray of uint32
        Junctions between two free nodes: their number, their place in the factor, their two nodes.
    edge, edge_free, edge_held : ndarray of uint32
        Junctions between a free and a held node: their number, the free node's place, the held one's.
    column : ndarray of uint32, shape (free + 1,)
        Where each column of the factor begins.
    row : ndarray of uint32
        Row of each entry of the factor, below the diagonal.
    target : ndarray of uint32
        For each pair of entries of each column, in order, the entry that their product is taken from.
    """

    held: Index
    free: Index
    inner: Index
    inner_slot: Index
    inner_low: Index
    inner_high: Index
    edge: Index
    edge_free: Index
    edge_held: Index
    column: Index
    row: Index
    target: Index


def plan_elimination(nodes: int, junctions: IntArray, held: IntArray) -> Elimination:
    """Choose a fill-reducing order and write down the elimination for it.

    Parameters
    ----------
    nodes : int
    junctions : ndarray of int, shape (junctions, 2)
        Pairs of nodes, no pair twice.
    held : ndarray of int
        Nodes whose voltage is given, at least one in every connected part.

    Raises
    ------
    ValueError
        Where some node has no path to a held one, so that its voltage is undefined.
    """
    graph = csc_array((np.ones(len(junctions)), (junctions[:, 0], junctions[:, 1])), shape=(nodes, nodes))
    graph = csc_array(graph + graph.T)
    _, part = connected_components(graph, directed=False)
    adrift = np.flatnonzero(~np.isin(part, part[held]))
    if adrift.size:
        raise ValueError(
            f"{adrift.size} of {nodes} nodes have no path to an electrode that is driven or grounded (node "
            f"{adrift[0]} is one), so their voltage is undefined; leave them out, or ground one of them"
        )
    is_held = np.zeros(nodes, dtype=bool)
    is_held[held] = True
    free = np.flatnonzero(~is_held)
    free = free[_minimum_degree(csc_array(graph[free][:, free]))]
    place = np.full(nodes, -1)
    place[free] = np.arange(len(free))
    place[held] = np.arange(len(held))
    held_ends = is_held[junctions].sum(axis=1)

    inner = np.flatnonzero(held_ends == 0)
    ends = np.sort(place[junctions[inner]], axis=1)
    columns = _fill(len(free), ends)
    begin = np.concatenate([[0], np.cumsum([len(rows) for rows in columns])]).astype(np.uint32)
    row = np.concatenate([*columns, np.empty(0, dtype=np.int64)]).astype(np.uint32)
    slot = {(int(r), k): int(begin[k]) + j for k, rows in enumerate(columns) for j, r in enumerate(rows)}
    targets = [
        slot[int(rows[i]), int(rows[j])] for rows in columns for j in range(len(rows)) for i in range(j + 1, len(rows))
    ]

    edge = np.flatnonzero(held_ends == 1)
    swapped = is_held[junctions[edge, 0]]
    edge_free = np.where(swapped, junctions[edge, 1], junctions[edge, 0])
    edge_held = np.where(swapped, junctions[edge, 0], junctions[edge, 1])
    return Elimination(
        held=held.astype(np.uint32),
        free=free.astype(np.uint32),
        inner=inner.astype(np.uint32),
        inner_slot=np.array([slot[int(high), int(low)] for low, high in ends], dtype=np.uint32),
        inner_low=ends[:, 0].astype(np.uint32),
        inner_high=ends[:, 1].astype(np.uint32),
        edge=edge.astype(np.uint32),
        edge_free=place[edge_free].astype(np.uint32),
        edge_held=place[edge_held].astype(np.uint32),
        column=begin,
        row=row,
        target=np.array(targets, dtype=np.uint32),
    )


def _minimum_degree(graph: csc_array) -> IntArray:
    """Order nodes so that elimination fills in little: SuperLU's multiple minimum degree."""
    size = graph.shape[0]
    if size == 0:
        return np.empty(0, dtype=np.int64)
    matrix = csc_array(diags_array(graph.sum(axis=1) + 1.0) - graph)
    factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)
    return np.argsort(factor.perm_c).astype(np.int64)


def _fill(size: int, pairs: IntArray) -> list[IntArray]:
    """Find the rows below the diagonal of each column of the factor, fill included.

    A column's pattern is its own entries and its children's patterns in the elimination tree.
    """
    own: list[set[int]] = [set() for _ in range(size)]
    for low, high in pairs.tolist():
        own[low].add(high)
    for column in range(size):
        if own[column]:
            parent = min(own[column])
            own[parent] |= own[column] - {parent}
    return [np.array(sorted(rows), dtype=np.int64) for rows in own]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def solve(  # type: ignore[no-untyped-def]
    conductance, held_voltage, voltage, held, free, inner, inner_slot, inner_low, inner_high,
    edge, edge_free, edge_held, column, row, target, factor, diagonal, right,
):  # fmt: skip
    """Fill `voltage` (nodes,) with the solution for these conductances and held voltages.

    `factor`, `diagonal` and `right` are room to work in.
    """
    factor[:] = 0.0
    diagonal[:] = 0.0
    right[:] = 0.0
    for each in range(inner.size):
        g = conductance[inner[each]]
        factor[inner_slot[each]] = -g
        diagonal[inner_low[each]] += g
        diagonal[inner_high[each]] += g
    for each in range(edge.size):
        g = conductance[edge[each]]
        diagonal[edge_free[each]] += g
        right[edge_free[each]] += g * held_voltage[edge_held[each]]
    place = np.uint32(0)
    for k in range(free.size):
        begin, end = column[k], column[k + 1]
        inverse = 1.0 / diagonal[k]
        rhs = right[k]
        for j in range(begin, end):
            entry = factor[j]
            scaled = entry * inverse
            diagonal[row[j]] -= scaled * entry
            right[row[j]] -= scaled * rhs
            for i in range(j + 1, end):
                factor[target[place]] -= scaled * factor[i]
                place += np.uint32(1)
            # factor[j] of this column is still needed unscaled by the entries after it: they only read
            # the rows beyond j, so it may be scaled now.
            factor[j] = scaled
        right[k] = rhs * inverse
    for back in range(free.size):
        k = free.size - 1 - back
        value = right[k]
        for j in range(column[k], column[k + 1]):
            value -= factor[j] * right[row[j]]
        right[k] = value
        voltage[free[k]] = value
    for each in range(held.size):
        voltage[held[each]] = held_voltage[each]
