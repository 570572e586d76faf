"""Parameters of networks in layers: one value for all layers or one for each, and what differs from ideal edges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inmateria.one_line import one_line
from inmateria.simulators.parameters import check_size, convert_fields

_MOST_EDGES = 200_000_000


@dataclass(frozen=True, kw_only=True)
class LayerImperfections:
    """Difference between real edges and ideal ones; none by default. All are drawn with the network's seed.

    Parameters
    ----------
    bias : float
        Standard deviation, over edges, of a fixed number that each edge adds to the difference of squares that its
        update is proportional to, V^2 (Dillavou et al., arXiv 2505.22887).
    spread : float
        Standard deviation of the logarithm of a fixed factor on each edge's conductance, 0 to 3; the training does not
        know it.
    levels : int, optional
        Number of values that a conductance can be set to, equally spaced from 0 to the largest; continuous by default.
    remainder : {"kept", "lost", "stochastic"}
        With levels, whether the numbers that are learned keep their full precision, as in a computer that sets the
        nearest level; or are levels themselves, and changes are rounded, so that one of less than half a level is lost;
        or are rounded to one of the two levels beside them at random, right in the mean.
    """

    bias: float = 0.0
    spread: float = 0.0
    levels: int | None = None
    remainder: Literal["kept", "lost", "stochastic"] = "kept"

    __repr__ = one_line

    def __post_init__(self) -> None:
        convert_fields(self)
        if self.bias < 0:
            raise ValueError(f"bias is {self.bias}; give 0 or more")
        if not 0 <= self.spread <= 3:
            raise ValueError(f"spread is {self.spread}; allowed is 0 to 3, the standard deviation of a logarithm")
        if self.levels is not None and self.levels < 2:
            raise ValueError(f"levels is {self.levels}; give 2 or more, or None for continuous conductances")

    @property
    def ideal(self) -> bool:
        """Whether edges are ideal."""
        return self.bias == 0 and self.spread == 0 and self.levels is None


def layer_sizes(given: str | Sequence[int]) -> tuple[int, ...]:
    """Read the number of inputs, of nodes of each hidden layer and of outputs, also as ``"784-100-10"``.

    Raises
    ------
    ValueError
        If there are fewer than two, one is below 1, or there would be too many edges.
    """
    words = given.split("-") if isinstance(given, str) else [str(each) for each in given]
    if len(words) < 2 or not all(word.strip().isdigit() and int(word) for word in words):
        raise ValueError(f"sizes is {given!r}; give inputs, hidden layers and outputs, such as '784-100-10'")
    sizes = tuple(int(word) for word in words)
    check_size("edges", sum(a * b for a, b in zip((2 * sizes[0], *sizes[1:-1]), sizes[1:], strict=True)), _MOST_EDGES)
    return sizes


def layer_values(name: str, given: str | float | Sequence[float], count: int) -> tuple[float, ...]:
    """Read a number above 0 for each layer of edges, also as ``"0.002,0.006"``; a single one is for all.

    Raises
    ------
    ValueError
        If there are neither one nor as many as layers, or one is not above 0.
    """
    if isinstance(given, str):
        words: list[object] = [word for word in given.split(",") if word.strip()]
    else:
        words = list(given) if isinstance(given, Sequence) else [given]
    try:
        values = tuple(float(word) for word in words)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        values = ()
    if len(values) not in (1, count) or not all(value > 0 and not math.isnan(value) for value in values):
        raise ValueError(f"{name} is {given!r}; give a number above 0, or one for each of {count} layers of edges")
    return values * count if len(values) == 1 else values
