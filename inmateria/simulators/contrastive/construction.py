"""Making a network that learns from its parameters: graph, plan, first weights, imperfections, description."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.simulators.contrastive.edges import Antiparallel, Diode, Edges, Resistor, Transistor
from inmateria.simulators.contrastive.graph import GROUND, Graph, edges_to_cut, with_roles
from inmateria.simulators.contrastive.info import describe
from inmateria.simulators.contrastive.learning import Learner
from inmateria.simulators.contrastive.operating_point import Law
from inmateria.simulators.contrastive.plan import Plan, plan_elimination
from inmateria.simulators.contrastive.rules import (
    CoupledLearning,
    DirectedAging,
    EquilibriumPropagation,
    Imperfections,
    Rule,
    SignRule,
)
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.parameters import convert_value, group_from, plain_values
from inmateria.substrate import SubstrateInfo

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of a network.

    Parameters
    ----------
    edges : Transistor, Resistor, Diode or Antiparallel
    graph : Graph
    plan : Plan
    law : Law
        Settings are not set.
    learner : Learner
    first_weights : ndarray, shape (edges,)
    numbers : dict
        Plain numbers, checked: low, high, update_interval, step, tolerance.
    info : SubstrateInfo
    """

    edges: Edges
    graph: Graph
    plan: Plan
    law: Law
    learner: Learner
    first_weights: FloatArray
    numbers: dict[str, float]
    info: SubstrateInfo


def build(
    nodes: int, pairs: IntArray, prefix: str, made: dict[str, Any], seed: int, edges: Any, rule: Any, inputs: Any,
    outputs: Any, rails: Any, differential: bool, imperfections: Any, low: float | None, high: float,
    update_interval: float, step: float | None, tolerance: float,
) -> Parts:  # fmt: skip
    """Make the parts of a network; parameters are those of `ContrastiveNetwork`.

    Parameters
    ----------
    nodes, pairs
        The graph, as it was made or given.
    prefix : str
        Beginning of the id.
    made : dict
        Parameters from which the graph can be made again; with ``pairs`` it was given.

    Raises
    ------
    ValueError
        If a parameter is out of range, a node has two roles, or a node is connected to no source.
    """
    kind: Edges = group_from("edges", edges, (Transistor, Resistor, Diode, Antiparallel))
    learned: Rule = group_from("rule", rule, (CoupledLearning, SignRule, EquilibriumPropagation, DirectedAging))
    real: Imperfections = group_from("imperfections", imperfections, (Imperfections,))
    own = _numbers(kind, low, high, update_interval, step, tolerance)
    if kind.directed and "pairs" not in made:
        turned = np.random.default_rng([seed, 1]).random(len(pairs)) < 0.5
        pairs = np.where(turned[:, np.newaxis], pairs[:, ::-1], pairs)
    graph = with_roles(nodes, pairs, inputs, outputs, rails, convert_value("differential", differential, bool))
    law, learner, first_weights = _edges_and_learner(kind, learned, real, graph, seed, own["update_interval"])
    roles = {
        "inputs": ",".join(map(str, graph.inputs)) + ("," if len(graph.inputs) == 1 else ""),
        "outputs": ",".join(f"{a}" if b == GROUND else f"{a}-{b}" for a, b in graph.outputs)
        + ("," if len(graph.outputs) == 1 else ""),
        "rails": ",".join(
            f"{node}:{volts!r}" for node, volts in zip(graph.rails, graph.rail_voltages.tolist(), strict=True)
        ),
    }
    groups = {
        "edges": plain_values(kind, named=True),
        "rule": plain_values(learned, named=True),
        "imperfections": plain_values(real, named=False),
    }
    parameters = made | {"seed": seed} | roles | groups | own
    arrays = {"pairs": pairs} if "pairs" in made else {}
    digested = {name: value for name, value in parameters.items() if name not in arrays}
    # A part of a level would be lost, or be a whole one.
    whole_updates = isinstance(learned, SignRule) and real.remainder == "lost" and bool(learner.limits[2] > 0)
    info = describe(
        simulator_id(prefix, digested, **arrays), graph, own["low"], own["high"],
        kind.largest_conductance * math.exp(5 * real.spread), real.noise, parameters, whole_updates,
    )  # fmt: skip
    return Parts(kind, graph, plan_elimination(graph), law, learner, first_weights, own, info)


def _numbers(
    edges: Edges, low: float | None, high: float, update_interval: float, step: float | None, tolerance: float
) -> dict[str, float]:
    """Check the plain numbers."""
    own = {
        name: convert_value(name, value, float)
        for name, value in (("high", high), ("update_interval", update_interval), ("tolerance", tolerance))
    }
    own["step"] = own["update_interval"] if step is None else convert_value("step", step, float)
    for name in ("update_interval", "step", "tolerance"):
        if own[name] <= 0:
            raise ValueError(f"{name} is {own[name]}; give more than 0")
    if own["tolerance"] > 1e-3:
        raise ValueError(f"tolerance is {own['tolerance']} V; give at most 1e-3")
    transistors = isinstance(edges, Transistor)
    own["low"] = (0.0 if transistors else -own["high"]) if low is None else convert_value("low", low, float)
    if not own["low"] < own["high"]:
        raise ValueError(f"inputs range from {own['low']} to {own['high']} V; give low < high")
    if transistors and own["low"] < -0.3:
        raise ValueError(
            f"low is {own['low']} V; transistors take -0.3 V or more, since below that the junctions to the body, "
            "which are not simulated, conduct"
        )
    return own


def _edges_and_learner(
    edges: Edges, rule: Rule, real: Imperfections, graph: Graph, seed: int, interval: float
) -> tuple[Law, Learner, FloatArray]:
    """Draw the first weights and the imperfections, and pack them for the compiled functions."""
    count, levels = len(graph.edges), real.levels
    if isinstance(edges, Resistor) and edges.levels is not None:
        if levels not in (None, edges.levels):
            raise ValueError(f"edges have {edges.levels} levels and imperfections {levels}; give one of them")
        levels = edges.levels
    level = 0.0 if levels is None else (edges.high - edges.low) / (levels - 1)
    generator = np.random.default_rng([seed, 2])
    first_weights = generator.uniform(edges.low, edges.high, count)
    if level and real.remainder == "lost":
        first_weights = edges.low + level * np.rint((first_weights - edges.low) / level)
    bias = real.bias * generator.standard_normal(count)
    factor = np.exp(real.spread * generator.standard_normal(count))
    factor[edges_to_cut(graph, round(real.cut * count), generator)] = 0.0
    decay = 1.0 if real.leak_time is None else math.exp(-interval / real.leak_time)
    resistance = isinstance(edges, Resistor) and edges.weight == "resistance"
    limits = np.array([edges.low, edges.high, level, real.remainder == "lost", resistance, decay, real.noise, interval])
    learner = Learner(
        rule.packed(edges.high - edges.low, level), limits, first_weights.copy(), bias, np.empty(count),
        np.zeros(max(count, 2)), np.empty(graph.node_count), np.zeros(3, dtype=np.uint64), np.zeros(3),
    )  # fmt: skip
    return Law(edges.law, edges.packed(), np.empty(count), factor), learner, first_weights
