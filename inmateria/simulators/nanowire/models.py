"""What a junction is: the models, their published parameters, and how each is packed for the compiled step.

A model is a frozen dataclass of parameters that names the function by which its junctions evolve
(`evolution`). The solver knows neither; one of your own is given as ``NanowireNetwork(model=Mine(...))``.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire import evolution, evolution_lanes

FloatArray = npt.NDArray[np.float64]


class JunctionModel(Protocol):
    """Parameters of one sort of junction.

    ``evolve`` is the function by which junctions evolve, as `evolution` says. A model may also have
    ``evolve_lanes``, the same for sixteen networks at once (`evolution_lanes`); without it, the networks of an
    ensemble run side by side. And it may have ``rests_at_once = True``, where any step at 0 V is exact.
    """

    evolve: ClassVar[Any]

    @property
    def rest(self) -> float:
        """State at rest."""

    @property
    def highest(self) -> float:
        """Largest conductance, S."""

    def packed(self) -> FloatArray:
        """Constants in the order in which the kernel reads them."""


@dataclass(frozen=True, kw_only=True)
class Filament:
    """A silver filament that grows above one voltage and shrinks below another; electrons tunnel its gap.

    With the filament's state x in V s and the voltage V across the junction:

        |V| > set_voltage:    dx/dt = (|V| - set_voltage) sgn(V)
        |V| < reset_voltage:  d|x|/dt = -shrink_rate (reset_voltage - |V|), stopping at 0
        |x| <= full_filament
        s = gap max(1 - |x| / closed_filament, 0)
        R = 2 / A s^gap_power / sqrt(phi) exp(C0 phi^barrier_power s) / J1
        G = 1 / (R + 1 / on_conductance) + off_conductance

    with A = 0.17, J1 = 4.71307e-5, C0 = 10.19 and s in nm. Hochstetter et al., Nat. Commun. 12, 4008 (2021).
    Published programs disagree: some have ``gap_power=2`` and ``overshoot=True``; Simmons' own formula has
    ``barrier_power=0.5``. The defaults are those of the paper above.

    Parameters
    ----------
    set_voltage, reset_voltage : float
        Thresholds of growth and decay, V; ``0 <= reset_voltage <= set_voltage``.
    closed_filament, full_filament : float
        State at which the gap is closed, and its largest value, V s.
    shrink_rate : float
        How many times faster a filament shrinks than it grows, per volt (b in the paper).
    on_conductance, off_conductance : float
        Conductance of a closed gap and of the open one, S.
    gap : float
        Width of the open gap, nm.
    barrier : float
        Height of the barrier phi, eV.
    gap_power, barrier_power : float
        Exponents of the gap in R and of the barrier in the exponential.
    overshoot : bool
        Whether a shrinking filament may jump across zero in a step instead of stopping there.
    """

    evolve: ClassVar[Any] = staticmethod(evolution.tunnelling_filaments)
    evolve_lanes: ClassVar[Any] = staticmethod(evolution_lanes.tunnelling_filaments)
    rests_at_once: ClassVar[bool] = True
    rest: ClassVar[float] = 0.0
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

    def __post_init__(self) -> None:
        _require(self, "reset_voltage", 0 <= self.reset_voltage <= self.set_voltage, "0 to set_voltage, V")
        _positive(self, "closed_filament", "full_filament", "on_conductance", "gap", "barrier")
        _require(self, "shrink_rate", self.shrink_rate >= 0, "0 or more")
        _require(self, "off_conductance", 0 < self.off_conductance < self.on_conductance, "0 to on_conductance, S")
        _require(self, "gap_power", 0 <= self.gap_power <= 4, "0 to 4")
        _require(self, "gap", self._exponent < 600, f"at most {600 / (self._exponent / self.gap):.3g} nm here")

    @property
    def _exponent(self) -> float:
        return float(10.19 * self.barrier**self.barrier_power * self.gap)

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance + self.off_conductance

    def packed(self) -> FloatArray:
        """Constants in the order in which the kernel reads them."""
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
    """The same filament with a switch instead of a tunnel: on where it is closed, off elsewhere.

    Parameters are those of `Filament` without the barrier's.
    """

    evolve: ClassVar[Any] = staticmethod(evolution.switching_filaments)
    evolve_lanes: ClassVar[Any] = staticmethod(evolution_lanes.switching_filaments)
    rests_at_once: ClassVar[bool] = True
    rest: ClassVar[float] = 0.0
    set_voltage: float = 0.01
    reset_voltage: float = 0.005
    closed_filament: float = 0.01
    full_filament: float = 0.015
    shrink_rate: float = 10.0
    on_conductance: float = 7.77e-5
    off_conductance: float = 7.77e-8
    overshoot: bool = False

    def __post_init__(self) -> None:
        _require(self, "reset_voltage", 0 <= self.reset_voltage <= self.set_voltage, "0 to set_voltage, V")
        _positive(self, "closed_filament", "full_filament", "on_conductance")
        _require(self, "shrink_rate", self.shrink_rate >= 0, "0 or more")
        _require(self, "off_conductance", 0 < self.off_conductance < self.on_conductance, "0 to on_conductance, S")

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance

    def packed(self) -> FloatArray:
        """Constants in the order in which the kernel reads them."""
        return np.array(
            [
                self.set_voltage, self.reset_voltage, self.shrink_rate, self.full_filament, self.closed_filament,
                self.on_conductance, self.off_conductance, 0.0, 0.0, 0.0, float(self.overshoot),
            ]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RateBalance:
    """Potentiation against depression: both rates depend exponentially on the voltage.

    With the state g between 0 and 1 and the voltage V across the junction:

        kp = potentiation_rate exp(potentiation_slope |V|)
        kd = depression_rate exp(-depression_slope |V|)
        dg/dt = kp (1 - g) - kd g
        G = off_conductance (1 - g) + on_conductance g

    solved exactly over a step: g goes to kp / (kp + kd) as exp(-(kp + kd) t). Miranda, Milano and Ricciardi,
    IEEE Trans. Nanotechnol. 19, 609 (2020); values fitted to a device by Milano et al., Nat. Mater. 21, 195 (2022).

    Parameters
    ----------
    potentiation_rate, depression_rate : float
        Rates at 0 V, 1/s.
    potentiation_slope, depression_slope : float
        1/V.
    on_conductance, off_conductance : float
        Conductance at g = 1 and at g = 0, S.
    """

    evolve: ClassVar[Any] = staticmethod(evolution.balanced_rates)
    evolve_lanes: ClassVar[Any] = staticmethod(evolution_lanes.balanced_rates)
    rests_at_once: ClassVar[bool] = True
    potentiation_rate: float = 2.555e-6
    depression_rate: float = 64.88
    potentiation_slope: float = 34.92
    depression_slope: float = 5.591
    on_conductance: float = 2.7235e-3
    off_conductance: float = 1.0147e-3

    def __post_init__(self) -> None:
        _positive(self, "potentiation_rate", "depression_rate", "off_conductance", "on_conductance")
        for name in ("potentiation_slope", "depression_slope"):
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        _require(self, "off_conductance", self.off_conductance <= self.on_conductance, "up to on_conductance, S")

    @property
    def rest(self) -> float:
        """State at rest: what both rates settle on at 0 V."""
        return self.potentiation_rate / (self.potentiation_rate + self.depression_rate)

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance

    def packed(self) -> FloatArray:
        """Constants in the order in which the kernel reads them."""
        return np.array(
            [
                self.potentiation_rate, self.depression_rate, self.potentiation_slope, self.depression_slope,
                self.off_conductance, self.on_conductance,
            ]
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LinearDrift:
    """Linear drift of dopants with decay: the resistance falls with the charge that has passed.

    With the state x between 0 and 1 and R = 1 / off_conductance (1 - x) + 1 / on_conductance x:

        dx/dt = s |V| / (1 V) / (R on_conductance) / drift_time f(x) - x / decay_time
        f(x) = 1 - (2 x - 1)^(2 window), or 1 where window is 0

    and s the sign of the summed input voltages, as in the network simulator mnns (one waveform for all
    sources). Strukov et al., Nature 453, 80 (2008); decay: Sillin et al., Nanotechnology 24, 384004 (2013).

    Parameters
    ----------
    drift_time : float
        Time in which 1 V across a closed junction would move x from 0 to 1, s.
    decay_time : float
        Of x towards 0, s; 0 for no decay.
    window : float
        Exponent of Joglekar's window, 0 for none.
    on_conductance, off_conductance : float
        Conductance at x = 1 and at x = 0, S.
    """

    evolve: ClassVar[Any] = staticmethod(evolution.drifting_dopants)
    rest: ClassVar[float] = 0.0
    drift_time: float = 0.01
    decay_time: float = 1.0
    window: float = 0.0
    on_conductance: float = 0.1
    off_conductance: float = 6.25e-4

    def __post_init__(self) -> None:
        _positive(self, "drift_time", "off_conductance", "on_conductance")
        _require(self, "decay_time", self.decay_time >= 0, "0 or more, s")
        _require(self, "window", self.window >= 0 and self.window == round(self.window), "0, 1, 2, ...")
        _require(self, "off_conductance", self.off_conductance <= self.on_conductance, "up to on_conductance, S")

    @property
    def highest(self) -> float:
        """Largest conductance, S."""
        return self.on_conductance

    def packed(self) -> FloatArray:
        """Constants in the order in which the kernel reads them."""
        decay = 1 / self.decay_time if self.decay_time else 0.0
        per_charge = 1 / (self.drift_time * self.on_conductance)
        return np.array([1 / self.off_conductance, 1 / self.on_conductance, per_charge, decay, self.window])


MODELS: dict[str, type[JunctionModel]] = {
    "filament": Filament,
    "binary": Binary,
    "rate-balance": RateBalance,
    "linear-drift": LinearDrift,
}


def junction_model(name: str | JunctionModel, given: dict[str, float | None]) -> JunctionModel:
    """Make a model by its name from the parameters that are not None; one that is made already is taken as it is.

    Raises
    ------
    ValueError
        Where there is no such model, or it has no such parameter.
    """
    if not isinstance(name, str):
        strange = [key for key, value in given.items() if value is not None]
        missing = [part for part in ("evolve", "rest", "highest", "packed") if not hasattr(name, part)]
        if strange or missing:
            raise ValueError(
                f"a model that is made already has its own parameters, not {', '.join(strange)}"
                if strange
                else f"model is {name!r}, which has no {', '.join(missing)}; give a name or a JunctionModel"
            )
        return name
    if name not in MODELS:
        raise ValueError(f"model is {name!r}; there are {', '.join(map(repr, MODELS))}")
    model = MODELS[name]
    names = [field.name for field in fields(model)]  # type: ignore[arg-type]
    set_here = {key: value for key, value in given.items() if value is not None}
    strange = [key for key in set_here if key not in names]
    if strange:
        raise ValueError(f"the {name} model has no {', '.join(strange)}; it has {', '.join(names)}")
    for key, value in set_here.items():
        if not math.isfinite(value):
            raise ValueError(f"{key} is {value}; it must be finite")
    return model(**set_here)


def model_parameters(model: JunctionModel) -> dict[str, float | bool]:
    """List the parameters of a model by name."""
    return asdict(model)  # type: ignore[call-overload, no-any-return]


def model_name(model: JunctionModel) -> str:
    """Say what a model is called: its name here, or its class's."""
    return next((name for name, kind in MODELS.items() if type(model) is kind), type(model).__name__)


def _require(model: object, name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {getattr(model, name)}; allowed is {allowed}")


def _positive(model: object, *names: str) -> None:
    for name in names:
        _require(model, name, getattr(model, name) > 0, "more than 0")
