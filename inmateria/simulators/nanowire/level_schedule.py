"""The elimination of a plan in levels, for a processor of many threads: what a level does, it does at once.

A column can be eliminated once all that change it are. Its level is the length of the longest chain of columns below
it; columns of one level do not change one another. Where several columns of a level change one entry, one thread adds
their changes in a fixed order, so that results do not depend on which thread is first.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.solution import unpack

Indices = npt.NDArray[np.uint32]
IntArray = npt.NDArray[np.int64]


class LevelSchedule(NamedTuple):
    """Arrays for `cuda_kernel`; free places are numbered by level, fixed ones after them, entries by column.

    Parameters
    ----------
    first, second : shape (junctions,)
        Places of both ends of each junction.
    read : shape (outputs,)
        Places to be read.
    made_begin, made : shapes (entries + 1,) and (inner,)
        Junctions of each entry, in runs.
    border_begin, border : shapes (free + 1,) and (outer, 2)
        Junctions from each free place to fixed ones: number, and fixed place.
    contact_begin, contact : shapes (fixed + 1,) and (contacts, 2)
        Ends of junctions at each fixed place: number of the junction, 1 if it is its second end.
    level : shape (levels + 1,)
        Beginning of each level's columns.
    start, rows : shapes (free + 1,) and (entries,)
        Columns, as in `Elimination`.
    pair_level, pair : shapes (levels + 1,) and (5, pairs + 1)
        Entries that each level changes: the entry, two of a column, that column, and where further ones begin.
    pair_more : shape (3, further)
        Further pairs of entries with their column.
    node_level, node : shapes (levels + 1,) and (4, nodes + 1)
        Places that each level changes: the place, an entry in its row, that entry's column, where further ones begin.
    node_more : shape (2, further)
        Further entries with their column.
    """

    first: Indices
    second: Indices
    read: Indices
    made_begin: Indices
    made: Indices
    border_begin: Indices
    border: Indices
    contact_begin: Indices
    contact: Indices
    level: Indices
    start: Indices
    rows: Indices
    pair_level: Indices
    pair: Indices
    pair_more: Indices
    node_level: Indices
    node: Indices
    node_more: Indices

    @property
    def free(self) -> int:
        """Number of places whose voltage is solved for."""
        return len(self.start) - 1

    @property
    def fixed(self) -> int:
        """Number of places of given voltage."""
        return len(self.contact_begin) - 1

    @property
    def scratch(self) -> int:
        """Number of float64 that one network needs: entries, and three of each free place, and fixed voltages."""
        return len(self.rows) + 3 * self.free + self.fixed


def schedule(plan: Indices) -> tuple[LevelSchedule, IntArray]:
    """Return the levels of a plan, and the place that each of its places becomes."""
    place, first, second, slot, border, contact, start, rows, target, *_, read, _, _ = (
        part.astype(np.int64) for part in unpack.py_func(plan)
    )
    count, free = np.diff(start), len(start) - 1
    column = np.repeat(np.arange(free), count)
    level = np.zeros(free, dtype=np.int64)
    for k in range(free):
        below = rows[start[k] : start[k + 1]]
        level[below] = np.maximum(level[below], level[k] + 1)
    order = np.argsort(level, kind="stable")
    moved = np.arange(len(place))
    moved[order] = np.arange(free)
    # Entries of the new columns, each in the order that it had.
    entries = np.concatenate([np.arange(start[k], start[k + 1]) for k in order] or [np.empty(0, dtype=np.int64)])
    new_entry = np.empty(len(rows), dtype=np.int64)
    new_entry[entries] = np.arange(len(rows))
    levels = int(level.max(initial=-1)) + 1

    pairs = count * (count - 1) // 2
    of_pair = np.repeat(np.arange(free), pairs)
    one, other = _pairs_of(start, count)
    changes = np.column_stack((level[of_pair], new_entry[target], new_entry[one], new_entry[other], moved[of_pair]))
    pair_level, pair, pair_more = _grouped(changes, levels)
    touches = np.column_stack((level[column], moved[rows], new_entry[np.arange(len(rows))], moved[column]))
    node_level, node, node_more = _grouped(touches, levels)

    made_begin, made = _listed(new_entry[slot[:, 1]], slot[:, :1], len(rows))
    border_begin, outer = _listed(moved[border[:, 1]], border[:, [0, 2]], free)
    contact_begin, ends = _listed(contact[:, 1], contact[:, [0, 2]], len(place) - free)
    arrays = (
        moved[first], moved[second], moved[read], made_begin, made.ravel(), border_begin, outer, contact_begin, ends,
        np.searchsorted(level[order], np.arange(levels + 1)), np.concatenate(([0], np.cumsum(count[order]))),
        moved[rows[entries]], pair_level, pair, pair_more, node_level, node, node_more,
    )  # fmt: skip
    return LevelSchedule(*(np.ascontiguousarray(array, dtype=np.uint32) for array in arrays)), moved


def _pairs_of(start: IntArray, count: IntArray) -> tuple[IntArray, IntArray]:
    """Return both entries of each pair of a column's entries, in the order of ``target``."""
    parts = [np.array(np.triu_indices(m, 1)) + begin for m, begin in zip(count, start, strict=False)]
    both = np.concatenate([np.empty((2, 0), dtype=np.int64), *parts], axis=1).astype(np.int64)
    return both[0], both[1]


def _listed(of: IntArray, values: IntArray, number: int) -> tuple[IntArray, IntArray]:
    """Return where each one's values begin, and the values in that order."""
    order = np.argsort(of, kind="stable")
    return np.searchsorted(of[order], np.arange(number + 1)), values[order]


def _grouped(changes: IntArray, levels: int) -> tuple[IntArray, IntArray, IntArray]:
    """Group changes (level, what is changed, sources ...) by their first two columns.

    Returns where each level begins, a row of each group (what is changed, sources of the first change, where the others
    begin) as columns with one more at the end, and the sources of the others as columns.
    """
    order = np.lexsort((changes[:, 1], changes[:, 0]))
    changes = changes[order]
    is_first = np.ones(len(changes), dtype=bool)
    is_first[1:] = (np.diff(changes[:, :2], axis=0) != 0).any(axis=1)
    heads, others = changes[is_first], changes[~is_first, 2:]
    further = np.flatnonzero(is_first) - np.arange(len(heads))  # others that come before
    table = np.zeros((changes.shape[1], len(heads) + 1), dtype=np.int64)
    table[:-1, :-1], table[-1, :-1], table[-1, -1] = heads[:, 1:].T, further, len(others)
    return np.searchsorted(heads[:, 0], np.arange(levels + 1)), table, others.T
