"""Where operating points are sought from: the last voltages of the network with the same inputs."""

from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from inmateria.simulators.contrastive.operating_point import Floats, inner

_MOST_CELLS, _MOST_VOLTAGES = 32_768, 4_000_000


class WarmStarts(NamedTuple):
    """Free states that were found lately, by the inputs; a table with one place for each hash of the inputs.

    Inputs whose place is taken by others take it over. What is kept thus depends on the sequence of all inputs
    alone, not on how they were divided into stimuli.

    Parameters
    ----------
    cells : ndarray, shape (cells,)
        Row of each hash, or -1; the number of cells is a power of 2.
    used : ndarray, shape (1,)
        Number of rows in use.
    free, shift : ndarray, shape (rows, nodes)
        Free state by place, V; voltages of the clamped or nudged state minus those.
    start : ndarray, shape (nodes,)
        Voltages of inputs that are not in the table, V.
    memory : ndarray, shape (rows, 4)
        How Newton's method converged, see `find`.
    """

    cells: npt.NDArray[np.int32]
    used: npt.NDArray[np.int64]
    free: Floats
    shift: Floats
    start: Floats
    memory: Floats

    def copy(self) -> Self:
        """Return an independent copy, with no room beyond what is in use."""
        used = int(self.used[0])
        return type(self)(
            self.cells.copy(), self.used.copy(), self.free[:used].copy(), self.shift[:used].copy(), self.start.copy(),
            self.memory[:used].copy(),
        )  # fmt: skip

    def with_room(self, more: int) -> Self:
        """Return the table with room for so many more inputs; in place if there is room."""
        needed = min(int(self.used[0]) + more, len(self.cells))
        if needed <= len(self.free):
            return self
        rows, used = min(max(needed, 2 * len(self.free)), len(self.cells)), int(self.used[0])
        free, shift = np.empty((rows, len(self.start))), np.empty((rows, len(self.start)))
        memory = np.empty((rows, 4))
        free[:used], shift[:used], memory[:used] = self.free[:used], self.shift[:used], self.memory[:used]
        return self._replace(free=free, shift=shift, memory=memory)


def no_warm_starts(start: Floats) -> WarmStarts:
    """Make an empty table for voltages, shape (nodes,), from which a first operating point is sought."""
    cells = 64
    while 2 * cells <= min(_MOST_CELLS, _MOST_VOLTAGES // len(start)):
        cells *= 2
    nothing = np.empty((0, len(start)))
    cell, used = np.full(cells, -1, dtype=np.int32), np.zeros(1, dtype=np.int64)
    return WarmStarts(cell, used, nothing, nothing.copy(), start, np.empty((0, 4)))


@inner
def hashed(bits: npt.NDArray[np.uint64], cells: int) -> Any:
    """Return the cell of inputs, given by their bits."""
    z = np.uint64(0x9E3779B97F4A7C15)
    for i in range(len(bits)):
        z = (z ^ bits[i]) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z & np.uint64(cells - 1)


def cell_of(warm: WarmStarts, inputs: Floats) -> int:
    """Return the cell of inputs."""
    with np.errstate(over="ignore"):
        uncompiled: Any = hashed
        return int(uncompiled.py_func(inputs.view(np.uint64), len(warm.cells)))


@inner
def warm_row(warm: WarmStarts, inputs: Floats, place: int) -> int:
    """Return the row of inputs, whose voltages are at ``place`` and after it; a new one begins at ``warm.start``.

    The hash is the multiply-xorshift of splitmix64 over the bits of the inputs.
    """
    cell = hashed(inputs.view(np.uint64), len(warm.cells))
    row = int(warm.cells[cell])
    known = row >= 0
    if not known:
        row = int(warm.used[0])
        warm.used[0] += 1
        warm.cells[cell] = row
    free, shift = warm.free[row], warm.shift[row]
    if known:
        for i in range(len(inputs)):
            known = known and free[place + i] == inputs[i]
    if not known:
        for k in range(len(free)):
            free[k] = warm.start[k]
            shift[k] = 0.0
        warm.memory[row, :3] = np.inf
        warm.memory[row, 3] = 0.0
        for i in range(len(inputs)):
            free[place + i] = inputs[i]
    return row
