"""The part of a factor that the graph alone decides: order, elimination tree, supernodes, places of all entries."""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.sparse_ldl.numeric import place_fronts
from inmateria.simulators.sparse_ldl.ordering import adjacency, approximate_minimum_degree

Places = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.uint32]

WIDEST = 64
"""Columns of a supernode at most, so that what it adds to a later one fits into the cache."""


class Symbolic(NamedTuple):
    """Places of all entries of the factor of a graph; the memory it takes grows with the supernodes' rows.

    Nodes have places 0 to n-1 in the order of their elimination; n is the ground. A supernode is a run of columns with
    the same rows; its values are stored column after column, each with all the rows of the supernode.

    Parameters
    ----------
    place : shape (nodes,)
        Place of each node.
    column : shape (supernodes + 1,)
        First column of each supernode.
    begin : shape (supernodes + 1,)
        Beginning of each supernode's rows in ``rows``.
    rows : shape (total,)
        Rows of each supernode, ascending: its own columns, later places, and the ground.
    value : shape (supernodes + 1,)
        Beginning of each supernode's values; the last is the number of all values.
    slot : shape (edges,)
        Place of each edge's weight among the values.
    """

    place: IndexArray
    column: IndexArray
    begin: IndexArray
    rows: IndexArray
    value: IndexArray
    slot: IndexArray

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.place)

    @property
    def values(self) -> int:
        """Number of float64 that a factor takes, the diagonal excepted."""
        return int(self.value[-1])

    @property
    def grounded(self) -> npt.NDArray[np.int64]:
        """Place among the values of each place's edge to the ground, the last row of its column."""
        column, begin, value = (array.astype(np.int64) for array in (self.column, self.begin, self.value))
        width, height = np.diff(column), np.diff(begin)
        inside = np.arange(self.nodes) - np.repeat(column[:-1], width)
        return np.asarray(np.repeat(value[:-1], width) + (inside + 1) * np.repeat(height, width) - 1)

    @property
    def room(self) -> int:
        """Number of float64 of scratch that `factor_both_into` and all solutions need."""
        return 4 * (int(np.diff(self.begin.astype(np.int64)).max(initial=0)) + WIDEST)

    @property
    def marks(self) -> int:
        """Number of uint32 of scratch that `factor_both_into` needs."""
        return self.nodes + 1 + 3 * (len(self.column) - 1)

    @property
    def front_room(self) -> int:
        """Number of float64 of scratch that `factor_into` needs; enough for `solve_into`."""
        marks = np.empty(self.front_marks, dtype=np.uint32)
        return max(self.room, place_fronts(self.column, self.begin, self.rows, self.nodes, 0, marks)[0])

    @property
    def front_marks(self) -> int:
        """Number of uint32 of scratch that `factor_into` needs."""
        highest = int(np.diff(self.begin.astype(np.int64)).max(initial=0))
        return self.nodes + 1 + 7 * (len(self.column) - 1) + highest


class Order(NamedTuple):
    """An order of elimination and its tree.

    Parameters
    ----------
    place : shape (nodes,)
        Place of each node.
    start : shape (nodes + 1,)
        Where the list of neighbours of each place begins.
    neighbours : shape (2 * edges,)
        All lists, each ascending.
    parent : shape (nodes,)
        For each place, the first later place joined to it when it is eliminated; -1 if there is none.
    column_counts : shape (nodes,)
        Number of all such later places.
    """

    place: Places
    start: Places
    neighbours: Places
    parent: Places
    column_counts: Places


def analyse(nodes: int, edges: npt.ArrayLike) -> Symbolic:
    """Plan the factorisation of the Laplacian of a graph, once for all weights.

    Parameters
    ----------
    nodes : int
    edges : array_like of int, shape (edges, 2)
        Parallel ones are allowed; an edge from a node to itself is not.

    Raises
    ------
    ValueError
        If an edge names a node that there is not, or joins one to itself; or if the factor has more than 2^32 entries.
    """
    pairs = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= nodes):
        raise ValueError(f"edges name nodes {pairs.min()} to {pairs.max()}; there are 0 to {nodes - 1}")
    loops = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    if loops.size:
        raise ValueError(f"edge {loops[0]} joins node {pairs[loops[0], 0]} to itself; leave it out")
    return factor_places(order_of(nodes, pairs), pairs)


def factor_places(order: Order, edges: Places) -> Symbolic:
    """Plan the factorisation of a graph in an order in which each subtree is a run, as in `order_of`; see `analyse`."""
    place, start, neighbours, parent, count = order
    column = _supernodes(parent, count)
    begin, rows = _rows(column, start, neighbours, parent, count)
    height, width = np.diff(begin), np.diff(column)
    value = np.concatenate(([0], np.cumsum(height * width)))
    if value[-1] >= 2**32:
        raise ValueError(f"the factor has {value[-1]} entries; at most 2^32 are addressed")
    low, high = np.sort(place[edges], axis=1).T
    slot = _slots(column, begin, rows, value, low, high)
    return Symbolic(*(array.astype(np.uint32) for array in (place, column, begin, rows, value, slot)))


def order_of(nodes: int, edges: Places) -> Order:
    """Order the nodes of a graph so that few entries are filled in, and each subtree of the tree is a run."""
    return postordered(order_by(approximate_minimum_degree(nodes, edges), edges), edges)


def postordered(order: Order, edges: Places) -> Order:
    """Return the order of as little fill-in in which each subtree is a run; the root of a single tree stays last."""
    return order_by(np.argsort(_turned(_postorder(order.parent))[order.place]), edges)


def order_by(sequence: Places, edges: Places) -> Order:
    """Return the order in which nodes are eliminated in a given sequence."""
    place = _turned(sequence)
    start, neighbours = adjacency(len(place), place[edges])
    parent = _tree(start, neighbours)
    return Order(place, start, neighbours, parent, _column_counts(start, neighbours, parent))


def _turned(sequence: Places) -> Places:
    """Return the place of each number in a permutation."""
    place = np.empty(len(sequence), dtype=np.int64)
    place[sequence] = np.arange(len(sequence))
    return place


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _tree(start: Places, neighbours: Places) -> Places:
    """Return the elimination tree, with paths compressed: Liu, ACM Trans. Math. Softw. 12, 127 (1986)."""
    n = len(start) - 1
    parent, ancestor = np.full(n, -1), np.full(n, -1)
    for k in range(n):
        for p in range(start[k], start[k + 1]):
            i = neighbours[p]
            while i >= 0 and i < k:
                above = ancestor[i]
                ancestor[i] = k
                if above < 0:
                    parent[i] = k
                i = above
    return parent


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _postorder(parent: Places) -> Places:
    """Order a forest so that each subtree is a run that ends with its root."""
    n = len(parent)
    child, sibling = np.full(n, -1), np.full(n, -1)
    for i in range(n - 1, -1, -1):
        if parent[i] >= 0:
            sibling[i] = child[parent[i]]
            child[parent[i]] = i
    order, stack = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    done = 0
    for root in range(n):
        if parent[root] >= 0:
            continue
        top = 0
        stack[0] = root
        while top >= 0:
            i = stack[top]
            if child[i] >= 0:
                top += 1
                stack[top] = child[i]
                child[i] = sibling[child[i]]
            else:
                order[done] = i
                done += 1
                top -= 1
    return order


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _column_counts(start: Places, neighbours: Places, parent: Places) -> Places:
    """Count the entries of each column: a row's entries are the paths in the tree from its neighbours up to it."""
    n = len(parent)
    count, mark = np.zeros(n, dtype=np.int64), np.full(n, -1)
    for k in range(n):
        mark[k] = k
        for p in range(start[k], start[k + 1]):
            i = neighbours[p]
            while i < k and mark[i] != k:
                mark[i] = k
                count[i] += 1
                i = parent[i]
    return count


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _supernodes(parent: Places, count: Places) -> Places:
    """Return the first column of each supernode, and the number of columns.

    A run in which each column is the child of the next becomes one supernode if that adds few zeros, relative to its
    width; wide supernodes are cut.
    """
    n = len(parent)
    before = np.zeros(n + 1, dtype=np.int64)
    for j in range(n):
        before[j + 1] = before[j] + count[j]
    first = np.empty(n, dtype=np.int64)
    top = -1
    for j in range(n):
        top += 1
        first[top] = j
        while top > 0 and parent[first[top] - 1] == first[top]:
            low = first[top - 1]
            width = j + 1 - low
            full = width * count[j] + width * (width - 1) // 2
            zeros = full - (before[j + 1] - before[low])
            if zeros > full * (0.8 if width <= 4 else 0.25 if width <= 16 else 0.08 if width <= 48 else 0.03):
                break
            top -= 1
    cut = np.empty(n + 1, dtype=np.int64)
    made = 0
    for s in range(top + 1):
        width = (first[s + 1] if s < top else n) - first[s]
        parts = (width + WIDEST - 1) // WIDEST
        for part in range(parts):
            cut[made] = first[s] + part * width // parts
            made += 1
    cut[made] = n
    return cut[: made + 1].copy()


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _rows(column: Places, start: Places, neighbours: Places, parent: Places, count: Places) -> Any:
    """Return where the rows of each supernode begin, and the rows."""
    n, supernodes = len(parent), len(column) - 1
    owner, begin = np.empty(n, dtype=np.int64), np.zeros(supernodes + 1, dtype=np.int64)
    for s in range(supernodes):
        owner[column[s] : column[s + 1]] = s
        # Those of its last column, as each column's rows are among its parent's; and the ground.
        begin[s + 1] = begin[s] + column[s + 1] - column[s] + count[column[s + 1] - 1] + 1
    rows, filled, mark = np.empty(begin[supernodes], dtype=np.int64), begin[:-1].copy(), np.full(supernodes, -1)
    for s in range(supernodes):
        for k in range(column[s], column[s + 1]):
            rows[filled[s]] = k
            filled[s] += 1
    # Row by row, so that each list ascends; a row above the last column of a supernode is one of its own columns.
    for k in range(n):
        mark[owner[k]] = k
        for p in range(start[k], start[k + 1]):
            i = neighbours[p]
            while i >= 0 and i < k and mark[owner[i]] != k:
                s = owner[i]
                mark[s] = k
                rows[filled[s]] = k
                filled[s] += 1
                i = parent[column[s + 1] - 1]
    for s in range(supernodes):
        rows[filled[s]] = n
    return begin, rows


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _slots(column: Places, begin: Places, rows: Places, value: Places, low: Places, high: Places) -> Places:
    """Return the place among the values of the entry in each column ``low`` and row ``high``."""
    slot = np.empty(len(low), dtype=np.int64)
    for e in range(len(low)):
        s = np.searchsorted(column, low[e], side="right") - 1
        own = rows[begin[s] : begin[s + 1]]
        slot[e] = value[s] + (low[e] - column[s]) * len(own) + np.searchsorted(own, high[e])
    return slot
