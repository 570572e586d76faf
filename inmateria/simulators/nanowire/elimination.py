"""Plan of the elimination of a fixed graph: order of the nodes and places of all entries, computed once.

Eliminating a node of a resistor network joins its neighbours pairwise (the star-mesh transform), which is
one column of an LDL^T factorisation of the nodal matrix. The graph never changes, so the minimum-degree
order and the places of all fill-in are computed here, and the compiled step only does arithmetic. For sparse graphs the
plan has the place of every multiply-add; where there are many of them to an entry, it is one of `sparse_ldl`, which
grows with the entries.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from inmateria.simulators.sparse_ldl import (
    Order,
    approximate_minimum_degree,
    factor_places,
    order_by,
    order_of,
    postordered,
)

IntArray = npt.NDArray[np.intp]
IndexArray = npt.NDArray[np.uint32]

UNROLLED = 32
"""Multiply-adds to an entry of the factor up to which each of them is listed; measured: both are equally fast there."""
_TRIES = 8
"""Orders of which the one with the fewest multiply-adds is taken: nodes of equal degree are then taken otherwise."""

_TOGETHER = 1000
"""Entries of a subtree of columns that are eliminated one after another, so that they stay in the cache."""

_NONE = np.empty(0, dtype=np.uint32)


class Elimination(NamedTuple):
    """Arrays for the compiled step; places are indices into elimination order.

    Free nodes have places 0 to n-1 in the order of their elimination, fixed ones the places after. Columns are listed
    either with their multiply-adds (``start``, ``rows``, ``target``), or as supernodes (``column`` to ``grounded``).

    Parameters
    ----------
    place : shape (nodes,)
        Place of each node.
    first, second : shape (junctions,)
        Places of the two nodes of each junction.
    slot : shape (inner, 2)
        For each junction between free nodes: its number, and the place of its conductance in the columns.
    border : shape (outer, 3)
        For each junction between a free node and a fixed one: its number, and the places of the two.
    contact : shape (contacts, 3)
        For each end of a junction at a fixed node: the junction's number, which fixed node, 1 if it is the
        junction's second node.
    start : shape (n + 1,)
        Beginning of each free node's column; its rows are the neighbours it has when it is eliminated.
    rows : shape (entries,)
        Places of those neighbours, ascending in each column.
    target : shape (pairs,)
        For each column and each pair of its rows in order, the place of the pair's own conductance.
    column, begin, supernode_rows, value
        Of a `Symbolic`, or empty.
    grounded : shape (n,)
        Place among its values of each free place's conductance to fixed ones.
    room : shape (3,)
        Numbers of float64 that it needs: values, and scratch; and of the uint32 that are the last part of the scratch.
    """

    place: IndexArray
    first: IndexArray
    second: IndexArray
    slot: IndexArray
    border: IndexArray
    contact: IndexArray
    start: IndexArray
    rows: IndexArray
    target: IndexArray
    column: IndexArray = _NONE
    begin: IndexArray = _NONE
    supernode_rows: IndexArray = _NONE
    value: IndexArray = _NONE
    grounded: IndexArray = _NONE
    room: IndexArray = _NONE

    def packed(self, read: IntArray, ports: bool = False, series: bool = False, kinds: Any = _NONE) -> IndexArray:
        """Pack everything into one array for `kernel.unpack`.

        One array, because each argument of a compiled function costs a tenth of a microsecond.

        Parameters
        ----------
        read : ndarray of int
            Nodes to be read.
        ports, series : bool
            Whether fixed nodes have sources of their own, and junctions a resistance in series; see `circuit`.
        kinds : ndarray of uint32
            Kind of each junction, if there are several; see `kernel.evolve_kinds`.
        """
        circuit = np.array([ports or series or bool(len(self.column)), ports, series], dtype=np.uint32)
        parts = (*self, self.place[read], circuit, kinds)
        sizes = [len(part) for part in parts]
        return np.concatenate([np.array(sizes, dtype=np.uint32), *(part.ravel() for part in parts)])

    @property
    def scratch(self) -> int:
        """Number of float64 that eliminating the free nodes needs."""
        n = len(self.start) - 1
        return int(self.room[:2].sum()) + n if len(self.column) else len(self.rows) + 3 * n


class Places(NamedTuple):
    """The order of elimination of a graph with fixed nodes, and where its junctions lie in it.

    Parameters
    ----------
    place, first, second, border, contact
        As in `Elimination`.
    inner : ndarray of int
        Numbers of the junctions between free nodes.
    order : Order
        Of the free nodes.
    """

    place: IntArray
    first: IntArray
    second: IntArray
    border: IntArray
    contact: IntArray
    inner: IntArray
    order: Order

    @property
    def entries(self) -> int:
        """Number of entries of the factor."""
        return int(self.order.column_counts.sum())

    @property
    def pairs(self) -> int:
        """Number of multiply-adds of an elimination."""
        return _pairs(self.order)


def eliminate(nodes: int, junctions: IntArray, fixed: IntArray) -> Elimination:
    """Plan the elimination of all nodes but the fixed ones, in the way that is faster.

    Parameters
    ----------
    nodes : int
    junctions : ndarray of int, shape (junctions, 2)
        No junction from a node to itself; parallel ones are allowed.
    fixed : ndarray of int
        Nodes of given voltage. Each connected component has at least one.
    """
    places = ordered(nodes, junctions, fixed, order_of)
    if places.pairs > UNROLLED * places.entries:
        return by_supernodes(places)
    return by_pairs(ordered(nodes, junctions, fixed, least_pairs_in_parts))


def ordered(
    nodes: int, junctions: IntArray, fixed: IntArray, order_of_free: Callable[[int, IntArray], Order]
) -> Places:
    """Return the places of all nodes in an order in which those that are not fixed are eliminated."""
    is_fixed = np.zeros(nodes, dtype=bool)
    is_fixed[fixed] = True
    free = np.flatnonzero(~is_fixed)
    n = len(free)
    place = np.empty(nodes, dtype=np.int64)
    place[free] = np.arange(n)
    place[fixed] = n + np.arange(len(fixed))
    ends = place[junctions].reshape(-1, 2)
    inner = np.flatnonzero((ends < n).all(axis=1))
    order = order_of_free(n, ends[inner])
    place[free] = order.place
    ends = place[junctions].reshape(-1, 2)
    outer = np.flatnonzero((ends < n).sum(axis=1) == 1)
    border = np.column_stack((outer, ends[outer].min(axis=1), ends[outer].max(axis=1)))
    touching = np.argwhere(ends >= n)
    contact = np.column_stack((touching[:, 0], ends[ends >= n] - n, touching[:, 1]))
    return Places(place, ends[:, 0], ends[:, 1], border, contact, inner, order)


def least_pairs(nodes: int, edges: IntArray) -> Order:
    """Return the order with the fewest multiply-adds of a few, which differ in what is done about equal degrees."""
    best, least = None, 0
    for turn in range(_TRIES):
        name = np.random.default_rng(turn).permutation(nodes) if turn else np.arange(nodes)
        order = order_by(np.argsort(name)[approximate_minimum_degree(nodes, name[edges])], edges)
        pairs = _pairs(order)
        if best is None or pairs < least:
            best, least = order, pairs
    assert best is not None
    return best


def least_pairs_in_parts(nodes: int, edges: IntArray) -> Order:
    """Return the order of `least_pairs` with small subtrees of the elimination tree one after another.

    Within each, the order stays, in which neighbours seldom wait for each other, as they do where each subtree is a
    run. Multiply-adds and entries are the same.
    """
    order = least_pairs(nodes, edges)
    runs = postordered(order, edges)
    part = _parts(runs.parent, runs.column_counts, _TOGETHER)[runs.place]
    return order_by(np.lexsort((order.place, part)), edges)


def by_pairs(places: Places) -> Elimination:
    """Plan every multiply-add of an elimination."""
    counts = places.order.column_counts
    start, rows, target = _unrolled(*places.order[1:], places.pairs)
    low, high = np.sort(np.column_stack((places.first, places.second))[places.inner], axis=1).T
    n = max(len(counts), 1)
    key = np.repeat(np.arange(len(counts)), counts) * n + rows  # ascending
    slot = np.column_stack((places.inner, np.searchsorted(key, low * n + high)))
    arrays = (places.place, places.first, places.second, slot, places.border, places.contact, start, rows, target)
    return Elimination(*(_index(array) for array in arrays))


def by_supernodes(places: Places) -> Elimination:
    """Plan an elimination by `sparse_ldl`, in an order in which each subtree is a run."""
    free = np.arange(len(places.order.place))
    ends = np.column_stack((places.first, places.second))[places.inner]
    symbolic = factor_places(places.order._replace(place=free), ends)
    slot = np.column_stack((places.inner, symbolic.slot))
    start = np.zeros(len(free) + 1)
    marks = symbolic.front_marks
    room = np.array([symbolic.values, symbolic.front_room + (marks + 1) // 2, marks])
    arrays = (
        places.place, places.first, places.second, slot, places.border, places.contact, start, _NONE, _NONE,
        symbolic.column, symbolic.begin, symbolic.rows, symbolic.value, symbolic.grounded, room,
    )  # fmt: skip
    return Elimination(*(_index(array) for array in arrays))


def _pairs(order: Order) -> int:
    return int((order.column_counts * (order.column_counts - 1) // 2).sum())


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _parts(parent: IntArray, count: IntArray, most: int) -> IntArray:
    """Return the last column of the largest subtree of so many entries that each is in; others are on their own."""
    n = len(parent)
    size, part = count.copy(), np.arange(n)
    for k in range(n):
        if parent[k] >= 0:
            size[parent[k]] += size[k]
    for k in range(n - 1, -1, -1):
        if parent[k] >= 0 and size[parent[k]] <= most:
            part[k] = part[parent[k]]
    return part


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _unrolled(
    begin: IntArray, neighbours: IntArray, parent: IntArray, count: IntArray, pairs: int
) -> tuple[IntArray, IntArray, IndexArray]:
    """Return ``start``, ``rows`` and ``target`` of an `Elimination`."""
    n = len(count)
    start, mark = np.zeros(n + 1, dtype=np.int64), np.full(n, -1)
    for k in range(n):
        start[k + 1] = start[k] + count[k]
    rows, filled = np.empty(start[n], dtype=np.int64), start[:n].copy()
    for k in range(n):  # the columns of a row are the paths in the tree from its neighbours up to it
        for p in range(begin[k], begin[k + 1]):
            i = neighbours[p]
            while i < k and mark[i] != k:
                mark[i] = k
                rows[filled[i]] = k
                filled[i] += 1
                i = parent[i]
    target = np.empty(pairs, dtype=np.uint32)
    pair = 0
    for k in range(n):
        for i in range(start[k], start[k + 1]):
            at = start[rows[i]]
            for j in range(i + 1, start[k + 1]):
                while rows[at] < rows[j]:
                    at += 1
                target[pair] = at
                pair += 1
    return start, rows, target


def _index(array: npt.NDArray[Any]) -> IndexArray:
    # With unsigned indices the compiled loops need no test for negative ones: nearly twice the speed.
    return np.ascontiguousarray(array, dtype=np.uint32)
