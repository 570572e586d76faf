"""Places of wires and of their crossings: random deposition, the largest connected part, electrodes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Wires and the junctions between them.

    Parameters
    ----------
    segments : ndarray of float, shape (wires, 4)
        Ends x0, y0, x1, y1 of each wire, um.
    junctions : ndarray of int, shape (junctions, 2)
        The two wires of each junction, lower index first, in lexical order.
    points : ndarray of float, shape (junctions, 2)
        Places of the junctions, um.
    """

    segments: FloatArray
    junctions: IntArray
    points: FloatArray

    @property
    def centres(self) -> FloatArray:
        """Centres of the wires, shape (wires, 2), um."""
        return (self.segments[:, :2] + self.segments[:, 2:]) / 2


def deposit(wires: int, side: float, length: float, spread: float, rng: np.random.Generator) -> Geometry:
    """Place straight wires on a square at random and keep the largest connected part.

    Parameters
    ----------
    wires : int
        Number of wires deposited.
    side : float
        Side of the square of their centres, um. Ends may lie outside.
    length, spread : float
        Mean and standard deviation of the gamma-distributed lengths, um; a spread of 0 makes them equal.
    rng : numpy.random.Generator
    """
    centres = rng.uniform(0.0, side, (wires, 2))
    angles = rng.uniform(0.0, np.pi, wires)
    if spread > 0:
        lengths = rng.gamma((length / spread) ** 2, spread**2 / length, wires)
    else:
        lengths = np.full(wires, length)
    half = np.column_stack((np.cos(angles), np.sin(angles))) * lengths[:, np.newaxis] / 2
    segments = np.hstack((centres - half, centres + half))
    junctions, points = crossings(segments)
    kept = largest_component(wires, junctions)
    number = np.full(wires, -1)
    number[kept] = np.arange(len(kept))
    inside = number[junctions[:, 0]] >= 0
    return Geometry(segments[kept], number[junctions[inside]], points[inside])


def crossings(segments: FloatArray) -> tuple[IntArray, FloatArray]:
    """Find the pairs of segments that cross, shape (n, 2), and their crossings, shape (n, 2).

    Only pairs whose centres are nearer than half the sum of their lengths can cross. Segments are grouped
    by length so that a few long ones do not make every pair a candidate.
    """
    centres = (segments[:, :2] + segments[:, 2:]) / 2
    direction = segments[:, 2:] - segments[:, :2]
    half = np.hypot(direction[:, 0], direction[:, 1]) / 2
    order = np.argsort(half)
    groups = [group for group in np.array_split(order, min(6, len(order))) if group.size]
    trees = [cKDTree(centres[group]) for group in groups]
    found = []
    for i, group in enumerate(groups):
        for j in range(i + 1):
            reach = half[group].max() + half[groups[j]].max()
            near = trees[i].sparse_distance_matrix(trees[j], reach, output_type="ndarray")
            pairs = np.column_stack((group[near["i"]], groups[j][near["j"]]))
            found.append(pairs[pairs[:, 0] < pairs[:, 1]] if i == j else pairs)
    pairs = np.sort(np.concatenate(found), axis=1)
    first, second = pairs.T
    # Solve a + t u = b + s w for 0 <= t, s <= 1.
    u, w, offset = direction[first], direction[second], segments[second, :2] - segments[first, :2]
    turn = u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]
    parallel = turn == 0
    turn[parallel] = 1.0
    t = (offset[:, 0] * w[:, 1] - offset[:, 1] * w[:, 0]) / turn
    s = (offset[:, 0] * u[:, 1] - offset[:, 1] * u[:, 0]) / turn
    crossing = ~parallel & (t >= 0) & (t <= 1) & (s >= 0) & (s <= 1)
    pairs, points = pairs[crossing], segments[first[crossing], :2] + t[crossing, np.newaxis] * u[crossing]
    lexical = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[lexical], points[lexical]


def components(nodes: int, junctions: IntArray) -> IntArray:
    """Label each node with the number of its connected component, shape (nodes,)."""
    links = coo_array((np.ones(len(junctions)), (junctions[:, 0], junctions[:, 1])), shape=(nodes, nodes))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.intp)


def largest_component(nodes: int, junctions: IntArray) -> IntArray:
    """List the nodes of the largest connected component, in order."""
    label = components(nodes, junctions)
    return np.flatnonzero(label == np.bincount(label).argmax())


def spread_out(centres: FloatArray, count: int) -> IntArray:
    """Choose wires far from one another, shape (count,): farthest-point sampling.

    The first two are far apart; each further one is the wire farthest from all chosen before it.
    """
    outermost = int(np.argmax(((centres - centres.mean(axis=0)) ** 2).sum(axis=1)))
    chosen = [outermost]
    distance = ((centres - centres[outermost]) ** 2).sum(axis=1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((centres - centres[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)


def grid(size: int, side: float, rng: np.random.Generator) -> Geometry:
    """Place size x size nodes on a square lattice, each cell with one of its diagonals at random.

    The stand-in for a dense network in Milano et al., Nat. Mater. 21, 195 (2022). A node is drawn as a
    segment without length.
    """
    number = np.arange(size * size).reshape(size, size)
    falling = rng.random((size - 1, size - 1)) < 0.5
    junctions = np.concatenate(
        [
            np.column_stack((number[:, :-1].ravel(), number[:, 1:].ravel())),
            np.column_stack((number[:-1].ravel(), number[1:].ravel())),
            np.column_stack((number[:-1, :-1][falling], number[1:, 1:][falling])),
            np.column_stack((number[:-1, 1:][~falling], number[1:, :-1][~falling])),
        ]
    )
    junctions = junctions[np.lexsort((junctions[:, 1], junctions[:, 0]))]
    row, column = np.divmod(np.arange(size * size), size)
    places = np.column_stack((column, row)) * (side / max(size - 1, 1))
    return Geometry(np.hstack((places, places)), junctions, places[junctions].mean(axis=1))
