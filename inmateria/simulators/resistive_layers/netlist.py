"""The same network as a netlist for ngspice, with diodes that are nearly ideal."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64] | npt.NDArray[np.float32]

_OPTIONS = "reltol=1e-9 vntol=1e-12 abstol=1e-18 gmin=1e-25 pivtol=1e-30 itl1=5000 temp=27 tnom=27"


def write_netlist(
    title: str, inputs: npt.NDArray[np.float64], edges: Sequence[Floats], currents: Sequence[Floats]
) -> str:
    """Write a netlist of the free state, in S and A.

    Sources ``vs0``, ... are the amplified inputs, then the negated ones. Nodes are ``n0``, ...: those of the first
    layer, then those of the next. Diodes have an emission coefficient of 1e-5 and conduct from about 5e-6 V on.

    Parameters
    ----------
    title : str
    inputs : ndarray, shape (2 * inputs,)
        V.
    edges : sequence of ndarray, shape (nodes before, nodes)
        uS; edges with 0 are left out.
    currents : sequence of ndarray, shape (nodes,)
        uA.
    """
    lines = [f"* {title}", f".options {_OPTIONS}", ".model ideal d is=1e-12 n=1e-5"]
    lines += [f"vs{k} s{k} 0 {volts!r}" for k, volts in enumerate(inputs.tolist())]
    below, begin = [f"s{k}" for k in range(len(inputs))], 0
    for layer, (matrix, constant) in enumerate(zip(edges, currents, strict=True)):
        here = [f"n{begin + k}" for k in range(len(constant))]
        for i, j in np.argwhere(matrix > 0):
            lines.append(f"r{layer}_{i}_{j} {below[i]} {here[j]} {1e6 / float(matrix[i, j])!r}")
        for j, node in enumerate(here):
            if constant[j]:
                lines.append(f"i{begin + j} 0 {node} {1e-6 * float(constant[j])!r}")
            if layer < len(edges) - 1:
                lines.append(f"d{begin + j} {'0 ' + node if j % 2 == 0 else node + ' 0'} ideal")
        below, begin = here, begin + len(here)
    return "\n".join([*lines, ".op", ".end", ""])
