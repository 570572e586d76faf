"""Edges of a network that learns: resistors, transistors and diodes, each with one adjustable weight."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.parameters import convert_fields

FloatArray = npt.NDArray[np.float64]

LINEAR, MOSFET, EXPONENTIAL, SYMMETRIC_EXPONENTIAL = range(4)
"""Laws of the edges, for the compiled functions."""

SPICE_THERMAL_VOLTAGE = 1.38064852e-23 * 300.15 / 1.6021766208e-19
"""kT/q at 27 degrees Celsius by the constants that ngspice has, V."""


@dataclass(frozen=True, kw_only=True)
class Resistor:
    """An adjustable resistor; its weight is the conductance, S, or the resistance, ohm.

    The defaults are the range of a digital potentiometer AD5220 of 100 kohm, as in Dillavou et al., Phys. Rev. Applied
    18, 014040 (2022): that machine is ``Resistor(weight="resistance", low=781.25, high=1e5, levels=128)``.

    Parameters
    ----------
    weight : {"conductance", "resistance"}
        The quantity that is adjusted; it is bounded by ``low`` and ``high``, and its levels are equally spaced. A
        rule's change of the conductance is converted to one of the resistance (dR = -R^2 dg).
    low, high : float
        Smallest and largest weight, S or ohm, above 0.
    levels : int, optional
        Number of positions; continuous by default. See `Imperfections`.
    """

    weight: Literal["conductance", "resistance"] = "conductance"
    low: float = 1e-5
    high: float = 1.28e-3
    levels: int | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        check_range(self.low, self.high, "ohm" if self.weight == "resistance" else "S")
        check_levels(self.levels)

    @property
    def unit(self) -> str:
        """Unit of the weight."""
        return "Ohm" if self.weight == "resistance" else "S"

    @property
    def directed(self) -> bool:
        """Whether it matters which node is an edge's first."""
        return False

    @property
    def law(self) -> int:
        """Law of the edge, for the compiled functions."""
        return LINEAR

    @property
    def largest_conductance(self) -> float:
        """Largest differential conductance at moderate voltages, S."""
        return 1 / self.low if self.weight == "resistance" else self.high

    def packed(self) -> FloatArray:
        """Pack the constants for the compiled functions."""
        return np.array([1.0 if self.weight == "resistance" else 0.0, 0, 0, 0, 0, 0])


@dataclass(frozen=True, kw_only=True)
class Transistor:
    r"""An n-channel MOSFET; its weight is the voltage of the gate to ground, the body is at ground.

    The model is level 1 of SPICE (Shichman and Hodges) with body effect and channel-length modulation. Of drain and
    source, which are alike, the source is the one at the lower voltage :math:`V_S`; with :math:`v = \max(0, V_G - V_S
    - V_T)` and :math:`u = \min(V_{DS}, v)`,

    .. math::

        V_T = V_{T0} + \gamma (\sqrt{\varphi + V_S} - \sqrt{\varphi}), \qquad
        I = k' \frac{W}{L} (1 + \lambda V_{DS})\, u\, (v - u / 2) + g_\mathrm{off} V_{DS}

    Below ground, the square root continues along its tangent, as in SPICE. The junctions to the body, the capacitances
    and the current of the gate are left out. The defaults are the card of the ALD1106 in Dillavou et al., PNAS 121,
    e2319718121 (2024).

    Parameters
    ----------
    low, high : float
        Smallest and largest gate voltage, V.
    threshold : float
        :math:`V_{T0}`, V.
    body_effect : float
        :math:`\gamma`, V^.5.
    surface_potential : float
        :math:`\varphi`, V.
    transconductance : float
        :math:`k'`, A/V^2.
    modulation : float
        :math:`\lambda`, 1/V.
    width, length : float
        :math:`W` and :math:`L` of the channel, um.
    off_conductance : float
        Conductance from drain to source beside the channel, S: without one, a node whose transistors are all off has
        no voltage.
    """

    low: float = 1.0
    high: float = 5.5
    threshold: float = 0.75
    body_effect: float = 1.09
    surface_potential: float = 0.95
    transconductance: float = 6.25e-5
    modulation: float = 0.2
    width: float = 138.0
    length: float = 7.8
    off_conductance: float = 1e-10

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        check_range(self.low, self.high, "V", least=-math.inf)
        for name in ("surface_potential", "transconductance", "width", "length", "off_conductance"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give more than 0")
        for name in ("body_effect", "modulation"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")

    @property
    def unit(self) -> str:
        """Unit of the weight."""
        return "V"

    @property
    def directed(self) -> bool:
        """Whether it matters which node is an edge's first."""
        return False

    @property
    def law(self) -> int:
        """Law of the edge, for the compiled functions."""
        return MOSFET

    @property
    def gain(self) -> float:
        """Gain factor k' W / L, A/V^2."""
        return self.transconductance * self.width / self.length

    @property
    def largest_conductance(self) -> float:
        """Largest differential conductance at moderate voltages, S."""
        return 2 * self.gain * max(self.high - self.threshold, 0.1) + self.off_conductance

    def packed(self) -> FloatArray:
        """Pack the constants for the compiled functions."""
        offset = self.threshold - self.body_effect * math.sqrt(self.surface_potential)
        return np.array(
            [self.gain, offset, self.body_effect, self.surface_potential, self.modulation, self.off_conductance]
        )


@dataclass(frozen=True, kw_only=True)
class Diode:
    r"""A diode from an edge's first node to its second; its weight is a factor on the saturation current, an area.

    .. math::

        I = w I_0 (e^{V / V_T} - 1) + g_\mathrm{off} V

    Beyond :math:`3 V_T` of reverse voltage the exponential is replaced by SPICE's
    :math:`-(3 V_T / (e V))^3`, which is within 1 % of :math:`w I_0` of it.

    Parameters
    ----------
    low, high : float
        Smallest and largest weight, above 0.
    saturation_current : float
        :math:`I_0`, A.
    thermal_voltage : float
        :math:`V_T`, the emission coefficient times kT/q, V.
    off_conductance : float
        Conductance beside the junction, S: without one, a node that only diodes in reverse reach has hardly a voltage.
    """

    low: float = 0.1
    high: float = 10.0
    saturation_current: float = 1e-9
    thermal_voltage: float = SPICE_THERMAL_VOLTAGE
    off_conductance: float = 1e-10

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        check_range(self.low, self.high, "")
        for name in ("saturation_current", "thermal_voltage", "off_conductance"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give more than 0")

    @property
    def unit(self) -> str:
        """Unit of the weight."""
        return "1"

    @property
    def directed(self) -> bool:
        """Whether it matters which node is an edge's first."""
        return True

    @property
    def law(self) -> int:
        """Law of the edge, for the compiled functions."""
        return EXPONENTIAL

    @property
    def largest_conductance(self) -> float:
        """Largest differential conductance at moderate voltages, S."""
        return self.high * self.saturation_current / self.thermal_voltage * math.exp(20.0)

    def packed(self) -> FloatArray:
        """Pack the constants for the compiled functions."""
        return np.array([self.saturation_current, 1 / self.thermal_voltage, self.off_conductance, 0, 0, 0])


@dataclass(frozen=True, kw_only=True)
class Antiparallel(Diode):
    r"""Two diodes in opposite directions; their common weight is a factor on the saturation current.

    The current is that of a `Diode` in each direction, :math:`I = 2 w I_0 \sinh(V / V_T) + 2 g_\mathrm{off} V` but for
    SPICE's form of the reverse current.

    Parameters
    ----------
    low, high, saturation_current, thermal_voltage, off_conductance : float
        Of each of the two; see `Diode`.
    """

    __repr__ = one_line

    @property
    def directed(self) -> bool:
        """Whether it matters which node is an edge's first."""
        return False

    @property
    def law(self) -> int:
        """Law of the edge, for the compiled functions."""
        return SYMMETRIC_EXPONENTIAL


Edges = Resistor | Transistor | Diode | Antiparallel


def check_range(low: float, high: float, unit: str, least: float = 0.0) -> None:
    """Refuse a range of weights that is empty or does not lie above a limit."""
    if not least < low < high:
        above = "" if least == -math.inf else f", both above {least:g}"
        raise ValueError(f"weights range from {low} to {high} {unit}".rstrip() + f"; give low < high{above}")


def check_levels(levels: int | None) -> None:
    """Refuse fewer than two levels."""
    if levels is not None and levels < 2:
        raise ValueError(f"levels is {levels}; give 2 or more, or None for a continuous weight")
