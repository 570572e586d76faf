"""Local learning rules: how an edge's weight follows from the voltages across it in two states."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.parameters import convert_fields

FloatArray = npt.NDArray[np.float64]

CONTRAST, SIGN, NUDGE, CENTRED_NUDGE, STRAIN = range(5)
"""Kinds of rules, for the compiled functions."""


@dataclass(frozen=True, kw_only=True)
class CoupledLearning:
    r"""Coupled learning: Stern, Hexner, Rocks and Liu, Phys. Rev. X 11, 021045 (2021).

    In the clamped state each output is held at :math:`V_F + \eta (L - V_F)`, a differential one by half on each side;
    with the voltages :math:`\Delta V` across an edge in both states,

    .. math::

        \Delta w = \frac{\alpha}{\eta} \left(\Delta V_F^2 - \Delta V_C^2\right)

    Parameters
    ----------
    eta : float
        Fraction of the way to the label, above 0; beyond 1 the outputs are clamped beyond their labels.
    alpha : float, optional
        Rate, in the weight's unit per V^2; by default 4/9 of the range of the weight: 2 V/V^2 for gates of 1 to 5.5 V.
    update_probability : float
        Probability with which each edge is updated at each step: 1 for all at once, less for desynchronous learning
        (Wycoff et al., J. Chem. Phys. 156, 144903, 2022).
    """

    eta: float = 0.1
    alpha: float | None = None
    update_probability: float = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_positive("eta", self.eta)
        _check_positive("alpha", self.alpha)
        _check_fraction("update_probability", self.update_probability)

    def packed(self, weight_range: float, level: float) -> FloatArray:
        """Pack the constants for the compiled functions."""
        rate = 4 / 9 * weight_range if self.alpha is None else self.alpha
        return np.array([CONTRAST, self.eta, rate / self.eta, self.update_probability])


@dataclass(frozen=True, kw_only=True)
class SignRule:
    """Only the sign of coupled learning: each weight moves by one step, as in Dillavou et al., PR Applied 18, 014040.

    The conductance falls where the voltage across the edge is larger in the clamped state, and rises elsewhere. It
    never stops: stop the training, or average over its end.

    Parameters
    ----------
    eta : float
        Fraction of the way to the label, above 0; beyond 1 the outputs are clamped beyond their labels.
    step : float, optional
        Step of the weight, in its unit: one level by default, or 1/127 of the range if it is continuous.
    update_probability : float
        Probability with which each edge is updated at each step.
    """

    eta: float = 0.1
    step: float | None = None
    update_probability: float = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_positive("eta", self.eta)
        _check_positive("step", self.step)
        _check_fraction("update_probability", self.update_probability)

    def packed(self, weight_range: float, level: float) -> FloatArray:
        """Pack the constants for the compiled functions."""
        default = level if level > 0 else weight_range / 127
        return np.array([SIGN, self.eta, default if self.step is None else self.step, self.update_probability])


@dataclass(frozen=True, kw_only=True)
class EquilibriumPropagation:
    r"""Equilibrium propagation: Scellier and Bengio, Front. Comput. Neurosci. 11, 24 (2017); Kendall et al. (2020).

    The outputs are nudged by the current :math:`\beta (L - V)`, where V is the voltage of the nudged state, into a
    differential output's plus and out of its minus; with the voltages across an edge in the states with
    :math:`0, \pm\beta`,

    .. math::

        \Delta w = \frac{\alpha}{\beta} \left(\Delta V_0^2 - \Delta V_\beta^2\right)
        \quad\text{or, centred,}\quad
        \Delta w = \frac{\alpha}{2 \beta} \left(\Delta V_{-\beta}^2 - \Delta V_{+\beta}^2\right)

    On networks of two-terminal edges it is, for small :math:`\beta`, the gradient of :math:`\alpha \sum (L - V)^2`.
    Here and in all rules, an exponential edge reads in place of :math:`\Delta V^2` twice its co-content for a weight
    of 1, divided by its conductance at 0 V, which is :math:`\Delta V^2` for small voltages.

    Parameters
    ----------
    beta : float
        Strength of the nudge, S; one much smaller than the conductance between outputs and sources is weak.
    alpha : float, optional
        Rate, in the weight's unit times S per V^2; by default 4/9 of the range of the weight, times ``beta``.
    centred : bool
        Whether to nudge in both directions.
    update_probability : float
        Probability with which each edge is updated at each step.
    """

    beta: float = 1e-4
    alpha: float | None = None
    centred: bool = True
    update_probability: float = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_positive("beta", self.beta)
        _check_positive("alpha", self.alpha)
        _check_fraction("update_probability", self.update_probability)

    def packed(self, weight_range: float, level: float) -> FloatArray:
        """Pack the constants for the compiled functions."""
        rate = 4 / 9 * weight_range * self.beta if self.alpha is None else self.alpha
        if self.centred:
            return np.array([CENTRED_NUDGE, self.beta, rate / (2 * self.beta), self.update_probability])
        return np.array([NUDGE, self.beta, rate / self.beta, self.update_probability])


@dataclass(frozen=True, kw_only=True)
class DirectedAging:
    r"""Directed aging: Pashine, Hexner, Liu and Nagel, Sci. Adv. 5, eaax4215 (2019).

    Edges only weaken, by what they dissipate in the clamped state: :math:`\Delta w = -\alpha \Delta V_C^2`.

    Parameters
    ----------
    eta : float
        Fraction of the way to the label, above 0; beyond 1 the outputs are clamped beyond their labels.
    alpha : float, optional
        Rate, in the weight's unit per V^2; by default 4/9 of the range of the weight, times .01.
    update_probability : float
        Probability with which each edge is updated at each step.
    """

    eta: float = 1.0
    alpha: float | None = None
    update_probability: float = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_positive("eta", self.eta)
        _check_positive("alpha", self.alpha)
        _check_fraction("update_probability", self.update_probability)

    def packed(self, weight_range: float, level: float) -> FloatArray:
        """Pack the constants for the compiled functions."""
        rate = 4 / 900 * weight_range if self.alpha is None else self.alpha
        return np.array([STRAIN, self.eta, rate, self.update_probability])


Rule = CoupledLearning | SignRule | EquilibriumPropagation | DirectedAging


@dataclass(frozen=True, kw_only=True)
class Imperfections:
    """Differences between a real network and the ideal one; none by default. All are drawn with the network's seed.

    Parameters
    ----------
    bias : float
        Standard deviation, over edges, of a fixed number that each edge adds to the difference of squares
        that its update is proportional to, V^2 (Dillavou et al., arXiv 2505.22887).
    noise : float
        Standard deviation of every reading of a voltage, V: of the response, of the outputs from which clamping
        voltages are made, and of the voltages across the edges at an update.
    spread : float
        Standard deviation of the logarithm of each edge's current, 0 to 3.
    levels : int, optional
        Number of values that a weight can be set to, equally spaced; continuous by default.
    remainder : {"kept", "lost"}
        With levels, whether the numbers that are learned keep their full precision, as in a computer that sets the
        nearest level, or are levels themselves, so that a change of less than half of one is lost.
    leak_time : float, optional
        Time constant with which weights decay towards 0, down to their lowest, s: the leak of the capacitors that store
        them; none by default.
    cut : float
        Fraction of the edges that are cut, below 1; drawn so that every node stays connected to a source.
    """

    bias: float = 0.0
    noise: float = 0.0
    spread: float = 0.0
    levels: int | None = None
    remainder: Literal["kept", "lost"] = "kept"
    leak_time: float | None = None
    cut: float = 0.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        for name in ("bias", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")
        if not 0 <= self.spread <= 3:
            raise ValueError(f"spread is {self.spread}; allowed is 0 to 3, the standard deviation of a logarithm")
        if self.levels is not None and self.levels < 2:
            raise ValueError(f"levels is {self.levels}; give 2 or more, or None for a continuous weight")
        _check_positive("leak_time", self.leak_time)
        if not 0 <= self.cut < 1:
            raise ValueError(f"cut is {self.cut}; give a fraction of 0 or more and below 1")


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} is {value}; give more than 0 and at most 1")


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"{name} is {value}; give more than 0")
