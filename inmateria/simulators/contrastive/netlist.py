"""The same network as a netlist for ngspice, which then solves the same equations."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inmateria.simulators.contrastive.edges import (
    SPICE_THERMAL_VOLTAGE,
    Antiparallel,
    Diode,
    Edges,
    Resistor,
    Transistor,
)
from inmateria.simulators.contrastive.graph import GROUND, Graph

FloatArray = npt.NDArray[np.float64]

_OPTIONS = "reltol=1e-11 vntol=1e-14 abstol=1e-20 chgtol=1e-20 gmin=1e-25 pivtol=1e-30 itl1=2000 temp=27 tnom=27"


def write_netlist(
    title: str,
    graph: Graph,
    edges: Edges,
    setting: FloatArray,
    factor: FloatArray,
    sources: FloatArray,
    supervisor: Sequence[str] = (),
) -> str:
    """Write a netlist of the free state; with the lines of a supervisor, of the clamped or nudged one.

    Nodes are ``n0``, ``n1``, ...; sources ``vs0``, ... are the inputs and then the rails. What ngspice adds of its own,
    the conductances ``gmin`` and the saturation currents of the transistors' bodies, is turned off.

    Parameters
    ----------
    title : str
    graph : Graph
    edges : Resistor, Transistor, Diode or Antiparallel
    setting : ndarray, shape (edges,)
        Conductance, S; gate voltage, V; or factor on the saturation current.
    factor : ndarray, shape (edges,)
        Factor on each edge's current; an edge with 0 is left out.
    sources : ndarray
        V.
    supervisor : sequence of str
        Of `clamps` or `nudges`.
    """
    lines = [f"* {title}", f".options {_OPTIONS}"]
    if isinstance(edges, Transistor):
        lines.append(
            f".model channel nmos level=1 vto={edges.threshold!r} gamma={edges.body_effect!r} "
            f"phi={edges.surface_potential!r} kp={edges.transconductance!r} lambda={edges.modulation!r} is=0"
        )
    elif isinstance(edges, Diode):
        emission = edges.thermal_voltage / SPICE_THERMAL_VOLTAGE
        lines.append(f".model junction d is={edges.saturation_current!r} n={emission!r}")
    lines += [f"vs{k} n{node} 0 {float(sources[k])!r}" for k, node in enumerate(graph.sources)]
    for j, (a, b) in enumerate(graph.edges):
        size, value = float(factor[j]), float(setting[j])
        if size == 0:
            continue
        if isinstance(edges, Resistor):
            lines.append(f"r{j} n{a} n{b} {1 / (value * size)!r}")
            continue
        if isinstance(edges, Transistor):
            lines.append(f"vg{j} g{j} 0 {value!r}")
            lines.append(f"m{j} n{a} g{j} n{b} 0 channel w={edges.width * 1e-6 * size!r} l={edges.length * 1e-6!r}")
        else:
            lines.append(f"d{j} n{a} n{b} junction area={value * size!r}")
            if isinstance(edges, Antiparallel):
                lines.append(f"db{j} n{b} n{a} junction area={value * size!r}")
        off = edges.off_conductance * size * (2 if isinstance(edges, Antiparallel) else 1)
        lines.append(f"r{j} n{a} n{b} {1 / off!r}")
    return "\n".join([*lines, *supervisor, ".op", ".end", ""])


def clamps(graph: Graph, eta: float, labels: FloatArray, voltage: FloatArray) -> list[str]:
    """Write sources ``vc0p``, ``vc0m``, ... that hold the outputs, given all nodes' free voltages."""
    lines = []
    for k, (plus, minus) in enumerate(graph.outputs):
        if minus == GROUND:
            held = {plus: voltage[plus] + eta * (labels[k] - voltage[plus])}
        else:
            shift = 0.5 * eta * (labels[k] - (voltage[plus] - voltage[minus]))
            held = {plus: voltage[plus] + shift, minus: voltage[minus] - shift}
        lines += [
            f"vc{k}{sign} n{node} 0 {float(volts)!r}" for sign, (node, volts) in zip("pm", held.items(), strict=False)
        ]
    return lines


def nudges(graph: Graph, beta: float, labels: FloatArray) -> list[str]:
    """Write sources of the labels behind resistors of 1 / beta, which give the current beta (L - V) to each output."""
    lines = []
    for k, (plus, minus) in enumerate(graph.outputs):
        below = "0" if minus == GROUND else f"n{minus}"
        lines += [f"vl{k} l{k} {below} {float(labels[k])!r}", f"rl{k} l{k} n{plus} {1 / float(beta)!r}"]
    return lines
