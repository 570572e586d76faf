"""Groups of parameters: frozen dataclasses that a simulator takes as objects, by name, or as plain values.

A constructor's argument whose annotation names dataclasses is a group. ``model: Filament | Binary`` takes an object,
``Filament(set_voltage=0.02)``; the name of one, ``"binary"``; or plain values as they stand in ``info.parameters``,
``{"type": "binary", "set_voltage": 0.02}``. A URI writes the same as ``model=binary&model.set_voltage=0.02``.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

TYPE = "type"
"""Key under which plain values name the dataclass, if there are several."""

_MEANINGS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def type_name(kind: type) -> str:
    """Return the name of a dataclass in URIs and records: ``RateBalance`` is ``"rate-balance"``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower()


def group_types(hint: Any) -> tuple[type, ...]:
    """List the dataclasses among the types of an annotation; empty if the parameter is not a group."""
    types = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(each for each in types if isinstance(each, type) and dataclasses.is_dataclass(each))


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """Return ``"did you mean wires?"`` for a name close to an allowed one, else an empty string."""
    close = get_close_matches(name, list(allowed), n=1)
    return f"did you mean {close[0]}?" if close else ""


def convert_fields(group: Any) -> None:
    """Convert the fields of a frozen dataclass to the types of its annotations, in place; for ``__post_init__``.

    Raises
    ------
    ValueError
        If a field is of another type, or a number is not finite.
    """
    for name, hint in _hints(type(group)).items():
        object.__setattr__(group, name, convert_value(name, getattr(group, name), hint))


def convert_value(name: str, value: Any, hint: Any) -> Any:
    """Convert one value to an annotated type: numbers to ``float`` or ``int`` of Python, groups to dataclasses.

    Parameters
    ----------
    name : str
        Name of the parameter, for the error.
    value, hint : Any
        Value and annotation.

    Raises
    ------
    ValueError
        If the value is of another type, or a number is not finite.
    """
    kinds = group_types(hint)
    if kinds:
        return group_from(name, value, kinds)
    try:
        converted = msgspec.convert(value.item() if isinstance(value, np.generic) else value, hint)
    except msgspec.ValidationError:
        raise ValueError(f"{name} is {value!r}; give {type_meaning(hint)}") from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(f"{name} is {converted}; it must be finite")
    return converted


def check_size(name: str, value: object, most: int) -> None:
    """Refuse a size beyond what a simulation of this kind can hold in the memory of a usual machine.

    Raises
    ------
    ValueError
        If the value is a number beyond `most`.
    """
    if isinstance(value, int | float | np.number) and value > most:
        raise ValueError(f"{name} is {value}; give at most {most:,}: more would not fit into memory")


def group_from(name: str, given: Any, kinds: tuple[type, ...]) -> Any:
    """Make a group of parameters from an object, the name of its type, or plain values.

    Parameters
    ----------
    name : str
        Name of the argument, for errors.
    given : object, str or mapping
        Value of the argument.
    kinds : tuple of dataclass types
        Allowed types.

    Raises
    ------
    ValueError
        If there is no such type or parameter, or a parameter is out of range.
    """
    if isinstance(given, kinds):
        return given
    known = {type_name(kind): kind for kind in kinds}
    values = {TYPE: given} if isinstance(given, str) else given
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{name} is {given!r}; give {' or '.join(kind.__name__ for kind in kinds)}(...), or its name: "
            f"{', '.join(map(repr, known))}"
        )
    fields = dict(values)
    chosen = fields.pop(TYPE, next(iter(known)) if len(known) == 1 else None)
    if chosen not in known:
        raise ValueError(
            _sentence(
                f"{name} is {chosen!r}" if TYPE in values else f"{name} does not name its {TYPE}",
                f"there are {', '.join(map(repr, known))}",
                suggestion(str(chosen), known),
            )
        )
    allowed = [field.name for field in dataclasses.fields(known[chosen])]
    for field in fields:
        if field not in allowed:
            raise ValueError(
                _sentence(f"{chosen} has no {field}", f"it has {', '.join(allowed)}", suggestion(field, allowed))
            )
    return known[chosen](**fields)


def either(name: str, given: Any, *allowed: str) -> str:
    """Return a word that is one of those allowed.

    Raises
    ------
    ValueError
        If it is not.
    """
    if given not in allowed:
        raise ValueError(f"{name} is {given!r}; give {' or '.join(map(repr, allowed))}")
    return str(given)


def plain_values(group: Any, named: bool) -> dict[str, Any]:
    """Return the fields of a group as values that JSON has, groups within it included.

    Parameters
    ----------
    group : dataclass
    named : bool
        Whether to name its type first, as is needed if the argument offers several.
    """
    values: dict[str, Any] = {TYPE: type_name(type(group))} if named else {}
    hints = _hints(type(group))
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        kinds = group_types(hints[field.name])
        values[field.name] = plain_values(value, len(kinds) > 1) if kinds else _plain(value)
    return values


def type_meaning(hint: Any) -> str:
    """Describe an annotated type in words, for errors."""
    types = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    words = []
    for each in types:
        if get_origin(each) is Literal:
            words.append(" or ".join(map(repr, get_args(each))))
        elif each is not type(None):
            words.append(_MEANINGS.get(each, getattr(each, "__name__", str(each))))
    return " or ".join(words)


def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=lambda array: array.tolist())


def _sentence(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
