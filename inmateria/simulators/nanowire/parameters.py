"""Parameters of a nanowire network in groups: places of wires, and variability of junctions."""

from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        convert_fields(self)
        if self.noise_time <= 0:
            raise ValueError(f"noise_time is {self.noise_time} s; give more than 0")
        for name in ("noise", "voltage_spread", "conductance_spread", "aging"):
            if not 0 <= getattr(self, name) <= 3:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; allowed is 0 to 3, the standard deviation of a logarithm"
                )


def _check_square(density: float, side: float | None) -> None:
    if density <= 0:
        raise ValueError(f"density is {density} per um^2; give more than 0, published networks have 0.06 to 0.14")
    if side is not None and side <= 0:
        raise ValueError(f"side is {side} um; give more than 0")
