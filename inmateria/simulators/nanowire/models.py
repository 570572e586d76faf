"""Junction models: their equations, their published parameters, and how each is packed for the compiled step.

A model is a frozen dataclass of parameters that names the function by which its junctions evolve (`evolution`). The
solver knows neither: ``NanowireNetwork(model=Mine(...))`` takes a model of your own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.nanowire import evolution, evolution_cuda, evolution_lanes
from inmateria.simulators.parameters import convert_fields, group_from, type_name

FloatArray = npt.NDArray[np.float64]


class JunctionModel(Protocol):
    """Interface of a junction model: a frozen dataclass of its parameters, with the members below.

    ``evolve`` is the function by which junctions evolve, see `evolution`. A model may also have

    - ``evolve_lanes``, the same for sixteen networks at once (`evolution_lanes`); without it, the networks of an
      ensemble run one after another;
    - ``evolve_cuda``, the same for one junction (`evolution_cuda`); without it, an ensemble with ``on="cuda"`` refuses
      its networks;
    - ``rests_at_once = True``, which says that a step at 0 V is exact whatever its duration; without it,
      `NanowireNetwork.age` makes its steps as long as two halves agree with the whole;
    - ``longest_step``, s: no step is longer, such as half of a time constant that explicit Euler steps have to resolve.
      Longer ones are made of so many more substeps. Without it, a state that is not finite is an error;
    - ``time_constant(voltage)``, s: the time in which a junction under that voltage moves through a fair part of its
      range; and ``coarse_change``, the factor by which its conductance may change in one step, 100 by default. If a
      conductance changes by more in a step longer than the time constant, there is a `CoarseStepWarning`.

    A network is pickled with its model. Into another process goes a class by its name, so that the model has to be of a
    module that can be imported there, or is sent by cloudpickle, as joblib does.

    The id of a network depends on the model's class name, its parameters and the value of ``packed()``: if you change
    ``evolve``, rename the class.
    """

    evolve: ClassVar[Any]

    @property
    def rest(self) -> float:
        """State at rest."""

    @property
    def highest(self) -> float:
        """Largest conductance, S."""

    def packed(self) -> FloatArray:
        """Return the constants in the order in which ``evolve`` reads them."""


@dataclass(frozen=True, kw_only=True)
class Filament:
    r"""Junction with a silver filament that grows above one voltage and shrinks below another, and a tunnelling gap.

    The state :math:`\lambda` of the filament (V s) follows the voltage :math:`V` across the junction,

    .. math::

        \frac{\mathrm{d}\lambda}{\mathrm{d}t} = \begin{cases}
            (|V| - V_\mathrm{set}) \operatorname{sgn} V & |V| > V_\mathrm{set} \\
            -b\,(V_\mathrm{reset} - |V|) \operatorname{sgn} \lambda & |V| < V_\mathrm{reset} \\
            0 & \text{otherwise}
        \end{cases}
        \qquad |\lambda| \le \lambda_\mathrm{max},

    where a shrinking filament stops at 0. Its gap :math:`s` (nm) has the tunnelling resistance :math:`R_t`, and the
    junction the conductance :math:`G`:

    .. math::

        s &= s_0 \max\left(1 - \frac{|\lambda|}{\lambda_c},\, 0\right) \\
        R_t &= \frac{2}{A} \frac{s^p}{\sqrt{\phi}} \frac{\exp(C_0 \phi^q s)}{J_1} \\
        G &= \frac{1}{R_t + 1 / G_\mathrm{on}} + G_\mathrm{off}

    with :math:`A = 0.17`, :math:`C_0 = 10.19` and :math:`J_1 = 4.71307 \times 10^{-5}`. One explicit Euler step is
    taken per step of integration; it is exact as long as the voltage across the junction is constant.

    Parameters
    ----------
    set_voltage, reset_voltage : float
        Thresholds :math:`V_\mathrm{set}` of growth and :math:`V_\mathrm{reset}` of decay, V;
        ``0 <= reset_voltage <= set_voltage``.
    closed_filament, full_filament : float
        States :math:`\lambda_c` at which the gap is closed and :math:`\lambda_\mathrm{max}`, the largest, V s.
    shrink_rate : float
        Ratio :math:`b` of the rates of decay and growth for the same distance to the threshold.
    on_conductance, off_conductance : float
        Conductances :math:`G_\mathrm{on}` of the closed gap and :math:`G_\mathrm{off}` parallel to it, S.
    gap : float
        Width :math:`s_0` of the open gap, nm.
    barrier : float
        Height :math:`\phi` of the barrier, eV.
    gap_power, barrier_power : float
        Exponents :math:`p` of the gap and :math:`q` of the barrier.
    overshoot : bool
        Whether a shrinking filament may step across zero instead of stopping there, by as much as the step is long. One
        at zero stays there, and aging ends at zero.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    Published programs disagree: two later ones of the same group have ``gap_power=2`` and ``overshoot=True``. All have
    ``barrier_power=2``, where the formula of Simmons (J. Appl. Phys. 34, 1793 (1963)) has 0.5. The defaults are those
    of [1]_ for constant voltage.

    References
    ----------
    .. [1] J. Hochstetter et al., Avalanches and edge-of-chaos learning in neuromorphic nanowire networks,
       Nat. Commun. 12, 4008 (2021).
    """

    evolve: ClassVar[Any] = staticmethod(evolution.tunnelling_filaments)
    evolve_lanes: ClassVar[Any] = staticmethod(evolution_lanes.tunnelling_filaments)
    evolve_cuda: ClassVar[Any] = staticmethod(evolution_cuda.tunnelling_filament)
    rest: ClassVar[float] = 0.0
    rests_at_once: ClassVar[bool] = True
    set_voltage: float = 0.01
    reset_voltage: float = 0.005
    closed_filament: float = 0.01
    full_filament: float = 0.015
    shrink_rate: float = 10.0
    on_conductance: float = 7.77e-5
    off_conductance: float = 7.77e-8
    gap: float = 5.0
    barrier: float = 0.81
    gap_power: float = 1.0
    barrier_power: float = 2.0
    overshoot: bool = False

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_filament(self)
        _positive(self, "barrier")
        _require(self, "gap", 0 < self.gap <= 1000, "0 to 1000 nm")
        _require(self, "gap_power", 0 <= self.gap_power <= 4, "0 to 4")
        _require(self, "barrier_power", 0 <= self.barrier_power <= 4, "0 to 4")
        if self._exponent >= 600:
            most = 600 / (self._exponent / self.gap)
            raise ValueError(f"gap is {self.gap}; allowed with this barrier is at most {most:.3g} nm")

    @property
    def _exponent(self) -> float:
        return float(10.19 * self.barrier**self.barrier_power * self.gap)

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance + self.off_conductance

    @property
    def coarse_change(self) -> float:
        """Two thirds of the range of conductance, on a logarithmic scale: the factor that a step should not exceed."""
        return _two_thirds(self.off_conductance, self.on_conductance)

    def time_constant(self, voltage: float) -> float:
        """Return the time in which the conductance changes at most by a factor of e under a voltage (V), s."""
        rate = _filament_speed(self, voltage) * max(1.0, self._exponent) / self.closed_filament
        return 1 / rate if rate > 0 else math.inf

    @property
    def relaxing(self) -> "Filament":
        """The model by which junctions age at 0 V: without the overshoot, which is an artefact of steps."""
        return replace(self, overshoot=False)

    def packed(self) -> FloatArray:
        """Return the constants in the order in which ``evolve`` reads them."""
        widest = 2 / 0.17 * self.gap**self.gap_power / math.sqrt(self.barrier) / 4.71307e-5
        return np.array(
            [
                self.set_voltage, self.reset_voltage, self.shrink_rate, self.full_filament, 1 / self.closed_filament,
                1 / self.on_conductance, self.off_conductance, widest, self._exponent / 64, self.gap_power,
                float(self.overshoot),
            ]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Binary:
    r"""Junction with the filament of `Filament` and a switch instead of a tunnelling gap.

    Its state :math:`\lambda` follows the same equation, and

    .. math::

        G = \begin{cases}
            G_\mathrm{on} & |\lambda| \ge \lambda_c \\
            G_\mathrm{off} & \text{otherwise}
        \end{cases}

    as in the binary model of Hochstetter et al., Nat. Commun. 12, 4008 (2021).

    Parameters
    ----------
    set_voltage, reset_voltage : float
        Thresholds of growth and decay, V; ``0 <= reset_voltage <= set_voltage``.
    closed_filament, full_filament : float
        States :math:`\lambda_c` at which the switch is on and :math:`\lambda_\mathrm{max}`, the largest, V s.
    shrink_rate : float
        Ratio of the rates of decay and growth for the same distance to the threshold.
    on_conductance, off_conductance : float
        Conductances :math:`G_\mathrm{on}` and :math:`G_\mathrm{off}`, S.
    overshoot : bool
        Whether a shrinking filament may step across zero instead of stopping there, by as much as the step is long. One
        at zero stays there, and aging ends at zero.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    evolve: ClassVar[Any] = staticmethod(evolution.switching_filaments)
    evolve_lanes: ClassVar[Any] = staticmethod(evolution_lanes.switching_filaments)
    evolve_cuda: ClassVar[Any] = staticmethod(evolution_cuda.switching_filament)
    rest: ClassVar[float] = 0.0
    rests_at_once: ClassVar[bool] = True
    set_voltage: float = 0.01
    reset_voltage: float = 0.005
    closed_filament: float = 0.01
    full_filament: float = 0.015
    shrink_rate: float = 10.0
    on_conductance: float = 7.77e-5
    off_conductance: float = 7.77e-8
    overshoot: bool = False

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_filament(self)

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance

    @property
    def coarse_change(self) -> float:
        """Half of the ratio of both conductances: every junction that switches counts."""
        return max(1.0, 0.5 * self.on_conductance / self.off_conductance)

    def time_constant(self, voltage: float) -> float:
        """Return a tenth of the time in which a filament grows from nothing to closed under a voltage (V), s."""
        rate = 10 * _filament_speed(self, voltage) / self.closed_filament
        return 1 / rate if rate > 0 else math.inf

    @property
    def relaxing(self) -> "Binary":
        """The model by which junctions age at 0 V: without the overshoot, which is an artefact of steps."""
        return replace(self, overshoot=False)

    def packed(self) -> FloatArray:
        """Return the constants in the order in which ``evolve`` reads them."""
        return np.array(
            [
                self.set_voltage, self.reset_voltage, self.shrink_rate, self.full_filament, self.closed_filament,
                self.on_conductance, self.off_conductance, 0.0, 0.0, 0.0, float(self.overshoot),
            ]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RateBalance:
    r"""Junction with potentiation and depression, whose rates depend exponentially on the voltage.

    The state :math:`g`, between 0 and 1, follows the voltage :math:`V` across the junction,

    .. math::

        \frac{\mathrm{d}g}{\mathrm{d}t} &= k_p (1 - g) - k_d\, g, \qquad
        k_p = k_{p0}\, e^{\eta_p |V|}, \quad k_d = k_{d0}\, e^{-\eta_d |V|} \\
        G &= G_\mathrm{off} (1 - g) + G_\mathrm{on}\, g

    [1]_, which is solved exactly over a step :math:`\Delta t` in which the voltage is constant:

    .. math::

        g(t + \Delta t) = g_\infty + \left(g(t) - g_\infty\right) e^{-(k_p + k_d) \Delta t},
        \qquad g_\infty = \frac{k_p}{k_p + k_d}

    Parameters
    ----------
    potentiation_rate, depression_rate : float
        Rates :math:`k_{p0}` and :math:`k_{d0}` at 0 V, 1/s.
    potentiation_slope, depression_slope : float
        Exponents :math:`\eta_p` and :math:`\eta_d`, 1/V.
    on_conductance, off_conductance : float
        Conductances :math:`G_\mathrm{on}` at g = 1 and :math:`G_\mathrm{off}` at g = 0, S.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The defaults are the values fitted to a device in [2]_. Public programs misplace a parenthesis in the closed form:
    for 0.4 V during 10 ms from g = 0 the equation gives 0.028, they give 0.301 to 0.994.

    References
    ----------
    .. [1] E. Miranda, G. Milano and C. Ricciardi, Modeling of short-term synaptic plasticity effects in ZnO nanowire
       memristors through a potentiation-depression rate balance equation, IEEE Trans. Nanotechnol. 19, 609 (2020).
    .. [2] G. Milano et al., In materia reservoir computing with a fully memristive architecture based on
       self-organizing nanowire networks, Nat. Mater. 21, 195 (2022).
    """

    evolve: ClassVar[Any] = staticmethod(evolution.balanced_rates)
    evolve_lanes: ClassVar[Any] = staticmethod(evolution_lanes.balanced_rates)
    evolve_cuda: ClassVar[Any] = staticmethod(evolution_cuda.balanced_rate)
    rests_at_once: ClassVar[bool] = True
    potentiation_rate: float = 2.555e-6
    depression_rate: float = 64.88
    potentiation_slope: float = 34.92
    depression_slope: float = 5.591
    on_conductance: float = 2.7235e-3
    off_conductance: float = 1.0147e-3

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _positive(self, "potentiation_rate", "depression_rate", "off_conductance", "on_conductance")
        for name in ("potentiation_slope", "depression_slope"):
            _require(self, name, 0 <= getattr(self, name) <= _LARGEST, f"0 to {_LARGEST:g}")
        _require(self, "off_conductance", self.off_conductance <= self.on_conductance, "up to on_conductance, S")

    @property
    def rest(self) -> float:
        """State at rest: the equilibrium of both rates at 0 V."""
        return self.potentiation_rate / (self.potentiation_rate + self.depression_rate)

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance

    @property
    def coarse_change(self) -> float:
        """Two thirds of the range of conductance, on a logarithmic scale: the factor that a step should not exceed."""
        return _two_thirds(self.off_conductance, self.on_conductance)

    def time_constant(self, voltage: float) -> float:
        r"""Return the time constant :math:`1 / (k_p + k_d)` under a voltage (V), s."""
        up = self.potentiation_rate * math.exp(min(self.potentiation_slope * abs(voltage), 600.0))
        return 1 / (up + self.depression_rate * math.exp(-self.depression_slope * abs(voltage)))

    def packed(self) -> FloatArray:
        """Return the constants in the order in which ``evolve`` reads them."""
        return np.array(
            [
                self.potentiation_rate, self.depression_rate, self.potentiation_slope, self.depression_slope,
                self.off_conductance, self.on_conductance,
            ]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LinearDrift:
    r"""Junction with linear drift of dopants, decay and an optional window.

    The state :math:`x`, between 0 and 1, follows the voltage :math:`V` across the junction [1]_, and decays [2]_:

    .. math::

        \frac{\mathrm{d}x}{\mathrm{d}t} &= \frac{\sigma |V| / (1\,\mathrm{V})}{R\, G_\mathrm{on}\, t_\mathrm{drift}}
            f(x) - \frac{x}{\tau} \\
        R &= \frac{1}{G} = \frac{1 - x}{G_\mathrm{off}} + \frac{x}{G_\mathrm{on}} \\
        f(x) &= 1 - (2 x - 1)^{2 p}, \quad \text{or } 1 \text{ if } p = 0

    Here :math:`\sigma` is the sign of the summed input voltages, as in the network simulator mnns, where all sources
    have one waveform. Over a step of integration, in which the voltage is constant, drift and decay are each solved
    exactly, in turn [4]_; with a window, the drift by midpoint steps in which x changes by a twentieth at most.

    Parameters
    ----------
    drift_time : float
        Time :math:`t_\mathrm{drift}` in which 1 V across a closed junction moves x by 1, s.
    decay_time : float
        Time constant :math:`\tau` of the decay towards 0, s; 0 for no decay.
    window : float
        Exponent :math:`p` of the window [3]_, a whole number; 0 for no window.
    on_conductance, off_conductance : float
        Conductances :math:`G_\mathrm{on}` at x = 1 and :math:`G_\mathrm{off}` at x = 0, S.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] D. B. Strukov et al., The missing memristor found, Nature 453, 80 (2008).
    .. [2] H. O. Sillin et al., A theoretical and experimental study of neuromorphic atomic switch networks for
       reservoir computing, Nanotechnology 24, 384004 (2013).
    .. [3] Y. N. Joglekar and S. J. Wolf, The elusive memristor, Eur. J. Phys. 30, 661 (2009).
    .. [4] G. Strang, On the construction and comparison of difference schemes, SIAM J. Numer. Anal. 5, 506 (1968).
    """

    evolve: ClassVar[Any] = staticmethod(evolution.drifting_dopants)
    rests_at_once: ClassVar[bool] = True
    rest: ClassVar[float] = 0.0
    drift_time: float = 0.01
    decay_time: float = 1.0
    window: float = 0.0
    on_conductance: float = 0.1
    off_conductance: float = 6.25e-4

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _positive(self, "drift_time", "off_conductance", "on_conductance")
        _require(
            self, "decay_time", self.decay_time == 0 or _SMALLEST <= self.decay_time <= _LARGEST, f"0, or {_RANGE} s"
        )
        _require(self, "window", 0 <= self.window <= 100 and self.window == round(self.window), "0, 1, 2, ... 100")
        _require(self, "off_conductance", self.off_conductance <= self.on_conductance, "up to on_conductance, S")

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance

    @property
    def coarse_change(self) -> float:
        """Two thirds of the range of conductance, on a logarithmic scale: the factor that a step should not exceed."""
        return _two_thirds(self.off_conductance, self.on_conductance)

    def time_constant(self, voltage: float) -> float:
        """Return the time in which x moves or decays by a fair part of its range under a voltage (V), s."""
        rate = abs(voltage) / self.drift_time + (1 / self.decay_time if self.decay_time else 0.0)
        return 1 / rate if rate > 0 else math.inf

    def packed(self) -> FloatArray:
        """Return the constants in the order in which ``evolve`` reads them."""
        decay = 1 / self.decay_time if self.decay_time else 0.0
        per_charge = 1 / (self.drift_time * self.on_conductance)
        return np.array([1 / self.off_conductance, 1 / self.on_conductance, per_charge, decay, self.window])


MODELS = (Filament, Binary, RateBalance, LinearDrift)
"""Junction models that a name stands for."""


def junction_model(given: Any) -> JunctionModel:
    """Return a junction model from an object, a name, or plain values as in ``info.parameters["model"]``.

    Raises
    ------
    ValueError
        If there is no such model or parameter, or the object is not a `JunctionModel`.
    """
    if not isinstance(given, (str, Mapping, *MODELS)):
        missing = [part for part in ("evolve", "rest", "highest", "packed") if not hasattr(given, part)]
        if missing or not is_dataclass(given) or isinstance(given, type):
            lacks = f"which has no {', '.join(missing)}" if missing else "which is not a dataclass object"
            raise ValueError(
                f"model is {given!r}, {lacks}; give a JunctionModel such as Filament(...), or one of the names "
                f"{', '.join(repr(type_name(kind)) for kind in MODELS)}"
            )
        for field in fields(given):
            value = getattr(given, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name} is {value}; it must be finite")
        return given  # type: ignore[return-value]
    model: JunctionModel = group_from("model", given, MODELS)
    return model


def _check_filament(model: Filament | Binary) -> None:
    _require(model, "set_voltage", 0 <= model.set_voltage <= _LARGEST, f"0 to {_LARGEST:g} V")
    _require(model, "reset_voltage", 0 <= model.reset_voltage <= model.set_voltage, "0 to set_voltage, V")
    _positive(model, "closed_filament", "full_filament", "on_conductance", "off_conductance")
    _require(model, "shrink_rate", 0 <= model.shrink_rate <= _LARGEST, f"0 to {_LARGEST:g}")
    _require(model, "off_conductance", model.off_conductance < model.on_conductance, "up to on_conductance, S")


def _filament_speed(model: Filament | Binary, voltage: float) -> float:
    """Return how fast a filament grows or shrinks, V."""
    size = abs(voltage)
    return max(size - model.set_voltage, model.shrink_rate * (model.reset_voltage - size), 0.0)


def _two_thirds(low: float, high: float) -> float:
    return float((high / low) ** (2 / 3))


_SMALLEST, _LARGEST = 1e-30, 1e30  # far beyond any device, so that no product of a few overflows
_RANGE = f"{_SMALLEST:g} to {_LARGEST:g}"


def _require(model: object, name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {getattr(model, name)}; allowed is {allowed}")


def _positive(model: object, *names: str) -> None:
    for name in names:
        _require(model, name, _SMALLEST <= getattr(model, name) <= _LARGEST, _RANGE)
