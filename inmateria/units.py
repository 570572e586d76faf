"""Units of channels: which symbols are allowed, and the one table of decimal prefixes.

A unit is written as in UCUM, the code that clinical and laboratory software uses (https://ucum.org), and as SI symbols
that agree with it: terms joined by ``.`` (times) and ``/`` (per), each an optional prefix, a symbol and an optional
whole exponent, such as ``mV``, ``uA/cm2``, ``spikes/s``, ``1/s`` or ``%``. Which symbols: docs/decisions/0210.
"""

import re
from functools import cache
from typing import NamedTuple

__all__ = ["PREFIXES", "Term", "Unit", "power_between", "read_unit"]

PREFIXES = {
    "y": -24, "z": -21, "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "c": -2, "d": -1,
    "da": 1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24,
}  # fmt: skip
"""Decimal prefixes and the powers of ten that they stand for."""

_PREFIXED = {
    "s", "m", "g", "A", "K", "mol", "cd", "Hz", "rad", "N", "Pa", "J", "W", "C", "V", "F", "ohm", "S", "Wb", "T", "H",
    "lm", "lx", "Bq", "Gy", "kat", "Ohm", "Cel", "l", "L", "M", "eV", "bar", "bit", "By",
}  # fmt: skip
"""Symbols that take a prefix: those of SI, and of UCUM; ``M`` is mol/l, as in physiology."""
_BARE = {"1", "%", "min", "h", "d", "deg", "dB", "spikes", "counts"}
_SPELLED = {"Ohm": "ohm", "L": "l"}
"""Two spellings of one unit."""
_TERM = re.compile(r"(?P<symbol>[A-Za-z%]+|1(?![0-9]))(?P<exponent>-?[1-9])?")
_MOST_LETTERS = 64


class Term(NamedTuple):
    """One factor of a unit.

    Parameters
    ----------
    power : int
        Power of ten that its prefix stands for.
    symbol : str
        Without the prefix.
    exponent : int
    """

    power: int
    symbol: str
    exponent: int


class Unit(NamedTuple):
    """A unit as a power of ten times one without prefixes.

    Parameters
    ----------
    power : int
        ``"mV"`` is 10^-3 ``"V"``, ``"uA/cm2"`` 10^-2 ``"A/m2"``, ``"%"`` 10^-2 ``"1"``.
    base : str
        Units of equal base differ by a power of ten only.
    terms : tuple of Term
        As written.
    """

    power: int
    base: str
    terms: tuple[Term, ...]

    @property
    def factor(self) -> float:
        """Factor from the unit to its base."""
        return float(f"1e{self.power}")


@cache
def read_unit(unit: str) -> Unit:
    """Read a unit.

    Raises
    ------
    ValueError
        If it is none; the message says what is allowed.
    """
    if len(unit) > _MOST_LETTERS:
        raise _no_unit(f"{unit[:20]}...", "too long")
    terms: list[Term] = []
    for number, numerator in enumerate(unit.split("/")):
        for written in numerator.split("."):
            found = _TERM.fullmatch(written)
            term = None if found is None else _term(found["symbol"], int(found["exponent"] or 1))
            if term is None:
                raise _no_unit(unit, f"{written!r} is not known")
            terms.append(term if number == 0 else term._replace(exponent=-term.exponent))
    power = sum(term.power * term.exponent for term in terms)
    exponents: dict[str, int] = {}
    for term in terms:
        if term.symbol == "%":
            power -= 2 * term.exponent
        elif term.symbol != "1":
            symbol = _SPELLED.get(term.symbol, term.symbol)
            exponents[symbol] = exponents.get(symbol, 0) + term.exponent
    return Unit(power, _base(exponents), tuple(terms))


def power_between(given: str, wanted: str) -> int:
    """Return the power of ten by which numbers in one unit become numbers in another.

    Raises
    ------
    ValueError
        If the units differ by more than that.
    """
    if given == wanted:
        return 0
    one, other = read_unit(given), read_unit(wanted)
    if one.base != other.base:
        raise ValueError(f"{given} cannot be converted into {wanted}; they differ by more than a power of ten")
    return one.power - other.power


def _term(symbol: str, exponent: int) -> Term | None:
    if symbol in _PREFIXED or symbol in _BARE:
        return Term(0, symbol, exponent)
    for size in (2, 1):
        if symbol[:size] in PREFIXES and symbol[size:] in _PREFIXED:
            return Term(PREFIXES[symbol[:size]], symbol[size:], exponent)
    return None


def _base(exponents: dict[str, int]) -> str:
    """Write symbols and exponents in one way, whatever way they were given."""
    above = [f"{symbol}{count if count > 1 else ''}" for symbol, count in sorted(exponents.items()) if count > 0]
    below = [f"/{symbol}{-count if count < -1 else ''}" for symbol, count in sorted(exponents.items()) if count < 0]
    return (".".join(above) or "1") + "".join(below)


def _no_unit(unit: str, why: str) -> ValueError:
    return ValueError(
        f"the unit is {unit!r} ({why}); allowed are SI and UCUM symbols with an optional prefix and exponent, joined "
        "by '.' and '/', such as 'V', 'mV', 'uA/cm2', 'Ohm', 'Cel', '%', 'spikes/s', '1/s', or '1' for none; "
        "write 'u' for micro"
    )
