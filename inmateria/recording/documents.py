"""JSON documents of a recording, in which numbers that are not finite are kept.

JSON has no NaN and no infinities. They are written as in MongoDB Extended JSON 2.0, ``{"$numberDouble": "NaN"}``
(mongodb.com/docs/manual/reference/mongodb-extended-json).
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

_KEY = "$numberDouble"
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any, *, other: Callable[[Any], Any] | None = None) -> bytes:
    """Return a value as a JSON document; `from_json` is the inverse.

    Parameters
    ----------
    value : object
    other : callable, optional
        Called for parts that are neither JSON values nor of numpy, such as ``str``; they are an error by default.

    Raises
    ------
    ValueError
        If a part of it cannot be represented in JSON.
    """
    try:
        return msgspec.json.encode(_marked(msgspec.to_builtins(value, enc_hook=lambda part: _plain(part, other))))
    except (TypeError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError(f"a value cannot be represented in JSON ({error})") from None


def from_json(document: bytes | str) -> Any:
    """Return the value of a JSON document.

    Raises
    ------
    msgspec.DecodeError
        If it is not one.
    """
    return _unmarked(msgspec.json.decode(document))


def _marked(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_KEY: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, dict):
        if list(value) == [_KEY]:
            raise ValueError(f"a dict has {_KEY!r} as its only key, which stands for a number; give it another name")
        return {_key(key): _marked(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(each) for each in value]
    return value


def _key(key: Any) -> Any:
    if isinstance(key, float) and not math.isfinite(key):
        raise ValueError(f"a dict has the key {key}; JSON has no such key; give a string")
    return key


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and _KEY in value:
            word = value[_KEY]
            return _WORDS.get(word, value) if isinstance(word, str) else value
        return {key: _unmarked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    return value


def _plain(value: Any, other: Callable[[Any], Any] | None) -> Any:
    """Return numbers and arrays of numpy as JSON values, and anything else by `other`."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if other is None:
        raise TypeError(f"{value!r} is a {type(value).__name__}")
    return other(value)
