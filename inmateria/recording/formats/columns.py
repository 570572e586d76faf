"""Columns of numbers with names and units: the common form of every table that is imported."""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from inmateria.units import read_unit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class ColumnTable:
    """A table of numbers, one row a sample.

    Parameters
    ----------
    names : tuple of str
        Names of the columns, without their units; unique.
    units : tuple of (str or None)
        Unit of each column in the notation of `inmateria.units`; None if the file states none.
    values : ndarray of float, shape (rows, columns)
        NaN where a value is missing.
    source : str
        How the file was understood, for people.
    lines : ndarray of int, shape (rows,)
        Number of each row, or line, in the file.
    left_out : tuple of str
        What is in the file and not in the table.
    """

    names: tuple[str, ...]
    units: tuple[str | None, ...]
    values: FloatArray
    source: str
    lines: npt.NDArray[np.int64]
    left_out: tuple[str, ...] = ()


_SPELLED = {
    "degc": "Cel", "deg c": "Cel", "°c": "Cel", "celsius": "Cel", "dimensionless": "1", "percent": "%", "au": "1",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "usec": "us", "minute": "min",
    "minutes": "min", "hour": "h", "hours": "h", "day": "d", "days": "d", "volt": "V", "volts": "V", "amp": "A",
    "amps": "A", "ampere": "A", "amperes": "A", "hertz": "Hz", "count": "counts", "byte": "By", "ω": "Ohm",
    "ohms": "Ohm", "siemens": "S", "°": "deg", "degree": "deg", "kelvin": "K", "n.a.": "1", "-": "1",
    "volts per second": "V/s", "degrees": "deg", "farads": "F", "watts": "W", "meters": "m", "metre": "m",
}  # fmt: skip


@cache
def channel_unit(text: str) -> str | None:
    """Return a unit as other programs write it in the notation of `inmateria.units`; None if it is not known.

    Known are that notation, names of the library quantities (``degC``, ``V*s/m**2``), and usual spellings (``µV``,
    ``kΩ``, ``°C``, ``sec``).
    """
    text = text.strip()
    plain = re.sub("[\u2126\u03a9]", "Ohm", re.sub("[\u00b5\u03bc]", "u", text))
    plain = re.sub(r"/\((.*)\)$", lambda found: "/" + found[1].replace("*", "/"), plain.replace("**", "^"))
    plain = plain.replace("^", "").replace("*", ".").replace("\u00b7", ".").replace("\u00b2", "2")
    for written in (plain, _SPELLED.get(plain.lower(), "")):
        try:
            read_unit(written)
        except ValueError:
            continue
        return written
    return None


def split_unit(heading: str) -> tuple[str, str | None]:
    """Split the heading of a column, such as ``8_V[V]``, ``u (mV)`` or ``y / uA``, into its name and its unit.

    Raises
    ------
    ValueError
        If what stands in square brackets is no unit; in parentheses or after a slash it is then part of the name.
    """
    heading = heading.strip()
    if found := re.fullmatch(r"(.*?)\s*\[([^][]*)\]", heading):
        unit = channel_unit(found[2])
        if unit is None and found[2].strip():
            raise ValueError(f"{found[2]!r} in the heading {heading!r} is no known unit")
        return found[1] or heading, unit
    if (found := re.fullmatch(r"(.+?)\s*\(([^()]*)\)", heading)) or (
        found := re.fullmatch(r"(.+?)\s+/\s+(\S+)", heading)
    ):
        unit = channel_unit(found[2]) if found[2].strip() != "1" else None
        if unit is not None:
            return found[1], unit
    return heading, None
