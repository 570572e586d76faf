"""The description of a nanowire network as a substrate: channels with their ranges, limits, parameters and layout."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.graph import Graph
from inmateria.simulators.nanowire.parameters import Instrument
from inmateria.substrate import Channel, Layout, Limits, SubstrateInfo

_BARE = Instrument()
_DEVIATIONS = 6.0  # standard deviations of the noise of readings that a range has room for


def describe(
    identity: str,
    graph: Graph,
    strongest: npt.NDArray[np.float64],
    parameters: dict[str, Any],
    instrument: Instrument = _BARE,
) -> SubstrateInfo:
    """Describe a network.

    Parameters
    ----------
    identity : str
        Its id.
    graph : Graph
    strongest : ndarray of float, shape (junctions,)
        Largest conductance that each junction can have, S.
    parameters : dict
        Plain values from which the network can be made again.
    instrument : Instrument
    """
    driven = np.concatenate((graph.inputs, graph.grounds))
    electrodes = np.concatenate((driven, graph.outputs))
    at_wire = np.zeros(graph.wire_count)
    np.add.at(at_wire, graph.junctions, strongest[:, np.newaxis])
    limit, step = parameters["voltage_limit"], parameters["step"]
    digits = max(2, len(str(len(electrodes) - 1)))
    inputs = [
        Channel(name=f"e{i:0{digits}d}", unit="V", low=-limit, high=limit, floats=instrument.floating)
        for i in range(len(graph.inputs))
    ]
    most = limit + _DEVIATIONS * instrument.voltage_noise
    outputs = [
        Channel(name=f"v{i:0{digits}d}", unit="V", low=-most, high=most) for i in range(len(driven), len(electrodes))
    ]
    for i, node in enumerate(driven):
        most = max(2 * limit * float(at_wire[node]), 1e-15) + _DEVIATIONS * instrument.current_noise
        outputs.append(Channel(name=f"i{i:0{digits}d}", unit="A", low=-most, high=most))
    if instrument.reads_sources:
        most = limit + _DEVIATIONS * instrument.voltage_noise
        outputs += [Channel(name=f"u{i:0{digits}d}", unit="V", low=-most, high=most) for i in range(len(graph.inputs))]
    layout = None
    if graph.geometry is not None:
        centres = graph.geometry.centres[electrodes].tolist()
        layout = Layout(
            unit="um",
            segments=tuple(tuple(ends) for ends in graph.geometry.segments.tolist()),
            points=tuple(tuple(point) for point in graph.geometry.points.tolist()),
            electrodes={channel.name: tuple(centres[int(channel.name[1:])]) for channel in (*inputs, *outputs)},
        )
    return SubstrateInfo(
        id=identity,
        identity="parameters",
        kind="nanowire-network",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        step=step,
        sampling_rate=1 / parameters["integration_step"],
        resettable=True,
        rest=(0.0,) * len(inputs),
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
        parameters=parameters,
        layout=layout,
    )


def strongest_conductance(
    highest: float | npt.NDArray[np.float64], factors: npt.NDArray[np.float64], noise: float
) -> npt.NDArray[np.float64]:
    """Return the largest conductance of each junction, S: five standard deviations of the noise above its own."""
    return highest * factors * math.exp(5 * noise)
