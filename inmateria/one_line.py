"""Reprs of one line for records whose fields hold arrays, texts of a device, or other records."""

import dataclasses
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

__all__ = ["one_line", "shown_value"]

_MOST = 160
_OF_A_FIELD = 60
_ITEMS = 6


def one_line(record: Any) -> str:
    """Return a repr of a dataclass or a msgspec structure in one line of at most 160 characters.

    Numbers and short texts are written as they are, arrays by shape and data type, long containers by their length, and
    other records by their class. Fields that do not fit are left out at the end, which is marked by ``...``. To be used
    as ``__repr__ = one_line`` in the body of a class.
    """
    name = type(record).__name__
    line = f"{name}("
    for field in _fields(record):
        try:
            part = f"{field}={shown_value(getattr(record, field))}"
        except AttributeError:  # not set yet, as in a debugger within __init__
            continue
        separator = "" if line.endswith("(") else ", "
        if len(line) + len(separator) + len(part) > _MOST - len(", ...)"):
            return f"{line}{separator}...)"
        line += separator + part
    return line + ")"


def _fields(record: Any) -> list[str]:
    if dataclasses.is_dataclass(record):
        return [field.name for field in dataclasses.fields(record) if field.repr]
    return [name for name in record.__struct_fields__ if not name.startswith("_")]


def shown_value(value: Any, depth: int = 0) -> str:
    """Return a value as `one_line` writes it, in at most about 65 characters."""
    if isinstance(value, np.ndarray):
        kind = str(value.dtype) if value.dtype.names is None else f"rows of {', '.join(value.dtype.names)}"
        return f"<{_cut(kind)} {value.shape}>"
    if isinstance(value, str | bytes):
        return _cut(repr(value[:_OF_A_FIELD]) if len(value) <= _OF_A_FIELD else repr(value[: _OF_A_FIELD // 2]) + "...")
    if isinstance(value, bool | int | float | complex | np.generic | type(None)):
        return _cut(repr(value))
    if isinstance(value, Mapping | Set) or (isinstance(value, Sequence) and not isinstance(value, range)):
        return _container(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}(...)"
    if hasattr(value, "__struct_fields__") and not isinstance(value, type):
        return f"{type(value).__name__}(...)"
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return _cut(value.__qualname__)
    if (type(value).__repr__) is object.__dict__["__repr__"]:
        return f"<{type(value).__name__}>"
    return _cut(repr(value))


def _container(value: Any, depth: int) -> str:
    """Return a container with its items if they are few and short, else its length."""
    if depth < 1 and len(value) <= _ITEMS and not isinstance(value, Mapping):
        items = [shown_value(each, depth + 1) for each in value]
        left, right = ("[", "]") if isinstance(value, list) else ("{", "}") if isinstance(value, Set) else ("(", ")")
        shown = left + ", ".join(items) + ("," if right == ")" and len(items) == 1 else "") + right
        if len(shown) <= _OF_A_FIELD:
            return shown
    if isinstance(value, Mapping) and depth < 1 and len(value) <= _ITEMS:
        shown = "{" + ", ".join(f"{shown_value(key, 1)}: {shown_value(each, 1)}" for key, each in value.items()) + "}"
        if len(shown) <= _OF_A_FIELD:
            return shown
    return f"<{type(value).__name__} of {len(value)}>"


def _cut(text: str) -> str:
    """Put a text on one line, and cut it."""
    line = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    return line if len(line) <= _OF_A_FIELD + 5 else line[:_OF_A_FIELD] + "..."
