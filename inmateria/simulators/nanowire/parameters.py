"""Parameters of a nanowire network in groups: places of wires, variability, values of single junctions, instrument."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.one_line import one_line
from inmateria.simulators.parameters import convert_fields


@dataclass(frozen=True, kw_only=True)
class RandomWires:
    """Straight wires at random positions on a square; only the largest connected component is used.

    Centres are uniform on the square, angles uniform in [0, pi), lengths gamma-distributed.

    Parameters
    ----------
    density : float
        Wires per um^2; published networks have 0.06 to 0.14.
    side : float, optional
        Side of the square, um; by default the one that gives ``density``.
    length, length_spread : float
        Mean and standard deviation of the wires' lengths, um; a spread of 0 makes them equal.
    """

    density: float = 0.06
    side: float | None = None
    length: float = 14.0
    length_spread: float = 5.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_square(self.density, self.side)
        if self.length <= 0:
            raise ValueError(f"length is {self.length} um; give more than 0")
        if self.length_spread < 0:
            raise ValueError(f"length_spread is {self.length_spread} um; give 0 or more")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A square lattice of nodes, each cell with one of its two diagonals at random.

    A model of a dense network, as in Milano et al., Nat. Mater. 21, 195 (2022).

    Parameters
    ----------
    density : float
        Nodes per um^2.
    side : float, optional
        Side of the lattice, um; by default the one that gives ``density``.
    """

    density: float = 0.06
    side: float | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        _check_square(self.density, self.side)


@dataclass(frozen=True, kw_only=True)
class Variability:
    r"""Differences between junctions, their fluctuations and their aging.

    The conductance :math:`G_j` of each junction is multiplied by :math:`e^{w_j}`, where :math:`w_j` is an
    Ornstein-Uhlenbeck process, as Milano et al. measured around the mean path of real networks:

    .. math::

        \mathrm{d}w_j = -\frac{w_j}{\tau}\,\mathrm{d}t + \sigma \sqrt{\frac{2}{\tau}}\,\mathrm{d}W_j

    with the stationary standard deviation :math:`\sigma` = ``noise`` and :math:`\tau` = ``noise_time``.

    Parameters
    ----------
    noise : float
        Standard deviation of the logarithm of every conductance over time, 0 to 3.
    noise_time : float
        Correlation time of the noise, s.
    voltage_spread, conductance_spread : float
        Standard deviation, over junctions, of the logarithm of the voltage that each feels (its thresholds,
        inversely) and of its conductance, 0 to 3.
    aging : float
        Standard deviation that a day adds to both logarithms, by a random walk, 0 to 3; see `NanowireNetwork.age`.
    """

    noise: float = 0.0
    noise_time: float = 0.1
    voltage_spread: float = 0.0
    conductance_spread: float = 0.0
    aging: float = 0.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        if self.noise_time <= 0:
            raise ValueError(f"noise_time is {self.noise_time} s; give more than 0")
        for name in ("noise", "voltage_spread", "conductance_spread", "aging"):
            if not 0 <= getattr(self, name) <= 3:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; allowed is 0 to 3, the standard deviation of a logarithm"
                )


@dataclass(frozen=True, kw_only=True)
class JunctionValues:
    """Values for single junctions, each one number or one number a junction, in the order of ``junctions``.

    Parameters
    ----------
    initial_state : float or sequence of float, optional
        State to which a reset returns; that of the model at rest by default. Its sign counts from the junction's first
        wire to its second.
    series_resistance : float or sequence of float
        Resistance in series with the junction, ohm; the junction feels what is left of the voltage.
    parameters : mapping of str to (float or sequence of float)
        Parameters of the model that differ between junctions, by name; others are those of the model.
    """

    initial_state: float | tuple[float, ...] | None = None
    series_resistance: float | tuple[float, ...] = 0.0
    parameters: dict[str, float | tuple[float, ...]] = field(default_factory=dict)

    __repr__ = one_line

    def __post_init__(self) -> None:
        _convert_numbers(self)
        _check_numbers("series_resistance", self.series_resistance, "0 or more, ohm", lambda value: value >= 0)


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """The instrument around a network: its contacts, limits of its sources, and noise of its readings.

    With a ``current_limit``, or inputs that float, the voltage at each source is measured, too: channels ``u00``, ...

    Parameters
    ----------
    contact_resistance : float or sequence of float
        Resistance between instrument and wire, ohm: one number, or one for each electrode: inputs, grounds, outputs.
    current_limit : float or sequence of float, optional
        Largest current of a source, A: one number, or one for each input; none by default. Where a voltage would drive
        more, the source drives this current, at the voltage that it then takes.
    floating : bool
        Whether an input is left undriven in a step in which its drive is `inmateria.substrate.FLOAT`.
    voltage_noise, current_noise : float
        Standard deviation of what is added to each voltage and current that is read, V and A: independent normal
        numbers, seeded; the network itself is not changed by it.
    """

    contact_resistance: float | tuple[float, ...] = 0.0
    current_limit: float | tuple[float, ...] | None = None
    floating: bool = False
    voltage_noise: float = 0.0
    current_noise: float = 0.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        _convert_numbers(self)
        _check_numbers("contact_resistance", self.contact_resistance, "0 or more, ohm", lambda value: value >= 0)
        _check_numbers("current_limit", self.current_limit, "more than 0, A", lambda value: value > 0)
        _check_numbers("voltage_noise", self.voltage_noise, "0 or more, V", lambda value: value >= 0)
        _check_numbers("current_noise", self.current_noise, "0 or more, A", lambda value: value >= 0)

    @property
    def reads_sources(self) -> bool:
        """Whether the voltage at each source is measured."""
        return self.floating or self.current_limit is not None


def one_each(name: str, given: float | tuple[float, ...], count: int, of: str) -> npt.NDArray[np.float64]:
    """Return a number for each of so many things, given as one for all or as one for each.

    Raises
    ------
    ValueError
        If there are more or fewer.
    """
    values = np.asarray(given, dtype=np.float64)
    if values.ndim and len(values) != count:
        raise ValueError(
            f"{name} has {len(values)} numbers and there are {count} {of}; give one for all, or one for each"
        )
    return np.array(np.broadcast_to(values, count))


def _convert_numbers(group: Any) -> None:
    """Convert arrays and sequences among the fields of a group to tuples, and the fields to their types."""
    for name, value in vars(group).items():
        if isinstance(value, Mapping):
            value = {each: _plain(number) for each, number in value.items()}
        object.__setattr__(group, name, _plain(value))
    convert_fields(group)
    for name, value in vars(group).items():
        for each, numbers in value.items() if isinstance(value, dict) else [(name, value)]:
            if not isinstance(numbers, (bool, type(None))):
                _check_numbers(each, numbers, "a finite number", math.isfinite)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _check_numbers(name: str, given: Any, allowed: str, holds: Callable[[float], bool]) -> None:
    """Raise if a number, or one of several, is not allowed."""
    for number in () if given is None else given if isinstance(given, tuple) else (given,):
        if not holds(number):
            raise ValueError(f"{name} is {number}; allowed is {allowed}")


def _check_square(density: float, side: float | None) -> None:
    if density <= 0:
        raise ValueError(f"density is {density} per um^2; give more than 0, published networks have 0.06 to 0.14")
    if side is not None and side <= 0:
        raise ValueError(f"side is {side} um; give more than 0")
