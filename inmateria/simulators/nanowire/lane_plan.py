"""Plan of an elimination for sixteen networks at once: blocks of columns, and when each entry is first needed.

An entry of the factor is set to its junction's conductance, or to zero, right before the first column that reads or
changes it, so that it passes through the caches once less than if all were set beforehand.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.solution import unpack

Indices = npt.NDArray[np.uint32]

AHEAD = 32
"""Entries that are fetched before they are set."""
CARRIES = 8
"""Added to a block's width where its columns have a conductance to fixed places."""


class LanePlan(NamedTuple):
    """Arrays for the compiled step, besides those of an `Elimination`.

    Parameters
    ----------
    block : shape (blocks,)
        First column of each block.
    width : shape (blocks,)
        Its columns, 1, 2 or 4, which have the same rows but for themselves; and `CARRIES`.
    begin : shape (blocks + 1,)
        Beginning of each block's entries in the following.
    opened : shape (entries + AHEAD,)
        Entries in the order in which they are first changed.
    origin : shape (entries,)
        Junction of each, or the number after the last.
    carrying : shape (places,)
        Free places that have a conductance to fixed ones when they are eliminated, or are in a block with one.
    parallel_begin : shape (blocks + 1,)
        Beginning of each block's parallel junctions.
    parallel : shape (parallel, 2)
        Entry and junction of those that are parallel to one in `origin`.
    meeting : ndarray
        Junctions of each free place: where each list begins, and then pairs (junction, place beyond it).
    """

    block: Indices
    width: Indices
    begin: Indices
    opened: Indices
    origin: Indices
    carrying: Indices
    parallel_begin: Indices
    parallel: Indices
    meeting: Indices


def in_order_of_use(plan: Indices) -> tuple[npt.NDArray[np.intp], Indices]:
    """Return an order of the junctions, and the plan for junctions in it: the order in which entries are set.

    Conductances are then read one after another. Junctions at fixed places come last.
    """
    _, first, second, slot, border, contact, start, rows, target, *_ = unpack.py_func(plan)
    key = np.full(len(first), len(rows), dtype=np.intp)
    opened = _opened(start, rows, target, _blocks(start, rows))[1]
    turn = np.empty(len(rows), dtype=np.intp)
    turn[opened] = np.arange(len(rows))
    key[slot[:, 0]] = turn[slot[:, 1]]
    order = np.argsort(key, kind="stable")
    number = np.empty(len(first), dtype=np.uint32)
    number[order] = np.arange(len(first))
    turned = plan.copy()
    _, new_first, new_second, new_slot, new_border, new_contact, *_ = unpack.py_func(turned)
    new_first[:], new_second[:] = first[order], second[order]
    for new, old in ((new_slot, slot), (new_border, border), (new_contact, contact)):
        new[:, 0] = number[old[:, 0]]
    return order, turned


def lane_plan(plan: Indices, loaded: npt.NDArray[np.bool_]) -> LanePlan:
    """Plan for lanes what is planned for one network.

    Parameters
    ----------
    plan : ndarray
        A packed `Elimination`.
    loaded : ndarray of bool
        Which free places have loads.
    """
    _, first, _, slot, border, _, start, rows, target, *_ = unpack.py_func(plan)
    n, junctions = len(start) - 1, len(first)
    block = _blocks(start, rows)
    begin, opened = _opened(start, rows, target, block)

    origin = np.full(len(rows), junctions, dtype=np.intp)
    _, once = np.unique(slot[:, 1], return_index=True)
    origin[slot[once, 1]] = slot[once, 0]
    parallel = np.delete(slot, once, axis=0)[:, ::-1]
    turn = np.empty(len(rows), dtype=np.intp)
    turn[opened] = np.arange(len(rows))
    when = np.searchsorted(begin, turn[parallel[:, 0]], side="right") - 1
    order = np.argsort(when, kind="stable")
    parallel_begin = np.searchsorted(when[order], np.arange(len(block) + 1))

    width = np.diff(np.append(block, n))
    carries = loaded.copy()
    carries[border[:, 1]] = True
    for k in range(n):  # what a column has, the first of its rows has after it
        if carries[k] and start[k] < start[k + 1]:
            carries[rows[start[k]]] = True
    of_block = carries[block + width - 1]
    roomy = np.concatenate((opened, np.repeat(opened[-1:], AHEAD)))
    arrays = (
        block, width + CARRIES * of_block, begin, roomy, origin[opened],
        np.flatnonzero(np.repeat(of_block, width)), parallel_begin, parallel[order], meetings(plan),
    )  # fmt: skip
    return LanePlan(*(np.ascontiguousarray(array, dtype=np.uint32) for array in arrays))


def meetings(plan: Indices) -> Indices:
    """Return the junctions of each free place: where each list begins, and then pairs (junction, place beyond it)."""
    _, first, second, _, _, _, start, *_ = unpack.py_func(plan)
    free, number = len(start) - 1, np.arange(len(first))
    here, beyond = np.concatenate((first, second)), np.concatenate((second, first))
    order = np.argsort(here, kind="stable")
    begin = np.searchsorted(here[order], np.arange(free + 1))
    pairs = np.column_stack((np.tile(number, 2), beyond))[order[: begin[-1]]]
    return np.concatenate((begin, pairs.ravel())).astype(np.uint32)


def _blocks(start: Indices, rows: Indices) -> npt.NDArray[np.intp]:
    """Return the first column of each block."""
    count = np.diff(start).astype(np.intp)
    n = len(count)
    alike = np.zeros(n, dtype=bool)  # whether the next column has the rows of this one, but for itself
    shorter = np.flatnonzero(count[:-1] == count[1:] + 1)
    alike[shorter] = rows[start[shorter]] == shorter + 1
    first, k = [], 0
    while k < n:
        first.append(k)
        four = k + 3 < n and bool(alike[k : k + 3].all())
        k += 4 if four else 2 if alike[k] else 1
    return np.array(first, dtype=np.intp)


def _opened(
    start: Indices, rows: Indices, target: Indices, blocks: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where each block's entries begin in their order of first use, and that order."""
    count = np.diff(start).astype(np.intp)
    number = np.repeat(np.arange(len(blocks)), np.diff(np.append(blocks, len(count))))
    earliest = np.repeat(number, count)  # of the column that the entry is in
    np.minimum.at(earliest, target, np.repeat(number, count * (count - 1) // 2))
    opened = np.argsort(earliest, kind="stable")
    begin = np.searchsorted(earliest[opened], np.arange(len(blocks) + 1))
    return begin, opened
