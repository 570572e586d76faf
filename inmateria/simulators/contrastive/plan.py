"""Plan of the elimination of a fixed graph: order of the nodes and places of all entries, computed once.

Hidden nodes come first, then outputs, then sources: in the clamped state outputs are held, so that elimination ends
before them and everything else is the same. The matrix of derivatives is not symmetric for transistors, but its pattern
is; each pair of free nodes that are neighbours when one is eliminated has two numbers, one in each direction.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from inmateria.simulators.contrastive.graph import GROUND, Graph

IntArray = npt.NDArray[np.intp]
IndexArray = npt.NDArray[np.uint32]


class Plan(NamedTuple):
    """Arrays for the compiled functions; places are indices into the order of elimination.

    Hidden nodes have places 0 to hidden - 1, outputs' nodes hidden to n - 1, inputs and then rails n and up.

    Parameters
    ----------
    hidden : int
    place : shape (nodes,)
        Place of each node.
    first, second : shape (edges,)
        Places of the nodes of each edge, the lower first.
    direction : shape (edges,)
        1 if the lower place is of the edge's own first node, else -1.
    slot : shape (inner, 2)
        For each edge between free nodes: its number, and its entry.
    border : shape (outer,)
        Edges between a free node and a source.
    start : shape (n + 1,)
        Beginning of each free place's entries.
    rows : shape (entries,)
        Places of the neighbours that each free place has when it is eliminated, ascending.
    target : shape (pairs,)
        For each place and each pair of its neighbours in order, the entry of the pair.
    plus, minus : shape (outputs,)
        Places of the two nodes of each output; for one to ground, the minus is the plus.
    across : shape (outputs,)
        Entry of the pair of a differential output's nodes.
    """

    hidden: int
    place: IndexArray
    first: IndexArray
    second: IndexArray
    direction: npt.NDArray[np.float64]
    slot: IndexArray
    border: IndexArray
    start: IndexArray
    rows: IndexArray
    target: IndexArray
    plus: IndexArray
    minus: IndexArray
    across: IndexArray


def plan_elimination(graph: Graph) -> Plan:
    """Plan the elimination of all nodes that are not sources."""
    nodes, sources = graph.node_count, graph.sources
    differential = graph.outputs[:, 1] != GROUND
    read = np.concatenate((graph.outputs[:, 0], graph.outputs[differential, 1]))
    free = np.ones(nodes, dtype=bool)
    free[sources] = False
    free[read] = False
    inside = np.flatnonzero(free)
    hidden, n = len(inside), nodes - len(sources)
    place = np.empty(nodes, dtype=np.intp)
    place[sources] = n + np.arange(len(sources))
    place[read] = hidden + np.arange(len(read))
    place[inside] = np.arange(hidden)
    ends = place[graph.edges]
    if hidden:
        place[inside] = _minimum_degree(hidden, ends[(ends < hidden).all(axis=1)])
    ends = place[graph.edges]
    low, high = np.sort(ends, axis=1).T
    plus = place[graph.outputs[:, 0]]
    minus = np.where(differential, place[graph.outputs[:, 1]], plus)
    between = np.sort(np.stack((plus, minus), axis=1)[differential], axis=1)
    inner = high < n
    columns = _filled_columns(n, np.concatenate((np.stack((low, high), axis=1)[inner], between)))
    start = np.concatenate(([0], np.cumsum([len(column) for column in columns]))).astype(np.intp)
    rows = np.concatenate([*columns, np.empty(0, dtype=np.intp)])
    key = np.repeat(np.arange(n), np.diff(start)) * max(n, 1) + rows  # ascending: a search finds an entry
    pairs = [np.empty(0, dtype=np.intp)]
    for column in columns:
        i, j = np.triu_indices(len(column), 1)
        pairs.append(column[i] * n + column[j])
    across = np.zeros(len(plus), dtype=np.intp)
    across[differential] = np.searchsorted(key, between[:, 0] * n + between[:, 1])
    return Plan(
        hidden=hidden,
        place=_index(place),
        first=_index(low),
        second=_index(high),
        direction=np.where(ends[:, 0] == low, 1.0, -1.0),
        slot=_index(np.stack((np.flatnonzero(inner), np.searchsorted(key, (low * n + high)[inner])), axis=1)),
        border=_index(np.flatnonzero((low < n) & (high >= n))),
        start=_index(start),
        rows=_index(rows),
        target=_index(np.searchsorted(key, np.concatenate(pairs))),
        plus=_index(plus),
        minus=_index(minus),
        across=_index(across),
    )


def _minimum_degree(n: int, links: IntArray) -> IntArray:
    """Return the place of each of n nodes in a fill-reducing order (multiple minimum degree, by SuperLU)."""
    low, high = links.T
    weight = -np.ones(len(links))
    matrix = coo_array((np.concatenate((weight, weight)), (np.r_[low, high], np.r_[high, low])), shape=(n, n)).tocsc()
    matrix.setdiag(1.0 - np.asarray(matrix.sum(axis=0)).ravel())
    factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factor.perm_c, dtype=np.intp)


def _filled_columns(n: int, links: IntArray) -> list[IntArray]:
    """List, for each place, its neighbours when it is eliminated, ascending.

    These are its own later neighbours and those it inherits from the places whose first later neighbour it is.
    """
    links = np.unique(links, axis=0)
    own = np.split(links[:, 1], np.searchsorted(links[:, 0], np.arange(1, n)))
    inherited: list[list[IntArray]] = [[] for _ in range(n)]
    columns = []
    for k in range(n):
        column = np.unique(np.concatenate([own[k], *inherited[k]])) if inherited[k] else own[k]
        column = column[column > k]
        if column.size:
            inherited[column[0]].append(column)
        inherited[k] = []
        columns.append(column)
    return columns


def _index(array: IntArray) -> IndexArray:
    # With unsigned indices the compiled loops need no test for negative ones: nearly twice the speed.
    return np.ascontiguousarray(array, dtype=np.uint32)
