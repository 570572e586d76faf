"""An order of elimination with little fill-in: approximate minimum degree on the quotient graph."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]

_inner = numba.njit(error_model="numpy", nogil=True)


def approximate_minimum_degree(nodes: int, edges: npt.NDArray[np.intp]) -> Places:
    """Order the nodes of a graph so that eliminating them one after another joins few new pairs.

    The node of least degree is eliminated next. Eliminated nodes are kept as elements, lists of the nodes that they
    join, so that no fill-in is stored; degrees are bounded from above, and nodes with the same neighbours are merged:
    Amestoy, Davis and Duff, SIAM J. Matrix Anal. Appl. 17, 886 (1996).

    Parameters
    ----------
    nodes : int
    edges : ndarray of int, shape (edges, 2)
        Loops and repeated edges are allowed.

    Returns
    -------
    ndarray of int, shape (nodes,)
        Nodes in the order of their elimination.
    """
    start, neighbours = adjacency(nodes, edges)
    return np.argsort(_turns(start, neighbours), kind="stable")


def adjacency(nodes: int, edges: npt.NDArray[np.intp]) -> tuple[Places, Places]:
    """Return where each node's list of neighbours begins, shape (nodes + 1,), and all lists, each ascending."""
    low, high = np.sort(np.asarray(edges, dtype=np.int64).reshape(-1, 2), axis=1).T
    key = np.unique((low * nodes + high)[low != high])
    low, high = key // max(nodes, 1), key % max(nodes, 1)
    both, other = np.concatenate((low, high)), np.concatenate((high, low))
    order = np.lexsort((other, both))
    start = np.concatenate(([0], np.cumsum(np.bincount(both, minlength=nodes)))).astype(np.int64)
    return start, np.ascontiguousarray(other[order])


@numba.njit(error_model="numpy", nogil=True, cache=True)
def _turns(start: Places, neighbours: Places) -> Places:
    """Return the number of the turn in which each node is eliminated.

    A list in ``pool`` belongs to a variable (a node not yet eliminated: first ``elements[i]`` elements, then
    variables) or to an element (variables). ``weight`` is the number of nodes merged into a variable: 0 for one that
    was merged into another, negative while it is in the pivot's list. ``stamp[e]`` is 0 for an absorbed element.
    """
    n = len(start) - 1
    begin, length = start[:n].copy(), np.empty(n, dtype=np.int64)
    for i in range(n):
        length[i] = start[i + 1] - start[i]
    pool = np.empty(2 * len(neighbours) + n + 1, dtype=np.int64)
    for p in range(len(neighbours)):
        pool[p] = neighbours[p]
    free = len(neighbours)
    elements, weight = np.zeros(n, dtype=np.int64), np.ones(n, dtype=np.int64)
    degree, stamp = length.copy(), np.ones(n, dtype=np.int64)
    into = np.full(n, -1)  # the variable or element into which one was merged or absorbed
    number = np.full(n, -1)  # of a pivot, in order
    head, following, previous = np.full(n + 1, -1), np.full(n, -1), np.full(n, -1)
    bucket, in_bucket, hashed = np.full(n + 1, -1), np.full(n, -1), np.zeros(n, dtype=np.int64)
    for i in range(n):
        _insert(head, following, previous, degree[i], i)
    done, least, pivots, mark = 0, 0, 0, 2
    while done < n:
        while head[least] < 0:
            least += 1
        pivot = head[least]
        _remove(head, following, previous, degree[pivot], pivot)
        number[pivot] = pivots
        pivots += 1
        merged = weight[pivot]
        done += merged
        weight[pivot] = -merged
        # The pivot's list: its variables and those of its elements, which it absorbs.
        needed = length[pivot]
        for p in range(begin[pivot], begin[pivot] + elements[pivot]):
            needed += length[pool[p]]
        if free + needed > len(pool):
            pool, free = _compacted(pool, begin, length, weight, number, stamp, pivot, needed)
        first, joined = free, 0
        at = begin[pivot]
        for q in range(-1, elements[pivot]):
            if q < 0:
                low, high = at + elements[pivot], at + length[pivot]
            else:
                e = pool[at + q]
                low, high = begin[e], begin[e] + length[e]
                into[e] = pivot
                stamp[e] = 0
            for p in range(low, high):
                i = pool[p]
                if weight[i] > 0:
                    joined += weight[i]
                    weight[i] = -weight[i]
                    pool[free] = i
                    free += 1
                    _remove(head, following, previous, degree[i], i)
        begin[pivot], length[pivot], elements[pivot] = first, free - first, 0
        stamp[pivot] = 1
        # stamp[e] - mark becomes the number of nodes in e that are not in the pivot's list.
        for p in range(first, free):
            i = pool[p]
            for q in range(begin[i], begin[i] + elements[i]):
                e = pool[q]
                if stamp[e] >= mark:
                    stamp[e] += weight[i]
                elif stamp[e] != 0:
                    stamp[e] = degree[e] + mark + weight[i]
        for p in range(first, free):
            i = pool[p]
            bound, code = 0, 0
            at = begin[i]
            to = at
            for q in range(at, at + elements[i]):
                e = pool[q]
                if stamp[e] == 0:
                    continue
                outside = stamp[e] - mark
                if outside > 0:
                    bound += outside
                    pool[to] = e
                    to += 1
                    code += e
                else:  # all of e is in the pivot's list
                    into[e] = pivot
                    stamp[e] = 0
            kept = to - at
            variables = to
            for q in range(at + elements[i], at + length[i]):
                j = pool[q]
                if weight[j] > 0:
                    bound += weight[j]
                    pool[to] = j
                    to += 1
                    code += j
            if to == at:  # nothing but the pivot's element is left: eliminated with it
                into[i] = pivot
                joined += weight[i]
                merged -= weight[i]
                done -= weight[i]
                weight[i] = 0
                continue
            degree[i] = min(degree[i], bound)
            # One of the list's entries led here and is gone, so that there is room for the pivot in front.
            pool[to] = pool[variables]
            pool[variables] = pool[at]
            pool[at] = pivot
            elements[i], length[i] = kept + 1, to - at + 1
            hashed[i] = (code + pivot) % n
            in_bucket[i] = bucket[hashed[i]]
            bucket[hashed[i]] = i
        degree[pivot] = joined
        mark += n + 1  # beyond every stamp
        for p in range(first, free):
            if weight[pool[p]] < 0:
                i = bucket[hashed[pool[p]]]
                bucket[hashed[pool[p]]] = -1
                while i >= 0:
                    mark = _merge_equals(i, pool, begin, length, elements, weight, stamp, into, in_bucket, mark)
                    i = in_bucket[i]
        to = first
        for p in range(first, free):
            i = pool[p]
            if weight[i] == 0:
                continue
            weight[i] = -weight[i]
            degree[i] = min(degree[i] + joined - weight[i], n - done - weight[i])
            _insert(head, following, previous, degree[i], i)
            least = min(least, degree[i])
            pool[to] = i
            to += 1
        length[pivot] = to - first
        free = to
        weight[pivot] = 0
        if length[pivot] == 0:
            stamp[pivot] = 0
    # A node that was merged follows the pivot that it went with.
    turn = np.empty(n, dtype=np.int64)
    for i in range(n):
        pivot = i
        while number[pivot] < 0:
            pivot = into[pivot]
        turn[i] = number[pivot]
    return turn


@_inner
def _merge_equals(
    i: int,
    pool: Places,
    begin: Places,
    length: Places,
    elements: Places,
    weight: Places,
    stamp: Places,
    into: Places,
    in_bucket: Places,
    mark: int,
) -> int:
    """Merge into a variable those after it in its bucket that have the same list; return a new mark."""
    for q in range(begin[i] + 1, begin[i] + length[i]):  # the first is the pivot, which all of them have
        stamp[pool[q]] = mark
    before, j = i, in_bucket[i]
    while j >= 0:
        same = length[j] == length[i] and elements[j] == elements[i]
        q = begin[j] + 1
        while same and q < begin[j] + length[j]:
            same = stamp[pool[q]] == mark
            q += 1
        if same:
            into[j] = i
            weight[i] += weight[j]  # both are negative here
            weight[j] = 0
            in_bucket[before] = in_bucket[j]
        else:
            before = j
        j = in_bucket[j]
    return mark + 1


@_inner
def _compacted(
    pool: Places,
    begin: Places,
    length: Places,
    weight: Places,
    number: Places,
    stamp: Places,
    pivot: int,
    needed: int,
) -> Any:
    """Move the lists still in use to the beginning of a pool with room for more; return it and where it is free."""
    total = needed
    for i in range(len(begin)):
        if i == pivot or (weight[i] != 0 if number[i] < 0 else stamp[i] != 0):
            total += length[i]
    fresh = np.empty(total + max(total // 2, len(begin)), dtype=np.int64)
    free = 0
    for i in range(len(begin)):
        if i == pivot or (weight[i] != 0 if number[i] < 0 else stamp[i] != 0):
            for p in range(length[i]):
                fresh[free + p] = pool[begin[i] + p]
            begin[i] = free
            free += length[i]
    return fresh, free


@_inner
def _insert(head: Places, following: Places, previous: Places, degree: int, i: int) -> None:
    following[i], previous[i] = head[degree], -1
    if head[degree] >= 0:
        previous[head[degree]] = i
    head[degree] = i


@_inner
def _remove(head: Places, following: Places, previous: Places, degree: int, i: int) -> None:
    if following[i] >= 0:
        previous[following[i]] = previous[i]
    if previous[i] >= 0:
        following[previous[i]] = following[i]
    else:
        head[degree] = following[i]
