"""What a nanowire network says of itself: channels with their ranges, limits, parameters, layout, and a name."""

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.graph import Graph
from inmateria.simulators.nanowire.models import JunctionModel, junction_model, model_parameters
from inmateria.substrate import Channel, Layout, Limits, SubstrateInfo


def describe(
    graph: Graph,
    model: JunctionModel,
    conducts: npt.NDArray[np.float64],
    own: dict[str, Any],
    drawn: dict[str, Any],
    defaults: dict[str, Any],
) -> SubstrateInfo:
    """Describe a network.

    Parameters
    ----------
    graph, model : Graph, JunctionModel
    conducts : ndarray of float, shape (junctions,)
        Factor of each junction's conductance.
    own, drawn : dict
        Its parameters by name, and the graph where it was given.
    defaults : dict
        Parameters of the usual network.
    """
    driven = np.concatenate((graph.inputs, graph.grounds))
    electrodes = np.concatenate((driven, graph.outputs))
    strongest = np.zeros(graph.wire_count)
    ceiling = model.highest * conducts * math.exp(5 * own["noise"])
    np.add.at(strongest, graph.junctions, ceiling[:, np.newaxis])
    limit = float(own["voltage_limit"])
    digits = max(2, len(str(len(electrodes) - 1)))
    inputs = [Channel(name=f"e{i:0{digits}d}", unit="V", low=-limit, high=limit) for i in range(len(graph.inputs))]
    outputs = [
        Channel(name=f"v{i:0{digits}d}", unit="V", low=-limit, high=limit) for i in range(len(driven), len(electrodes))
    ]
    for i, node in enumerate(driven):
        most = max(2 * limit * float(strongest[node]), 1e-15)
        outputs.append(Channel(name=f"i{i:0{digits}d}", unit="A", low=-most, high=most))
    layout = None
    if graph.geometry is not None:
        centres = graph.geometry.centres[electrodes].tolist()
        layout = Layout(
            unit="um",
            segments=tuple(tuple(ends) for ends in graph.geometry.segments.tolist()),
            points=tuple(tuple(point) for point in graph.geometry.points.tolist()),
            electrodes={channel.name: tuple(centres[int(channel.name[1:])]) for channel in (*inputs, *outputs)},
        )
    # Devices of one seed that differ in anything else are told apart by a digest of it.
    usual = defaults | model_parameters(junction_model("filament", {})) | {"wires": own.get("wires")}
    usual["seed"] = own["seed"]
    unusual = {key: value for key, value in (own | drawn).items() if usual.get(key) != value}
    variant = f"-{zlib.crc32(repr(sorted(unusual.items())).encode()):08x}" if unusual else ""
    return SubstrateInfo(
        id=graph.identity + variant,
        kind="nanowire-network",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        step=float(own["step"]),
        sampling_rate=1 / float(own["integration_step"]),
        resettable=True,
        limits=Limits(shortest_step=min(1e-6, own["step"]), longest_step=max(3600.0, own["step"])),
        parameters=own | drawn,
        layout=layout,
    )
