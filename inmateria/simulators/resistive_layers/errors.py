"""The error of a network in layers that has no equilibrium."""

from inmateria.errors import SubstrateError


class NoEquilibrium(SubstrateError):
    """A nudge away from the labels is stronger than the network: no voltages minimise its energy."""
