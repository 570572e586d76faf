"""A network with its electrodes: the plan of its solution, and the arrays of loads, contacts, limits and scratch."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.circuit import scratch_of
from inmateria.simulators.nanowire.elimination import IndexArray, eliminate
from inmateria.simulators.nanowire.geometry import components
from inmateria.simulators.nanowire.graph import Graph
from inmateria.simulators.nanowire.kinds import Kinds
from inmateria.simulators.nanowire.parameters import Instrument, JunctionValues, one_each

FloatArray = npt.NDArray[np.float64]


class Electrodes(NamedTuple):
    """Arrays for `kernel.advance`.

    Parameters
    ----------
    plan, nodes : ndarray
        As there; the nodes are 0, apart from what is given.
    read : ndarray, shape (outputs,)
        Part of the voltage of each wire that its instrument reads.
    surrounded : bool
        Whether `circuit.solve_circuit` has to solve it.
    plain : bool
        Whether there is nothing but wires, junctions of one kind and loads, so that `lanes` can solve it, too.
    """

    plan: IndexArray
    nodes: FloatArray
    read: FloatArray
    surrounded: bool
    plain: bool


def connect_electrodes(
    graph: Graph, instrument: Instrument, values: JunctionValues, kinds: Kinds, load: float | None
) -> Electrodes:
    """Connect electrodes to a graph.

    Parameters
    ----------
    graph : Graph
    instrument : Instrument
    values : JunctionValues
    kinds : Kinds
        Of the junctions.
    load : float or None
        Resistance to 0 V of the instrument that reads voltages, ohm.

    Raises
    ------
    ValueError
        If numbers are given for more or fewer electrodes or junctions than there are, or if the voltage of an input
        that floats or is limited would be undefined.
    """
    driven, inputs, count = np.concatenate((graph.inputs, graph.grounds)), len(graph.inputs), len(graph.junctions)
    resistance, limits = instrument.contact_resistance, np.full(len(driven), np.inf)
    contacts = one_each("contact_resistance", resistance, len(driven) + len(graph.outputs), "electrodes")
    at_source, at_reading = np.split(contacts, [len(driven)])
    if instrument.current_limit is not None:
        limits[:inputs] = one_each("current_limit", instrument.current_limit, inputs, "inputs")
    series = one_each("series_resistance", values.series_resistance, count, "junctions")
    ports, in_series = bool(at_source.any()) or instrument.reads_sources, bool(series.any())
    if instrument.reads_sources:
        _check_grounded(graph, load)
    elimination = eliminate(graph.wire_count, graph.junctions, driven)
    plan = elimination.packed(graph.outputs, ports, in_series, kinds.packed())
    surrounded = ports or in_series or bool(len(elimination.column))
    loads, around, read = np.zeros(graph.wire_count - len(driven)), np.empty(0), np.ones(len(graph.outputs))
    if load is not None:
        loads[elimination.place[graph.outputs].astype(np.intp)] = 1 / (load + at_reading)
        read = load / (load + at_reading)
    if surrounded:
        voltages = np.zeros(len(driven))
        around = np.concatenate((voltages, at_source, limits, voltages, series[: count if in_series else 0]))
    scratch = np.zeros(scratch_of(elimination, ports, in_series))
    remembered = np.append(np.zeros(count), 1.0)
    nodes = np.concatenate((np.zeros(graph.wire_count), loads, around, scratch, remembered))
    plain = not surrounded and len(kinds.models) == 1 and bool((read == 1).all())
    return Electrodes(plan, nodes, read, surrounded, plain)


def _check_grounded(graph: Graph, load: float | None) -> None:
    label = components(graph.wire_count, graph.junctions)
    grounded = label[graph.grounds if load is None else np.concatenate((graph.grounds, graph.outputs))]
    loose = graph.inputs[~np.isin(label[graph.inputs], grounded)]
    if loose.size:
        raise ValueError(
            f"the input at wire {loose[0]} may float or have a limited current, and no ground is connected to it, so "
            "that its voltage is undefined; give a ground there, or a load"
        )
