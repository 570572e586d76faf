"""Program messages by the rules of SCPI-99: units and their paths, long and short forms, numbers and other parameters.

Chapters are those of SCPI-99, volume 1 (syntax), and of IEEE 488.2.
"""

import itertools
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from inmateria.adapters.scpi.errors import ScpiError

__all__ = ["NAN", "OVERFLOW", "Unit", "matches", "number", "program_units", "short_form", "spellings", "string"]

NAN, OVERFLOW = 9.91e37, 9.9e37
"""Numbers that stand for "not a number" and for infinity in answers (7.2.1.4, 7.2.1.5)."""

_HEADER = re.compile(r"(:?)(\*[A-Z]+|[A-Z][A-Z0-9_]*(?::[A-Z][A-Z0-9_]*)*)(\??)", re.IGNORECASE)
_PIECE = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|\([^()]*\)|.", re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:\s*E\s*[+-]?\d+)?)\s*([A-Z%]*)", re.IGNORECASE)
_OTHER_BASE = re.compile(r"#([HQB])([0-9A-F]+)", re.IGNORECASE)
_BASES = {"H": 16, "Q": 8, "B": 2}
_MULTIPLIERS = {
    "": 1.0, "EX": 1e18, "PE": 1e15, "T": 1e12, "G": 1e9, "MA": 1e6, "K": 1e3, "M": 1e-3, "U": 1e-6, "N": 1e-9,
    "P": 1e-12, "F": 1e-15, "A": 1e-18,
}  # fmt: skip
_NODE = re.compile(r"(\[?):?(\*?[A-Za-z]+\d*):?(\]?)")


class Unit(NamedTuple):
    """One command or query of a program message.

    Parameters
    ----------
    header : str
        Whole path in capital letters as it was written, such as ``"SOUR:VOLT"`` or ``"*RST"``.
    query : bool
        Whether it asks.
    parameters : tuple of str
        As written.
    """

    header: str
    query: bool
    parameters: tuple[str, ...]


def program_units(message: str) -> Iterator[Unit]:
    """Split a program message into its units, with paths by 6.2.4.

    A header without a leading colon continues the path of the header before it, up to its last colon; common commands
    (``*``) leave the path as it is.

    Raises
    ------
    ScpiError
        At a unit that is not well formed; those before it have been yielded.
    """
    path = ""
    for text in _split(message, ";"):
        if not text:
            continue  # instruments take `;` at the end, and drivers send it
        head, _, rest = text.partition(" ")
        found = _HEADER.fullmatch(head)
        if found is None:
            raise ScpiError(-101 if re.search(r"[^\w:*?]", head, re.ASCII) else -102, head[:40])
        rooted, name, query = found[1], found[2].upper(), bool(found[3])
        if not name.startswith("*"):
            name = name if rooted or not path else f"{path}:{name}"
            path = name.rpartition(":")[0]
        rest = rest.strip()
        yield Unit(name, query, tuple(_split(rest, ",")) if rest else ())


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark outside of strings and parentheses; parts have no white space around them."""
    text = re.sub(r"[\x00-\x20]", " ", text)
    if '"' not in text and "'" not in text and "(" not in text:
        return [part.strip() for part in text.split(mark)]
    parts = [""]
    for piece in _PIECE.findall(text):
        if piece == mark:
            parts.append("")
        elif piece in "\"'":
            raise ScpiError(-151, "a string has no end")
        else:
            parts[-1] += piece
    return [part.strip() for part in parts]


def short_form(mnemonic: str) -> str:
    """Return the short form of a mnemonic such as ``"VOLTage"`` (6.2.1): its capital letters and digits."""
    return "".join(letter for letter in mnemonic if not letter.islower())


def matches(word: str, mnemonic: str) -> bool:
    """Return whether a word is the short or the long form of a mnemonic, and nothing between."""
    return word.upper() in (short_form(mnemonic), mnemonic.upper())


def spellings(pattern: str) -> list[str]:
    """Return every way to write a header, in capital letters.

    Parameters
    ----------
    pattern : str
        With capital letters for short forms and brackets for nodes that may be left out (5.1, 6.2.3), such as
        ``"[SOURce]:VOLTage[:LEVel]"``.
    """
    ways = [
        [*dict.fromkeys((short_form(name), name.upper())), *([""] if opened else [])]
        for opened, name, _ in _NODE.findall(pattern)
    ]
    return [":".join(filter(None, way)) for way in itertools.product(*ways)]


def number(text: str, unit: str = "") -> float:
    """Read a decimal number with an optional suffix, or one in another base (7.2, 7.3).

    Parameters
    ----------
    text : str
        Such as ``"1.5"``, ``"20mV"``, ``"#HFF"``, ``"INF"`` or ``"NAN"``.
    unit : str
        Unit in capital letters that the number may have, with a multiplier before it; ``M`` is milli, ``MA`` mega.

    Raises
    ------
    ScpiError
        If it is none.
    """
    word = text.upper()
    if word in ("NAN", "INF", "INFINITY", "NINF", "NINFINITY", "-INF", "+INF"):
        return math.nan if word == "NAN" else -math.inf if word[0] in "N-" else math.inf
    if (based := _OTHER_BASE.fullmatch(word)) is not None:
        try:
            return float(int(based[2], _BASES[based[1]]))
        except (ValueError, OverflowError):
            raise ScpiError(-121, text[:40]) from None
    found = _NUMBER.fullmatch(word)
    if found is None:
        raise ScpiError(-121 if word[:1].isdigit() else -104, f"{text[:40]} is not a number")
    suffix = found[2]
    if not suffix:
        factor: float | None = 1.0
    elif unit and suffix.endswith(unit):
        factor = _MULTIPLIERS.get(suffix[: -len(unit)])
    else:
        factor = None
    if factor is None:
        raise ScpiError(-131, f"{suffix[:20]}, where {unit or 'none'} is the unit")
    return float(found[1].replace(" ", "")) * factor


def string(text: str) -> str:
    """Read a string between double or single quotes, which are doubled within it (IEEE 488.2, 7.7.5).

    Raises
    ------
    ScpiError
        If it is none.
    """
    if len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0]:
        raise ScpiError(-104, f"{text[:40]} is not a string in quotes")
    return text[1:-1].replace(2 * text[0], text[0])
