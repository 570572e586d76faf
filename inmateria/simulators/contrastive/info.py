"""The description of a network that learns as a substrate: channels with their ranges, limits and parameters."""

from typing import Any

import numpy as np

from inmateria.simulators.contrastive.graph import GROUND, Graph
from inmateria.substrate import Channel, Limits, SubstrateInfo


def describe(
    identity: str,
    graph: Graph,
    low: float,
    high: float,
    conductance: float,
    noise: float,
    parameters: dict[str, Any],
    whole_updates: bool,
) -> SubstrateInfo:
    """Describe a network.

    Parameters
    ----------
    identity : str
        Its id.
    graph : Graph
    low, high : float
        Range of the inputs, V.
    conductance : float
        Largest conductance of an edge, S.
    noise : float
        Standard deviation of readings, V.
    parameters : dict
        Plain values from which the network can be made again.
    whole_updates : bool
        Whether ``learn`` is 0 or 1 only.
    """
    inputs = [Channel(name=f"u{k:02d}", unit="V", low=low, high=high) for k in range(len(graph.inputs))]
    for k, (_, minus) in enumerate(graph.outputs):
        room = (low, high) if minus == GROUND else (low - high, high - low)
        inputs.append(Channel(name=f"l{k:02d}", unit="V", low=room[0], high=room[1]))
    inputs.append(Channel(name="learn", unit="1", low=0.0, high=1.0, levels=(0.0, 1.0) if whole_updates else None))
    # In the free state no node lies beyond the sources.
    lowest = min(low, *graph.rail_voltages.tolist(), 0.0) - 10 * noise - 1e-6
    highest = max(high, *graph.rail_voltages.tolist(), 0.0) + 10 * noise + 1e-6
    digits = max(2, len(str(graph.node_count - 1)))
    outputs = [Channel(name=f"v{k:0{digits}d}", unit="V", low=lowest, high=highest) for k in range(graph.node_count)]
    degree = np.bincount(graph.edges.ravel(), minlength=graph.node_count)
    for k, node in enumerate(graph.sources):
        most = float(degree[node]) * conductance * (highest - lowest) + 1e-15
        outputs.append(Channel(name=f"i{k:02d}", unit="A", low=-most, high=most))
    step, interval = parameters["step"], parameters["update_interval"]
    return SubstrateInfo(
        id=identity,
        identity="parameters",
        kind="contrastive-network",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        step=step,
        sampling_rate=1 / interval,
        resettable=True,
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
        parameters=parameters,
    )
