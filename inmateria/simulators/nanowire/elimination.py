"""Plan of the elimination of a fixed graph: order of the nodes and places of all entries, computed once.

Eliminating a node of a resistor network joins its neighbours pairwise (the star-mesh transform), which is
one column of an LDL^T factorisation of the nodal matrix. The graph never changes, so the minimum-degree
order and the places of all fill-in are computed here, and the compiled step only does arithmetic.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

IntArray = npt.NDArray[np.intp]
IndexArray = npt.NDArray[np.uint32]


class Elimination(NamedTuple):
    """Arrays for the compiled step; places are indices into elimination order.

    Free nodes have places 0 to n-1 in the order of their elimination, fixed ones the places after.

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

    def packed(self, read: IntArray) -> IndexArray:
        """Pack everything, and the places of the nodes to be read, into one array for `kernel.unpack`.

        One array, because each argument of a compiled function costs a tenth of a microsecond.
        """
        parts = (
            self.place, self.first, self.second, self.slot, self.border, self.contact, self.start, self.rows,
            self.target, self.place[read],
        )  # fmt: skip
        sizes = [len(part) for part in parts]
        return np.concatenate([np.array(sizes, dtype=np.uint32), *(part.ravel() for part in parts)])


def eliminate(nodes: int, junctions: IntArray, fixed: IntArray) -> Elimination:
    """Plan the elimination of all nodes but the fixed ones.

    Parameters
    ----------
    nodes : int
    junctions : ndarray of int, shape (junctions, 2)
        No junction from a node to itself; parallel ones are allowed.
    fixed : ndarray of int
        Nodes of given voltage. Each connected component has at least one.
    """
    is_fixed = np.zeros(nodes, dtype=bool)
    is_fixed[fixed] = True
    free = np.flatnonzero(~is_fixed)
    n = len(free)
    place = np.empty(nodes, dtype=np.intp)
    place[free] = np.arange(n)
    place[fixed] = n + np.arange(len(fixed))
    ends = place[junctions].reshape(-1, 2)
    inner = (ends < n).all(axis=1)
    if n:
        place[free] = minimum_degree(n, ends[inner])
        ends = place[junctions].reshape(-1, 2)
    columns = filled_columns(n, np.sort(ends[inner], axis=1))

    start = np.concatenate(([0], np.cumsum([len(column) for column in columns]))).astype(np.intp)
    rows = np.concatenate([*columns, np.empty(0, dtype=np.intp)])
    column_of = np.repeat(np.arange(n), np.diff(start))
    key = column_of * max(n, 1) + rows  # ascending, so that a search finds an entry's place

    low, high = np.sort(ends[inner], axis=1).T
    slot = np.column_stack((np.flatnonzero(inner), np.searchsorted(key, low * max(n, 1) + high)))
    wanted = [
        np.repeat(column[:-1], np.arange(len(column) - 1, 0, -1)) * n
        + np.concatenate([column[i + 1 :] for i in range(len(column) - 1)])
        for column in columns
        if len(column) > 1
    ]
    target = np.searchsorted(key, np.concatenate([*wanted, np.empty(0, dtype=np.intp)]))

    outer = np.flatnonzero((ends < n).sum(axis=1) == 1)
    border = np.column_stack((outer, ends[outer].min(axis=1), ends[outer].max(axis=1)))
    touching = np.argwhere(ends >= n)
    contact = np.column_stack((touching[:, 0], ends[ends >= n] - n, touching[:, 1]))
    arrays = (place, ends[:, 0], ends[:, 1], slot, border, contact, start, rows, target)
    return Elimination(*(_index(array) for array in arrays))


def minimum_degree(n: int, links: IntArray) -> IntArray:
    """Return the place of each of n nodes in a fill-reducing order (multiple minimum degree, by SuperLU)."""
    low, high = links.T
    weight = -np.ones(len(links))
    matrix = coo_array((np.concatenate((weight, weight)), (np.r_[low, high], np.r_[high, low])), shape=(n, n)).tocsc()
    matrix.setdiag(1.0 - np.asarray(matrix.sum(axis=0)).ravel())
    factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factor.perm_c, dtype=np.intp)


def filled_columns(n: int, links: IntArray) -> list[IntArray]:
    """List, for each node in the order of elimination, its neighbours when it is eliminated, ascending.

    These are its own later neighbours and those it inherits from the nodes whose first later neighbour it is.
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
