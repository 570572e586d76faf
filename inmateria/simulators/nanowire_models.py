"""What a junction is: the models, their published parameters, and how each is packed for the compiled step.

A model here is a frozen dataclass of parameters plus one branch in `nanowire_kernel.evolve`, which turns
voltages into new states and conductances. The solver knows neither.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class JunctionModel(Protocol):
    """Parameters of one sort of junction.

    ``code`` is its branch in the kernel, ``rest`` its state at rest, ``highest`` its largest conductance, S.
    """

    code: ClassVar[int]
    rest: ClassVar[float]

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

    code: ClassVar[int] = 0
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

    code: ClassVar[int] = 1
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


MODELS: dict[str, type[Filament] | type[Binary]] = {"filament": Filament, "binary": Binary}


def junction_model(name: str, given: dict[str, float | None]) -> JunctionModel:
    """Make a model by its name from the parameters that are not None.

    Raises
    ------
    ValueError
        Where there is no such model, or it has no such parameter.
    """
    if name not in MODELS:
        raise ValueError(f"model is {name!r}; there are {', '.join(map(repr, MODELS))}")
    model = MODELS[name]
    names = [field.name for field in fields(model)]
    set_here = {key: value for key, value in given.items() if value is not None}
    strange = [key for key in set_here if key not in names]
    if strange:
        raise ValueError(f"the {name} model has no {', '.join(strange)}; it has {', '.join(names)}")
    for key, value in set_here.items():
        if not math.isfinite(value):
            raise ValueError(f"{key} is {value}; it must be finite")
    return model(**set_here)  # type: ignore[arg-type]


def model_parameters(model: JunctionModel) -> dict[str, float | bool]:
    """List the parameters of a model by name."""
    return asdict(model)  # type: ignore[call-overload, no-any-return]


def _require(model: object, name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {getattr(model, name)}; allowed is {allowed}")


def _positive(model: object, *names: str) -> None:
    for name in names:
        _require(model, name, getattr(model, name) > 0, "more than 0")
