"""Resistor networks solved directly: sparse LDL^T of a graph's Laplacian, planned once, exact to rounding.

    symbolic = analyse(nodes, edges)                          # order and places: once for a graph
    factor = factorise(symbolic, conductance, to_ground)      # for each set of weights
    voltage = factor.solve(current)

Kernels of simulators call `factor_into` and `solve_into` on their own arrays.
"""

from inmateria.simulators.sparse_ldl.factor import Factor, factorise
from inmateria.simulators.sparse_ldl.numeric import factor_into, solve_into
from inmateria.simulators.sparse_ldl.ordering import approximate_minimum_degree
from inmateria.simulators.sparse_ldl.symbolic import Order, Symbolic, analyse, factor_places, order_by, order_of

__all__ = [
    "Factor",
    "Order",
    "Symbolic",
    "analyse",
    "approximate_minimum_degree",
    "factor_into",
    "factor_places",
    "factorise",
    "order_by",
    "order_of",
    "solve_into",
]
