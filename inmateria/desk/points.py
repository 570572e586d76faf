"""The points of a sweep: every combination of substrates, settings and seeds, each with a digest of what it is."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from inmateria import __version__
from inmateria.protocols.data_parts import Part
from inmateria.protocols.task import Task

__all__ = ["Point", "expand_uri", "make_points", "values_of"]

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)\Z")
_SPACED = re.compile(r"(lin|log):(.+)\.\.(.+):(\d+)\Z")
_COMMA = re.compile(r"(?<!\\),")
_MOST = 1_000_000


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep.

    Parameters
    ----------
    task, on : str
        Name of the task, and URI of the substrate; empty for that of the task, or if its settings name its substrates.
    settings : dict
        All settings of the task, defaults included.
    part : {"test", "validation"}
        The data that are scored.
    version : str
        Version of inmateria for which the digest holds.
    """

    task: str
    on: str
    settings: dict[str, Any]
    part: Part = "test"
    version: str = __version__

    @property
    def digest(self) -> str:
        """Digest of task, URI, settings (with the seed), part and version: 20 hexadecimal digits."""
        fields = msgspec.structs.asdict(self)
        if self.part == "test":  # as of points that had none
            del fields["part"]
        text = msgspec.json.encode(fields, order="deterministic")
        return blake2b(text, digest_size=10).hexdigest()


def values_of(text: str) -> list[str]:
    r"""Return the values that a text lists: ``a,b,c``, ``0..19``, ``lin:0..1:5``, ``log:.001..1:7``, or mixed.

    A comma that is part of a value is written ``\,``.

    Raises
    ------
    ValueError
        If a range is empty, or its ends are not allowed.
    """
    values: list[str] = []
    for part in _COMMA.split(text):
        whole, spaced = _RANGE.match(part.strip()), _SPACED.match(part.strip())
        if whole:
            first, last = int(whole[1]), int(whole[2])
            if last < first or last - first >= _MOST:
                raise ValueError(f"the range {part} has no values, or more than {_MOST:,}; give FIRST..LAST")
            values += [str(number) for number in range(first, last + 1)]
        elif spaced:
            values += _spaced(part, spaced[1], spaced[2], spaced[3], int(spaced[4]))
        else:
            values.append(part.replace("\\,", ","))
    return values


def _spaced(part: str, kind: str, first: str, last: str, count: int) -> list[str]:
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise ValueError(f"{part!r} is not {kind}:FIRST..LAST:COUNT with numbers") from None
    if not (math.isfinite(low) and math.isfinite(high)) or not 1 <= count <= _MOST:
        raise ValueError(f"{part!r} needs finite ends and a count of 1 to {_MOST:,}")
    if kind == "log" and not (low > 0 and high > 0):
        raise ValueError(f"{part!r} is spaced by factors; its ends must be above 0")
    spaced = np.geomspace(low, high, count) if kind == "log" else np.linspace(low, high, count)
    between = [float(f"{value:.12g}") for value in spaced[1:-1].tolist()]  # .1 in place of .10000000000000002
    return [repr(value) for value in [low, *between, *([high] if count > 1 else [])]]


def expand_uri(uri: str) -> list[str]:
    r"""Return every URI that one with several values in its query stands for; a comma in a value is ``\,`` or %2C."""
    base, mark, query = uri.partition("?")
    if not mark:
        return [uri]
    each: list[list[str]] = []
    for part in query.split("&"):
        name, equals, text = part.partition("=")
        each.append([f"{name}={value}" for value in values_of(text)] if equals else [part])
    return [f"{base}?{'&'.join(chosen)}" for chosen in itertools.product(*each)]


def make_points(
    task: Task,
    on: Sequence[str],
    settings: Mapping[str, Sequence[Any]],
    seeds: int | None = None,
    part: Part = "test",
) -> list[Point]:
    """Make every point of a sweep, all settings checked.

    Parameters
    ----------
    task : Task
    on : sequence of str
        URIs, each with one or several values for its parameters; none for that of the task.
    settings : mapping of str to sequence
        Values of settings of the task.
    seeds : int, optional
        Number of seeds for every other combination, from the given or default one on.
    part : {"test", "validation"}
        The data that are scored.

    Returns
    -------
    list of Point
        Seeds vary fastest; equal points are one.

    Raises
    ------
    UnknownTask
        If the task has no such setting, or does not take a value.
    ValueError
        If there are too many points, no value for a setting, or seeds for a task without a seed.
    """
    chosen = {name: list(values) for name, values in settings.items()}
    for name, values in chosen.items():
        if not values:
            raise ValueError(f"no value is given for {name}; give at least one")
    if seeds is not None:
        chosen = _with_seeds(task, chosen, seeds)
    uris = [each for uri in on for each in expand_uri(uri)] if task.substrates is None and on else [""]
    count = len(uris) * math.prod(len(values) for values in chosen.values())
    if count > _MOST:
        raise ValueError(f"this sweep has {count:,} points; allowed are {_MOST:,}")
    combinations = [
        msgspec.to_builtins(task.settings_from(dict(zip(chosen, values, strict=True))))
        for values in itertools.product(*chosen.values())
    ]
    points = (Point(task=task.name, on=uri, settings=each, part=part) for uri in uris for each in combinations)
    return list({point.digest: point for point in points}.values())


def _with_seeds(task: Task, chosen: dict[str, list[Any]], seeds: int) -> dict[str, list[Any]]:
    fields = {field.name: field for field in msgspec.structs.fields(task.settings)}
    if "seed" not in fields:
        raise ValueError(f"{task.name} has no setting 'seed'; leave seeds out, or give seeds in the URI: seed=0..4")
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; give 1 or more")
    firsts = chosen.pop("seed", [fields["seed"].default])
    if len(firsts) > 1:
        raise ValueError("several values of seed are given, and a number of seeds; give one of the two")
    first = int(firsts[0])
    return chosen | {"seed": [first + k for k in range(seeds)]}
