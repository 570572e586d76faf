"""Plan of the elimination of a fixed graph: order of the nodes and places of all entries, computed once.

Hidden nodes come first, then outputs, then sources: in the clamped state outputs are held, so that elimination ends
before them and everything else is the same. The matrix of derivatives is not symmetric for transistors, but its pattern
is; each pair of free nodes that are neighbours when one is eliminated has two numbers, one in each direction. For small
graphs the plan has the place of every multiply-add; for others it is one of `sparse_ldl`, which grows with the entries.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.simulators.contrastive.graph import GROUND, Graph
from inmateria.simulators.sparse_ldl import Order, approximate_minimum_degree, factor_places, order_by, postordered

IntArray = npt.NDArray[np.intp]
IndexArray = npt.NDArray[np.uint32]

_LISTED = 500
"""Free nodes up to which each multiply-add is listed; beyond, dense blocks are faster."""
_NONE = np.empty(0, dtype=np.uint32)


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
    entries : int
        Number of entries.
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
    column, begin, blocks, value, grounded
        Of a `Symbolic`, for which ``start``, ``rows`` and ``target`` are empty; or empty. ``blocks`` are its rows.
    room, marks : int
        Scratch that it needs.
    """

    hidden: int
    place: IndexArray
    first: IndexArray
    second: IndexArray
    direction: npt.NDArray[np.float64]
    slot: IndexArray
    border: IndexArray
    entries: int
    start: IndexArray
    rows: IndexArray
    target: IndexArray
    plus: IndexArray
    minus: IndexArray
    across: IndexArray
    column: IndexArray
    begin: IndexArray
    blocks: IndexArray
    value: IndexArray
    grounded: IndexArray
    room: int
    marks: int


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
    order, between = _order(hidden, n, place[graph.edges], place[graph.outputs[differential]])
    place[place < n] = order.place[place[place < n]]
    ends = place[graph.edges]
    low, high = np.sort(ends, axis=1).T
    inner = high < n
    plus = place[graph.outputs[:, 0]]
    minus = np.where(differential, place[graph.outputs[:, 1]], plus)
    pairs = np.concatenate((np.stack((low, high), axis=1)[inner], order.place[between]))
    listed = n <= _LISTED
    entry = _listed_entries(order, pairs) if listed else _block_entries(order, pairs)
    across = np.zeros(len(plus), dtype=np.intp)
    first_between = int(inner.sum())
    across[differential] = entry["entry"][first_between : first_between + int(differential.sum())]
    return Plan(
        hidden=hidden,
        place=_index(place),
        first=_index(low),
        second=_index(high),
        direction=np.where(ends[:, 0] == low, 1.0, -1.0),
        slot=_index(np.stack((np.flatnonzero(inner), entry.pop("entry")[:first_between]), axis=1)),
        border=_index(np.flatnonzero((low < n) & (high >= n))),
        plus=_index(plus),
        minus=_index(minus),
        across=_index(across),
        **entry,
    )


def _order(hidden: int, n: int, ends: IntArray, outputs: IntArray) -> tuple[Order, IntArray]:
    """Order the free places: hidden ones with little fill-in, then outputs; return also pairs that no edge joins.

    The pairs are those of the differential outputs, along which nudges flow, and a chain that keeps the outputs last:
    along them, and from the last hidden place of each part of the graph to the first.
    """
    within = ends[(ends < hidden).all(axis=1)]
    free = ends[(ends < n).all(axis=1)]
    sequence = np.concatenate((approximate_minimum_degree(hidden, within), np.arange(hidden, n)))
    chain = np.stack((np.arange(hidden, n - 1), np.arange(hidden + 1, n)), axis=1)
    between = np.concatenate((outputs.reshape(-1, 2), chain)).astype(np.intp)
    order = order_by(sequence, np.concatenate((free, between)))
    roots = np.argsort(order.place)[np.flatnonzero(order.parent[:hidden] < 0)]
    if roots.size and hidden < n:
        between = np.concatenate((between, np.stack((roots, np.full(len(roots), hidden)), axis=1)))
        order = order_by(sequence, np.concatenate((free, between)))
    return postordered(order, np.concatenate((free, between))), between


def _listed_entries(order: Order, pairs: IntArray) -> dict[str, Any]:
    """Plan with every multiply-add listed."""
    n = len(order.place)
    columns: list[IntArray] = []
    inherited: list[list[IntArray]] = [[] for _ in range(n)]
    for k in range(n):
        own = order.neighbours[order.start[k] : order.start[k + 1]]
        column = np.unique(np.concatenate([own, *inherited[k]]))
        column = column[column > k]
        if column.size:
            inherited[column[0]].append(column)
        columns.append(column)
    start = np.concatenate(([0], np.cumsum([len(column) for column in columns]))).astype(np.intp)
    rows = np.concatenate([*columns, np.empty(0, dtype=np.intp)])
    key = np.repeat(np.arange(n), np.diff(start)) * max(n, 1) + rows  # ascending: a search finds an entry
    joined = [np.empty(0, dtype=np.intp)]
    for column in columns:
        i, j = np.triu_indices(len(column), 1)
        joined.append(column[i] * n + column[j])
    low, high = np.sort(pairs, axis=1).T
    return {
        "entry": np.searchsorted(key, low * n + high),
        "entries": len(rows),
        "start": _index(start),
        "rows": _index(rows),
        "target": _index(np.searchsorted(key, np.concatenate(joined))),
        **dict.fromkeys(("column", "begin", "blocks", "value", "grounded"), _NONE),
        "room": 0,
        "marks": 0,
    }


def _block_entries(order: Order, pairs: IntArray) -> dict[str, Any]:
    """Plan with supernodes."""
    n = len(order.place)
    symbolic = factor_places(order._replace(place=np.arange(n)), pairs)
    return {
        "entry": symbolic.slot.astype(np.intp),
        "entries": symbolic.values,
        "start": np.zeros(n + 1, dtype=np.uint32),
        "rows": _NONE,
        "target": _NONE,
        "column": symbolic.column,
        "begin": symbolic.begin,
        "blocks": symbolic.rows,
        "value": symbolic.value,
        "grounded": _index(symbolic.grounded),
        "room": symbolic.room,
        "marks": symbolic.marks,
    }


def _index(array: IntArray) -> IndexArray:
    # With unsigned indices the compiled loops need no test for negative ones: nearly twice the speed.
    return np.ascontiguousarray(array, dtype=np.uint32)
