"""The graph of a network that learns: nodes, edges, and which nodes are inputs, rails and outputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]

GROUND = -1
"""The minus node of an output that is not differential."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, edges and roles.

    Parameters
    ----------
    node_count : int
    edges : ndarray of int, shape (edges, 2)
    inputs : ndarray of int
        Driven nodes.
    rails : ndarray of int
        Nodes at a constant voltage.
    rail_voltages : ndarray of float
        V.
    outputs : ndarray of int, shape (outputs, 2)
        Plus and minus node of each output; `GROUND` for no minus node.
    """

    node_count: int
    edges: IntArray
    inputs: IntArray
    rails: IntArray
    rail_voltages: FloatArray
    outputs: IntArray

    @property
    def sources(self) -> IntArray:
        """Inputs, then rails."""
        return np.concatenate((self.inputs, self.rails))


def periodic_grid(rows: int, columns: int) -> IntArray:
    """Return the edges of a square grid with periodic boundaries, node r * columns + c in row r and column c.

    Along an axis of two nodes there is one edge and not two of them.
    """
    node = np.arange(rows * columns).reshape(rows, columns)
    parts = []
    for axis, length in ((1, columns), (0, rows)):
        pairs = np.stack((node, np.roll(node, -1, axis)), axis=-1)
        if length == 2:
            pairs = pairs[:, :1] if axis == 1 else pairs[:1]
        if length > 1:
            parts.append(pairs.reshape(-1, 2))
    return np.concatenate([*parts, np.empty((0, 2), dtype=np.intp)]).astype(np.intp)


def random_edges(nodes: int, edges: int, generator: np.random.Generator) -> IntArray:
    """Return the edges of a connected random graph without parallel ones: a random tree, and further pairs.

    Raises
    ------
    ValueError
        If so many edges cannot be drawn.
    """
    most = nodes * (nodes - 1) // 2
    if nodes < 2 or not nodes - 1 <= edges <= most:
        raise ValueError(
            f"a random graph of {nodes} nodes and {edges} edges was asked for; give at least 2 nodes, and {nodes - 1} "
            f"to {most} edges, so that it is connected and no pair is joined twice"
        )
    order = generator.permutation(nodes)
    tree = [(order[k], order[generator.integers(k)]) for k in range(1, nodes)]
    chosen = {(min(a, b), max(a, b)) for a, b in tree}
    if edges > most // 2:
        others = [(a, b) for a in range(nodes) for b in range(a + 1, nodes) if (a, b) not in chosen]
        picked = generator.permutation(len(others))[: edges - len(chosen)]
        chosen.update(others[k] for k in picked)
    while len(chosen) < edges:
        a, b = generator.integers(nodes, size=2)
        if a != b:
            chosen.add((min(a, b), max(a, b)))
    return np.array(sorted(chosen), dtype=np.intp)


def given_edges(node_count: int, edges: Any) -> IntArray:
    """Read pairs of nodes, or a networkx graph of nodes 0 to node_count - 1; parallel edges are allowed.

    Raises
    ------
    ValueError
        If an edge names a node that there is not, or joins one to itself.
    """
    if hasattr(edges, "edges") and hasattr(edges, "nodes"):
        strange = [node for node in edges.nodes if not isinstance(node, (int, np.integer))]
        if strange:
            raise ValueError(
                f"the graph has a node {strange[0]!r}; nodes must be 0 to {node_count - 1}: "
                "networkx.convert_node_labels_to_integers gives that"
            )
        edges = [edge[:2] for edge in edges.edges]
    array = np.asarray(edges)
    if array.ndim != 2 or array.shape[1] != 2 or not np.array_equal(array, array.astype(np.intp)):
        raise ValueError(f"edges have shape {array.shape} and type {array.dtype}; give pairs of whole numbers")
    pairs = array.astype(np.intp)
    if pairs.min() < 0 or pairs.max() >= node_count:
        raise ValueError(f"edges name nodes {pairs.min()} to {pairs.max()}; there are 0 to {node_count - 1}")
    loops = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    if loops.size:
        raise ValueError(f"edge {loops[0]} joins node {pairs[loops[0], 0]} to itself; leave it out")
    return pairs


def with_roles(
    node_count: int,
    edges: IntArray,
    inputs: int | str | Sequence[int],
    outputs: int | str | Sequence[int | Sequence[int]],
    rails: str | Sequence[float] | Mapping[int, float],
    differential: bool,
) -> Graph:
    """Assign roles to nodes; those that are only counted are placed far from one another.

    Parameters
    ----------
    node_count, edges
    inputs : int, str or sequence of int
        Number of inputs, or their nodes, also as ``"15,13"``.
    outputs : int, str or sequence
        Number of outputs, or a node or a pair (plus, minus) for each, also as ``"10-0,3"``.
    rails : str, sequence of float, or mapping of int to float
        Voltages, or the voltage of each node, also as ``"0.11,0.33"`` or ``"5:0.11,7:0.33"``.
    differential : bool
        Whether outputs that are only counted have two nodes.

    Raises
    ------
    ValueError
        If a node has two roles or does not exist, there are too few, or a part of the graph has no source.
    """
    driven, input_count = _nodes("inputs", inputs)
    read, output_count = _outputs(outputs)
    rail_nodes, volts = _rails(rails)
    waiting: list[str] = []
    if read is None:
        waiting += ["minus", "plus"] * output_count if differential else ["plus"] * output_count
    for k in range(max(input_count if driven is None else 0, len(volts) if rail_nodes is None else 0)):
        if driven is None and k < input_count:
            waiting.append("input")
        if rail_nodes is None and k < len(volts):
            waiting.append("rail")
    taken = [*(driven or []), *(rail_nodes or []), *(node for pair in read or [] for node in pair if node != GROUND)]
    strange = [node for node in taken if not 0 <= node < node_count]
    if strange:
        raise ValueError(f"node {strange[0]} was given a role; there are nodes 0 to {node_count - 1}")
    twice = [node for node in taken if taken.count(node) > 1]
    if twice:
        raise ValueError(f"node {twice[0]} was given two roles; give each node one")
    if len(taken) + len(waiting) > node_count:
        raise ValueError(
            f"inputs, rails and outputs need {len(taken) + len(waiting)} nodes and there are {node_count}; "
            "give more nodes or fewer roles"
        )
    placed = dict[str, list[int]](plus=[], minus=[], input=[], rail=[])
    for role, node in zip(waiting, _far_apart(node_count, edges, taken, len(waiting)), strict=True):
        placed[role].append(node)
    if read is None:
        read = list(zip(placed["plus"], placed["minus"] if differential else [GROUND] * output_count, strict=True))
    graph = Graph(
        node_count,
        edges,
        np.array(placed["input"] if driven is None else driven, dtype=np.intp),
        np.array(placed["rail"] if rail_nodes is None else rail_nodes, dtype=np.intp),
        np.array(volts, dtype=np.float64),
        np.array(read, dtype=np.intp).reshape(-1, 2),
    )
    if not graph.inputs.size or not len(graph.outputs):
        raise ValueError(
            f"there are {graph.inputs.size} inputs and {len(graph.outputs)} outputs; give at least 1 of each"
        )
    floating = floating_nodes(graph, np.ones(len(edges), dtype=bool))
    if floating.size:
        raise ValueError(
            f"{floating.size} nodes (the first is {floating[0]}) are connected to no input and no rail, so that their "
            "voltage is undefined; leave them out or connect them"
        )
    return graph


def floating_nodes(graph: Graph, present: npt.NDArray[np.bool_]) -> IntArray:
    """Return the nodes that no present edge connects to an input or a rail."""
    label = _labels(graph.node_count, graph.edges[present])
    return np.flatnonzero(~np.isin(label, label[graph.sources]))


def edges_to_cut(graph: Graph, count: int, generator: np.random.Generator) -> IntArray:
    """Draw edges without which every node is still connected to a source.

    Raises
    ------
    ValueError
        If there are not so many.
    """
    above = list(range(graph.node_count))

    def root(node: int) -> int:
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    for node in graph.sources[1:]:
        above[root(int(node))] = root(int(graph.sources[0]))
    order = generator.permutation(len(graph.edges))
    spare = []
    for j in order[::-1]:
        a, b = (root(int(node)) for node in graph.edges[j])
        if a == b:
            spare.append(j)
        above[a] = b
    if count > len(spare):
        raise ValueError(
            f"{count} of {len(graph.edges)} edges were to be cut; at most {len(spare)} can be, so that every node "
            "stays connected to a source"
        )
    return np.array(spare[len(spare) - count :], dtype=np.intp)


def _labels(node_count: int, edges: IntArray) -> IntArray:
    one = np.ones(len(edges))
    matrix = coo_array((one, (edges[:, 0], edges[:, 1])), shape=(node_count, node_count))
    return np.asarray(connected_components(matrix, directed=False)[1], dtype=np.intp)


def _far_apart(node_count: int, edges: IntArray, taken: list[int], count: int) -> list[int]:
    """Choose nodes one after another, each as far as possible from those before, in edges.

    Of several, the one with the largest sum of distances, then the last. On a periodic grid of 4 x 4 this gives the
    places of the machine of 2024 for one differential output, two inputs and two rails.
    """
    one = np.ones(len(edges))
    matrix = coo_array((one, (edges[:, 0], edges[:, 1])), shape=(node_count, node_count)).tocsr()
    nearest, total = np.full(node_count, node_count), np.zeros(node_count, dtype=np.intp)
    used = np.zeros(node_count, dtype=bool)

    def use(node: int) -> None:
        order, before = breadth_first_order(matrix, node, directed=False)
        distance = np.full(node_count, node_count)
        distance[node] = 0
        for each in order[1:]:
            distance[each] = distance[before[each]] + 1
        np.minimum(nearest, distance, out=nearest)
        np.add(total, distance, out=total)
        used[node] = True

    for node in taken:
        use(node)
    chosen: list[int] = []
    for _ in range(count):
        if not used.any():
            node = 0
        else:
            free = np.flatnonzero(~used)
            node = int(free[np.lexsort((free, total[free], nearest[free]))[-1]])
        use(node)
        chosen.append(node)
    return chosen


def _nodes(name: str, given: int | str | Sequence[int]) -> tuple[list[int] | None, int]:
    """Return the nodes given, or None and their number."""
    if isinstance(given, str):
        words = [word for word in given.split(",") if word.strip()]
        if len(words) != 1 or "," in given:
            return [_whole(name, word) for word in words], len(words)
        count = _whole(name, words[0])
    elif isinstance(given, Iterable):
        nodes = [_whole(name, each) for each in given]
        return nodes, len(nodes)
    else:
        count = _whole(name, given)
    if count < 1:
        raise ValueError(f"{name} is {given!r}; give at least 1, or the nodes, such as '15,13'")
    return None, count


def _outputs(given: int | str | Sequence[int | Sequence[int]]) -> tuple[list[tuple[int, int]] | None, int]:
    """Return plus and minus node of each output given, or None and their number."""
    if isinstance(given, str):
        if not ("," in given or "-" in given):
            return None, _nodes("outputs", given)[1]
        listed: list[Any] = [word.split("-") for word in given.split(",") if word.strip()]
    elif isinstance(given, Iterable):
        listed = [list(each) if isinstance(each, Iterable) else [each] for each in given]
    else:
        return None, _nodes("outputs", given)[1]
    pairs = []
    for each in listed:
        if len(each) not in (1, 2):
            raise ValueError(f"outputs has {each!r}; give a node or a pair (plus, minus) for each")
        plus, minus = (*(_whole("outputs", node) for node in each), GROUND)[:2]
        pairs.append((plus, minus))
    return pairs, len(pairs)


def _rails(given: str | Sequence[float] | Mapping[int, float]) -> tuple[list[int] | None, list[float]]:
    if isinstance(given, str):
        words = [word for word in given.split(",") if word.strip()]
        if any(":" in word for word in words):
            split = [word.partition(":") for word in words]
            return [_whole("rails", node) for node, _, _ in split], [_volts(volts) for _, _, volts in split]
        return None, [_volts(word) for word in words]
    if isinstance(given, Mapping):
        return [_whole("rails", node) for node in given], [_volts(volts) for volts in given.values()]
    return None, [_volts(volts) for volts in given]


def _whole(name: str, given: Any) -> int:
    try:
        number = int(given)
        if isinstance(given, bool) or number != float(given):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(f"{name} has {given!r}; give whole numbers of nodes") from None
    return number


def _volts(given: Any) -> float:
    try:
        volts = float(given)
    except (TypeError, ValueError):
        volts = np.nan
    if not np.isfinite(volts):
        raise ValueError(f"rails has {given!r}; give voltages such as '0.11,0.33', or with nodes, '5:0.11,7:0.33'")
    return volts
