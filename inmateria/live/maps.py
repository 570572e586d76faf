"""A map of the matter for the live page: wires, cells, nodes and electrodes, each with the output that is read there.

Maps are bounded: of a network of ten thousand wires some are drawn, those under electrodes among them, and the map says
how many.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.live.messages import Electrode, Map
from inmateria.protocols.learned_matter import graph_of, lines_of_edges, places_of_nodes
from inmateria.substrate import Channel, FloatArray, SubstrateInfo

__all__ = ["map_of"]

_MOST_WIRES, _MOST_POINTS, _MOST_ELECTRODES = 2000, 2000, 4096
_MOST_NODES = 600
"""Nodes beyond which the graph of a network that learns is not made again from its parameters."""
_ROW = 16
"""Outputs in a row; more are drawn as a grid."""

IntArray = npt.NDArray[np.intp]


def map_of(info: SubstrateInfo) -> Map:
    """Return the map of a substrate.

    With a layout, its parts where they are. Networks that learn as nodes and edges: a grid as one, other graphs on a
    circle, layers side by side. Anything else as its outputs in a row or a grid.

    Parameters
    ----------
    info : SubstrateInfo

    Returns
    -------
    Map
        With at most 2,000 wires, 2,000 points and 4,096 electrodes; its `words` say what is left out.
    """
    if info.layout is not None and (info.layout.electrodes or info.layout.segments):
        return _of_layout(info)
    if info.kind == "contrastive-network" and len(info.outputs) <= _MOST_NODES:
        made = _of_graph(info)
        if made is not None:
            return made
    if info.kind == "resistive-layers":
        made = _of_layers(info)
        if made is not None:
            return made
    return _of_channels(info)


def _of_layout(info: SubstrateInfo) -> Map:
    layout = info.layout
    assert layout is not None
    electrodes = _at_places(info, layout.electrodes)
    wires: FloatArray = np.array(layout.segments, dtype=np.float64).reshape(-1, 4)
    points: FloatArray = np.array(layout.points, dtype=np.float64).reshape(-1, 2)
    read = _wires_read(wires, electrodes)
    shown = _some(len(wires), _MOST_WIRES, np.flatnonzero(read >= 0))
    # Junctions say little where each wire is drawn anyway; cells have nothing else.
    dots = _some(len(points), _MOST_POINTS) if not len(wires) else np.empty(0, dtype=np.intp)
    parts = [
        _count(len(shown), len(wires), "wires" if info.kind == "nanowire-network" else "tracks"),
        _count(len(dots), len(points), "cells" if info.kind == "neural-culture" else "points") if len(dots) else "",
        _count(min(len(electrodes), _MOST_ELECTRODES), len(electrodes), "electrodes"),
    ]
    unplaced = sum(channel.name not in layout.electrodes for channel in info.outputs)
    words = ", ".join(filter(None, parts)) + (
        f"; {unplaced:,} of {len(info.outputs):,} outputs have no known place" if unplaced else ""
    )
    return Map(
        unit=layout.unit,
        wires=_plain(wires[shown]),
        points=_plain(points[dots]),
        electrodes=electrodes[:_MOST_ELECTRODES],
        wire_outputs=tuple(read[shown].tolist()) if (read >= 0).any() else (),
        words=words,
    )


def _at_places(info: SubstrateInfo, places: dict[str, tuple[float, float]]) -> tuple[Electrode, ...]:
    """Return the electrodes; channels of one place are one electrode, with the first output that is read there."""
    found: dict[tuple[float, float], dict[str, int | str]] = {}
    for side, channels in (("input", info.inputs), ("output", info.outputs)):
        for index, channel in enumerate(channels):
            place = places.get(channel.name)
            if place is not None:
                at = found.setdefault((float(place[0]), float(place[1])), {"name": channel.name})
                at.setdefault(side, index)
    return tuple(
        Electrode(name=str(at["name"]), x=x, y=y, input=int(at.get("input", -1)), output=int(at.get("output", -1)))
        for (x, y), at in found.items()
    )


def _wires_read(wires: FloatArray, electrodes: Sequence[Electrode]) -> IntArray:
    """Return for each wire the output of the electrode at its centre, or -1."""
    read = np.full(len(wires), -1, dtype=np.intp)
    if not len(wires):
        return read
    centres = (wires[:, :2] + wires[:, 2:]) / 2
    reach = 1e-6 * max(float(np.ptp(wires)), 1e-300)
    for electrode in electrodes:
        if electrode.output >= 0:
            away = np.hypot(*(centres - (electrode.x, electrode.y)).T)
            nearest = int(np.argmin(away))
            if away[nearest] <= reach:
                read[nearest] = electrode.output
    return read


def _of_graph(info: SubstrateInfo) -> Map | None:
    network = graph_of(info)
    if network is None:
        return None
    places, columns = places_of_nodes(network)
    names = {channel.name: index for index, channel in enumerate(info.outputs)}
    digits = max(2, len(str(network.node_count - 1)))
    inputs = {int(node): k for k, node in enumerate(network.input_nodes)}
    electrodes = tuple(
        Electrode(
            name=f"v{node:0{digits}d}", x=float(x), y=float(y), input=inputs.get(node, -1),
            output=names.get(f"v{node:0{digits}d}", -1),
        )
        for node, (x, y) in enumerate(places)
    )  # fmt: skip
    lines = np.array([line[1:] for line in lines_of_edges(places, network.edges, wraps=bool(columns))])
    shown = _some(len(lines), _MOST_WIRES)
    edges = len(network.edges)
    words = f"{network.node_count:,} nodes, "
    words += f"{edges:,} edges" if len(shown) == len(lines) else f"some of {edges:,} edges"
    words += "; edges that leave the grid come back on the other side" if columns else "; nodes are placed on a circle"
    return Map(unit="", wires=_plain(lines[shown].reshape(-1, 4)), electrodes=electrodes, words=words)


def _of_layers(info: SubstrateInfo) -> Map | None:
    """Draw a column of nodes for each layer: inputs, hidden nodes, outputs."""
    sizes = [int(word) for word in str(info.parameters.get("sizes", "")).split("-") if word.isdigit()]
    outputs = {channel.name: index for index, channel in enumerate(info.outputs)}
    if len(sizes) < 2 or sum(sizes) > _MOST_ELECTRODES or len(outputs) != sum(sizes[1:]):
        return None
    hidden = [name for name in outputs if name.startswith("h")]
    columns: list[list[tuple[str, int, int]]] = [[(info.inputs[k].name, k, -1) for k in range(sizes[0])]]
    for size in sizes[1:-1]:
        columns.append([(name, -1, outputs[name]) for name in hidden[:size]])
        hidden = hidden[size:]
    columns.append([(name, -1, outputs[name]) for name in outputs if name.startswith("o")])
    tallest = max(map(len, columns))
    electrodes: list[Electrode] = []
    places: list[FloatArray] = []
    for number, column in enumerate(columns):
        y = (np.arange(len(column)) + 0.5) / len(column) * tallest
        x = number * tallest / max(1, len(columns) - 1)
        places.append(np.column_stack((np.full(len(y), x), -y)))
        electrodes += [
            Electrode(name=name, x=x, y=-float(at), input=given, output=read)
            for (name, given, read), at in zip(column, y, strict=True)
        ]
    pairs = [len(a) * len(b) for a, b in pairwise(places)]
    chosen = _some(sum(pairs), _MOST_WIRES)
    ends = np.concatenate(([0], np.cumsum(pairs)))
    lines = []
    for layer, (a, b) in enumerate(pairwise(places)):
        here = chosen[(chosen >= ends[layer]) & (chosen < ends[layer + 1])] - ends[layer]
        lines.append(np.hstack((a[here // len(b)], b[here % len(b)])))
    words = f"layers of {', '.join(f'{size:,}' for size in sizes)} nodes; {_count(len(chosen), sum(pairs), 'edges')}"
    return Map(unit="", wires=_plain(np.concatenate(lines)), electrodes=tuple(electrodes), words=words)


def _of_channels(info: SubstrateInfo) -> Map:
    count = min(len(info.outputs), _MOST_ELECTRODES)
    columns = count if count <= _ROW else int(np.ceil(np.sqrt(count)))
    electrodes = tuple(
        Electrode(
            name=channel.name, x=float(k % columns), y=-float(k // columns), input=_driven(info, channel), output=k
        )
        for k, channel in enumerate(info.outputs[:count])
    )
    shape = "a row" if count <= _ROW else "a grid"
    words = f"{_count(count, len(info.outputs), 'outputs')} in {shape}; their places are not known"
    return Map(unit="", electrodes=electrodes, words=words)


def _driven(info: SubstrateInfo, output: Channel) -> int:
    """Return the input of the same name, at which an electrode that reads is driven, too; -1 if there is none."""
    return next((k for k, channel in enumerate(info.inputs) if channel.name == output.name), -1)


def _some(count: int, most: int, always: IntArray | None = None) -> IntArray:
    """Choose at most so many of a number of parts, evenly; the given ones among them, as far as there is room."""
    if count <= most:
        return np.arange(count)
    kept = np.empty(0, dtype=np.intp) if always is None else always[:most]
    others = np.setdiff1d(np.arange(count), kept)
    room = most - len(kept)
    even = others[np.linspace(0, len(others) - 1, room).astype(np.intp)] if room else others[:0]
    return np.sort(np.concatenate((kept, even)))


def _count(shown: int, of: int, name: str) -> str:
    if not of:
        return ""
    return f"{of:,} {name}" if shown == of else f"{shown:,} of {of:,} {name}"


def _plain(rows: FloatArray) -> Any:
    """Return rows as tuples, with as many digits as a screen can show."""
    scale = float(np.ptp(rows)) if rows.size else 0.0
    digits = 0 if scale == 0 else int(np.clip(np.ceil(5 - np.log10(scale)), -6, 15))
    return tuple(tuple(row) for row in np.round(rows, digits).tolist())
