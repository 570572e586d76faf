"""A factor as an object: `factorise` weights, `Factor.solve` for currents."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inmateria.simulators.sparse_ldl.numeric import factor_into, solve_into
from inmateria.simulators.sparse_ldl.symbolic import Symbolic

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factor:
    """Factor of the Laplacian of a graph.

    Parameters
    ----------
    symbolic : Symbolic
    values, inverse : ndarray
        As `factor_into` leaves them.
    """

    symbolic: Symbolic
    values: FloatArray
    inverse: FloatArray

    def solve(self, current: npt.ArrayLike) -> FloatArray:
        """Return the voltage of every node to the ground.

        Parameters
        ----------
        current : array_like, shape (nodes,) or (nodes, cases)
            Current into each node from the ground.

        Returns
        -------
        ndarray
            Of the same shape.

        Raises
        ------
        ValueError
            If the shape is another.
        """
        given = np.asarray(current, dtype=np.float64)
        if given.ndim not in (1, 2) or len(given) != self.symbolic.nodes:
            raise ValueError(f"currents have shape {given.shape}; give one to each of {self.symbolic.nodes} nodes")
        _, column, begin, rows, value, _ = self.symbolic
        place = self.symbolic.place.astype(np.intp)
        cases = np.empty((given.size // max(len(given), 1), len(given)))
        cases[:, place] = given.reshape(len(given), -1).T
        room = np.empty(self.symbolic.room)
        for case in cases:
            solve_into(column, begin, rows, value, self.values, self.inverse, room, case)
        return np.ascontiguousarray(cases[:, place].T).reshape(given.shape)


def factorise(symbolic: Symbolic, conductance: npt.ArrayLike, to_ground: npt.ArrayLike) -> Factor:
    """Factor the Laplacian of a graph with weighted edges.

    Parameters
    ----------
    symbolic : Symbolic
    conductance : array_like, shape (edges,)
        Weight of each edge, 0 or more.
    to_ground : array_like, shape (nodes,)
        Weight of each node's edge to the ground, 0 or more; at least one in each connected part of the graph.

    Raises
    ------
    ValueError
        If a shape is another, a weight is negative or not finite, or a part of the graph has no way to the ground.
    """
    weight, ground = np.asarray(conductance, dtype=np.float64), np.asarray(to_ground, dtype=np.float64)
    for name, array, wanted in (
        ("conductance", weight, len(symbolic.slot)),
        ("to_ground", ground, symbolic.nodes),
    ):
        if array.shape != (wanted,):
            raise ValueError(f"{name} has shape {array.shape}; give {wanted} numbers")
        if array.size and not (array.min() >= 0 and array.max() < np.inf):
            raise ValueError(f"{name} holds a number that is negative or not finite; give 0 or more")
    values, inverse = np.zeros(symbolic.values), np.empty(symbolic.nodes)
    np.add.at(values, symbolic.slot, weight)
    values[symbolic.grounded] = ground[np.argsort(symbolic.place)]
    _, column, begin, rows, value, _ = symbolic
    room, marks = np.empty(symbolic.front_room), np.empty(symbolic.front_marks, dtype=np.uint32)
    factor_into(column, begin, rows, value, values, inverse, room, marks)
    if not np.isfinite(inverse).all():
        raise ValueError("a node has no way to the ground; give each connected part of the graph one")
    return Factor(symbolic, values, inverse)
