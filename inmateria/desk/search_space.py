"""The space of a search: settings and parameters of the URI, each with its range; also as reservoirpy writes it."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import inspect as types

from inmateria.desk.points import values_of
from inmateria.protocols.task import Task

__all__ = [
    "Dimension",
    "Space",
    "SpaceError",
    "dimensions",
    "make_dimension",
    "read_reservoirpy_space",
    "shown_value",
    "with_parameter",
]

_RANGE = re.compile(r"(?:(lin|log):)?([^:,]+?)\.\.([^:,]+)\Z")
_WHOLE = re.compile(r"[+-]?\d+\Z")
_DIGITS = 6


class SpaceError(ValueError):
    """A range is not one, or is of nothing that the task or its substrate has."""


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """A setting, or a parameter of the URI, and the values it may take.

    Parameters
    ----------
    name : str
        Name of a setting of the task, or ``on.`` and the name of a parameter of the substrate's URI.
    kind : {"number", "whole", "choice"}
    low, high : float
        Ends of the range, included.
    log : bool
        Whether equal factors count as equal distances.
    step : float, optional
        Distance of the values that are tried, from `low` on.
    choices : tuple
        Values of a choice.
    """

    name: str
    kind: Literal["number", "whole", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[str | float | bool, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if not self.choices:
                raise SpaceError(f"{self.name} has no values to choose from; give at least one")
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise SpaceError(f"{self.name} is from {self.low:g} to {self.high:g}; give finite ends, the lower first")
        if self.log and not self.low > 0:
            raise SpaceError(f"{self.name} is over factors from {self.low:g} on; its ends must be above 0")

    def value(self, proposed: Any) -> Any:
        """Return a proposed value as it is used and printed: a number of six digits within the range."""
        if self.kind == "choice":
            return proposed
        if self.kind == "whole":
            return int(proposed)
        return min(max(float(f"{proposed:.{_DIGITS}g}"), self.low), self.high)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """A space that was read from a file, with what else that says.

    Parameters
    ----------
    over : dict of str to Dimension
    fixed : dict
        Settings, or parameters of the URI, of one value.
    trials, seeds, seed : int, optional
    sampler : {"tpe", "random"}, optional
    """

    over: dict[str, Dimension] = {}
    fixed: dict[str, Any] = {}
    trials: int | None = None
    seeds: int | None = None
    seed: int | None = None
    sampler: str | None = None


def make_dimension(task: Task, name: str, given: Any) -> Dimension:
    """Make a dimension from a text such as ``log:.001..1``, ``50..400`` or ``a,b,c``, from (low, high), or from a list.

    Of a setting of whole numbers, values are whole; of a parameter of the URI, if both ends are written as whole
    numbers and not after ``lin:``.

    Parameters
    ----------
    task : Task
    name : str
        Of a setting, or ``on.`` and that of a parameter of the URI.
    given : str, tuple of two numbers, list, or Dimension

    Raises
    ------
    SpaceError
        If the task has no such setting, or that is no range.
    """
    whole = _is_whole(task, name)
    if isinstance(given, Dimension):
        return given
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(each, int | float) for each in given):
        both = all(isinstance(each, int) for each in given)
        kind: Literal["number", "whole"] = "whole" if (both if whole is None else whole) else "number"
        return Dimension(name=name, kind=kind, low=given[0], high=given[1])
    if isinstance(given, list | tuple | range):
        return Dimension(name=name, kind="choice", choices=tuple(given))
    found = _RANGE.match(str(given).strip())
    if found is None:
        choices = values_of(str(given))
        if len(choices) < 2:
            raise SpaceError(f"{name}={given} is no range; give LOW..HIGH, log:LOW..HIGH, lin:LOW..HIGH, or a,b,c")
        return Dimension(name=name, kind="choice", choices=tuple(choices))
    form, first, last = found.groups()
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise SpaceError(f"{name}={given}: {first!r} or {last!r} is no number") from None
    if whole is None:
        whole = form != "lin" and bool(_WHOLE.match(first.strip()) and _WHOLE.match(last.strip()))
    if whole and not (low.is_integer() and high.is_integer()):
        raise SpaceError(f"{name} is a whole number; {given} has ends that are not")
    return Dimension(name=name, kind="whole" if whole else "number", low=low, high=high, log=form == "log")


def _is_whole(task: Task, name: str) -> bool | None:
    """Return whether a setting takes whole numbers only; None for a parameter of the URI."""
    if name.startswith("on."):
        return None
    fields = {field.name: field for field in msgspec.structs.fields(task.settings)}
    if name not in fields:
        raise SpaceError(
            f"{task.name} has no setting {name!r}; it has {', '.join(fields)}. A parameter of the substrate is "
            f"written on.{name}"
        )
    if name == "seed":
        raise SpaceError("a search is not over seeds: every trial is run with each of --seeds of them")
    kind = types.type_info(fields[name].type)
    every = kind.types if isinstance(kind, types.UnionType) else (kind,)
    return any(isinstance(each, types.IntType) for each in every) and not any(
        isinstance(each, types.FloatType) for each in every
    )


def read_reservoirpy_space(path: Path, task: Task) -> Space:
    """Read the JSON file in which reservoirpy's ``research`` has its space.

    A name that is no setting of the task is taken as a parameter of the substrate's URI.

    Parameters
    ----------
    path : Path
        File with ``hp_space``, and perhaps ``hp_max_evals``, ``hp_method``, ``seed`` and ``instances_per_trial``.
    task : Task

    Raises
    ------
    SpaceError
        If it is not such a file, or has a distribution or method that is not searched here.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpaceError(f"{path} cannot be read as JSON ({error})") from None
    if not isinstance(given, dict) or not isinstance(given.get("hp_space"), dict):
        raise SpaceError(f"{path} has no hp_space; it must be a file as reservoirpy's research reads it")
    method = given.get("hp_method", "tpe")
    if method not in {"tpe", "random"}:
        raise SpaceError(f"{path} has the method {method!r}; searched here are 'tpe' and 'random'")
    settings = {field.name for field in msgspec.structs.fields(task.settings)}
    over: dict[str, Dimension] = {}
    fixed: dict[str, Any] = {}
    for written, specification in given["hp_space"].items():
        name = written if written in settings or written.startswith("on.") else f"on.{written}"
        if specification[:1] == ["choice"] and len(specification) == 2:
            fixed[name] = specification[1]
        elif name == "seed":
            raise SpaceError(f"{path}: a search is not over seeds; give one in hp_space, and instances_per_trial")
        else:
            over[name] = _of_hyperopt(name, specification)
    return Space(
        over=over,
        fixed=fixed,
        trials=given.get("hp_max_evals"),
        seeds=given.get("instances_per_trial"),
        seed=given.get("seed"),
        sampler=method,
    )


def _of_hyperopt(name: str, specification: Sequence[Any]) -> Dimension:
    """Make a dimension from a distribution of hyperopt, in reservoirpy's form: its name, then its arguments."""
    try:
        kind, *numbers = specification
        match kind, numbers:
            case "choice", choices:
                return Dimension(name=name, kind="choice", choices=tuple(choices))
            case "randint", [high]:
                return Dimension(name=name, kind="whole", low=0, high=high - 1)
            case "randint", [low, high]:
                return Dimension(name=name, kind="whole", low=low, high=high - 1)
            case "uniform" | "loguniform", [low, high]:
                return Dimension(name=name, kind="number", low=low, high=high, log=kind == "loguniform")
            case "quniform", [low, high, 1]:
                return Dimension(name=name, kind="whole", low=round(low), high=round(high))
            case "quniform", [low, high, step]:
                first, last = round(low / step) * step, round(high / step) * step
                return Dimension(name=name, kind="number", low=first, high=last, step=step)
            case "qloguniform", [low, high, 1]:
                return Dimension(name=name, kind="whole", low=max(1, round(low)), high=round(high), log=True)
    except (TypeError, ValueError) as error:
        raise SpaceError(f"{name} is {specification}: {error}") from None
    raise SpaceError(
        f"{name} is {specification}; read here are choice, randint, uniform, loguniform, quniform and, in steps of 1, "
        "qloguniform, each with its ends"
    )


def with_parameter(uri: str, name: str, value: Any) -> str:
    """Return a URI with a parameter of its query set to a value."""
    base, _, query = uri.partition("?")
    parts = [part for part in query.split("&") if part and part.partition("=")[0] != name]
    base = base if "://" in base else f"{base}://"
    return f"{base}?{'&'.join([*parts, f'{name}={shown_value(value)}'])}"


def shown_value(value: Any) -> str:
    """Write a value as it is written in a URI or on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def dimensions(task: Task, over: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Make the dimensions of a search; see `make_dimension`."""
    return tuple(make_dimension(task, name, given) for name, given in over.items())
