"""Wires thrown at random on a plane, the junctions where they cross, and the electrodes that touch them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WireMesh:
    """The largest connected part of wires thrown on a plane.

    Parameters
    ----------
    ends : ndarray of float, shape (wires, 4)
        Where each wire begins and ends: x0, y0, x1, y1, in um.
    junctions : ndarray of int, shape (junctions, 2)
        The two wires of each junction, the lower number first, in ascending order.
    crossings : ndarray of float, shape (junctions, 2)
        Where each junction is, um.
    """

    ends: FloatArray
    junctions: IntArray
    crossings: FloatArray

    @property
    def centres(self) -> FloatArray:
        """Middle of each wire, shape (wires, 2), um."""
        return 0.5 * (self.ends[:, :2] + self.ends[:, 2:])


def throw_wires(wires: int, side: float, length: float, spread: float, generator: np.random.Generator) -> WireMesh:
    """Throw wires on a square and keep the largest part that hangs together.

    Centres are uniform on the square, angles uniform in [0, pi), lengths gamma-distributed
    (Hochstetter et al., Nat. Commun. 12, 4008 (2021)).

    Parameters
    ----------
    wires : int
        How many are thrown; fewer are kept.
    side : float
        Of the square, um.
    length, spread : float
        Mean and standard deviation of the lengths, um.
    generator : numpy.random.Generator
        Where the chance comes from.
    """
    centres = generator.uniform(0.0, side, (wires, 2))
    angles = generator.uniform(0.0, np.pi, wires)
    shape = (length / spread) ** 2
    lengths = generator.gamma(shape, length / shape, wires)
    halves = 0.5 * lengths[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    ends = np.hstack([centres - halves, centres + halves])
    junctions, crossings = find_crossings(ends)
    graph = coo_array((np.ones(len(junctions)), (junctions[:, 0], junctions[:, 1])), shape=(wires, wires))
    _, part = connected_components(graph, directed=False)
    largest = np.bincount(part).argmax()
    kept = part == largest
    renumbered = np.cumsum(kept) - 1
    inside = kept[junctions[:, 0]]
    return WireMesh(ends[kept], renumbered[junctions[inside]], crossings[inside])


def find_crossings(ends: FloatArray) -> tuple[IntArray, FloatArray]:
    """Find every pair of segments that cross, and where.

    Parameters
    ----------
    ends : ndarray of float, shape (segments, 4)
        x0, y0, x1, y1.

    Returns
    -------
    pairs : ndarray of int, shape (crossings, 2)
        The lower number first, in ascending order.
    places : ndarray of float, shape (crossings, 2)
    """
    begin, along = ends[:, :2], ends[:, 2:] - ends[:, :2]
    half = 0.5 * np.hypot(*along.T)
    # Two segments can only cross where their middles are nearer than the sum of their half lengths.
    near = KDTree(begin + 0.5 * along).query_pairs(2.0 * half.max(), output_type="ndarray").astype(np.int64)
    a, b = near[:, 0], near[:, 1]
    between = begin[b] - begin[a]
    turn = _cross(along[a], along[b])
    with np.errstate(divide="ignore", invalid="ignore"):
        s = _cross(between, along[b]) / turn
        t = _cross(between, along[a]) / turn
    meet = (turn != 0) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    pairs = np.sort(near[meet], axis=1)
    places = begin[a[meet]] + s[meet, None] * along[a[meet]]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], places[order]


def place_electrodes(mesh: WireMesh, electrodes: int, side: float) -> IntArray:
    """Choose a wire for each electrode of a square array laid over the plane: the nearest one still free.

    Returns
    -------
    ndarray of int, shape (electrodes,)
        Wire of each electrode, row by row from the bottom left.
    """
    columns = int(np.ceil(np.sqrt(electrodes)))
    rows = -(-electrodes // columns)
    x = (np.arange(columns) + 0.5) / columns
    y = (np.arange(rows) + 0.5) / rows
    spots = side * np.array([(each_x, each_y) for each_y in y for each_x in x])[:electrodes]
    tree = KDTree(mesh.centres)
    taken: list[int] = []
    for spot in spots:
        _, nearest = tree.query(spot, k=min(len(mesh.ends), electrodes))
        taken.append(next(int(wire) for wire in np.atleast_1d(nearest) if int(wire) not in taken))
    return np.array(taken, dtype=np.int64)


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    product: FloatArray = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product
