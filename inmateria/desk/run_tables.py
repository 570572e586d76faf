"""Tables of runs: a row a run, columns chosen, filtered, sorted, and written as CSV, JSON or Parquet."""

import csv
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inmateria.desk.summaries import RunSummary, uri_parameters

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Row", "differing", "filtered", "row_of", "rows_of", "runs_to_pandas", "sorted_by", "write_table"]

Row = dict[str, Any]
"""Columns by name. A setting's name begins with ``settings.``, a parameter of the URI's with ``on.``, one of the
substrate's with ``parameters.``, a version's with ``versions.``."""

OUTCOME = ("score", "score_sd", "control", "control_score", "gain", "gain_sd")
_ORIGINS = ("settings.", "on.", "parameters.", "versions.")
_CONDITION = re.compile(r"\s*([\w.\-]+)\s*(<=|>=|!=|==|=|<|>|~)\s*(.*?)\s*\Z")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def row_of(run: RunSummary) -> Row:
    """Return a run as a row; see `Row` for the names of its columns."""
    gain = run.gain
    row: Row = {
        "run": run.name,
        "task": run.task,
        "created": run.created,
        "on": run.on,
        "over": run.over,
        "device": run.device,
        "kind": run.kind,
        "readout": gain.readout,
        "metric": run.metric,
        "score": gain.score,
        "score_sd": gain.score_sd,
        "control": gain.control,
        "control_score": gain.control_score,
        "gain": gain.gain,
        "gain_sd": gain.gain_sd,
        "chance": run.chance,
        "exchanges": run.exchanges,
        "steps": run.steps,
        "seconds": run.seconds,
        "keep": run.keep,
        "part": run.part,
    }
    for origin, values in (
        ("settings.", run.settings),
        ("on.", uri_parameters(run.on)),
        ("parameters.", run.parameters),
        ("versions.", run.versions),
    ):
        row |= {f"{origin}{name}": value for name, value in values.items()}
    return row


def rows_of(runs: Iterable[RunSummary]) -> list[Row]:
    """Return a row for each run."""
    return [row_of(run) for run in runs]


def differing(rows: Sequence[Row], origins: Sequence[str] = ("settings.", "on.")) -> list[str]:
    """Return the columns of these origins in which the rows differ, in the order in which they appear.

    A row without a column differs from those that have it.
    """
    names = dict.fromkeys(name for row in rows for name in row if name.startswith(tuple(origins)))
    absent = object()
    return [name for name in names if len({repr(row.get(name, absent)) for row in rows}) > 1]


def column_named(name: str, rows: Sequence[Row]) -> str:
    """Return the column that a name means: itself, or the one that it is short for (``amplitude``, ``wires``).

    Raises
    ------
    ValueError
        If no row has it; the message lists those there are.
    """
    known = dict.fromkeys(each for row in rows for each in row)
    for candidate in (name, *(f"{origin}{name}" for origin in _ORIGINS)):
        if candidate in known:
            return candidate
    short = [each.split(".", 1)[1] if each.startswith(_ORIGINS[:2]) else each for each in known]
    there = ", ".join(each for each in dict.fromkeys(short) if not each.startswith(_ORIGINS))
    raise ValueError(f"no run has {name!r}; there are {there}")


def filtered(rows: Sequence[Row], conditions: Iterable[str]) -> list[Row]:
    """Return the rows that meet every condition, such as ``amplitude=.1``, ``gain>0`` or ``device~nanowire-*``.

    Numbers are compared as numbers, everything else as text; ``~`` compares with a pattern of ``*`` and ``?``. A row
    without the column, or without a value in it, meets only ``!=``.

    Raises
    ------
    ValueError
        If a condition is not one, or names a column that no row has.
    """
    left = list(rows)
    for condition in conditions:
        found = _CONDITION.match(condition)
        if found is None:
            raise ValueError(f"{condition!r} is not a condition; give NAME=VALUE, or one of != < <= > >= ~ between")
        name, sign, wanted = found.groups()
        column = column_named(name, rows) if rows else name
        left = [row for row in left if _meets(row.get(column), sign, wanted)]
    return left


def _meets(value: Any, sign: str, wanted: str) -> bool:
    if value is None:
        return sign == "!="
    if sign == "~":
        return fnmatchcase(str(value), wanted)
    if isinstance(value, bool):
        value = str(value).lower()
        return _OPERATORS[sign](value, wanted.lower())
    try:
        return _OPERATORS[sign](float(value), float(wanted))
    except (TypeError, ValueError):
        return _OPERATORS[sign](str(value), wanted)


def sorted_by(rows: Sequence[Row], name: str) -> list[Row]:
    """Return the rows in the order of a column, ``-NAME`` for the largest first; rows without it come last.

    Raises
    ------
    ValueError
        If no row has the column.
    """
    down = name.startswith("-")
    column = column_named(name.removeprefix("-"), rows) if rows else name
    with_value = [row for row in rows if row.get(column) is not None]
    number = all(isinstance(row[column], int | float) for row in with_value)
    ordered = sorted(with_value, key=lambda row: row[column] if number else _natural(str(row[column])), reverse=down)
    return ordered + [row for row in rows if row.get(column) is None]


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Return a key by which 9 comes before 10 inside text."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts)]


def write_table(rows: Sequence[Row], path: Path) -> None:
    """Write rows to a file whose ending says the format: .csv, .json or .parquet.

    Raises
    ------
    ValueError
        If the ending is another.
    ImportError
        If it is .parquet and pyarrow is not installed.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif path.suffix == ".parquet":
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise ImportError(
                "Parquet needs pyarrow; pip install 'inmateria[parquet]', or write a .csv or .json"
            ) from None
        parquet.write_table(pyarrow.table({name: _column(rows, name) for name in columns}), path)
    else:
        raise ValueError(f"{path} ends with {path.suffix!r}; allowed are .csv, .json and .parquet")


def _column(rows: Sequence[Row], name: str) -> list[Any]:
    """Return a column of one type: text where rows have values of different types, lists as text."""
    values = [row.get(name) for row in rows]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values] if float in kinds else values
    if len(kinds) == 1 and kinds <= {str, bool}:
        return values
    return [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]


def runs_to_pandas(runs: Iterable[RunSummary | Mapping[str, Any]]) -> "pd.DataFrame":
    """Return runs, or rows, as a data frame.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("data frames need pandas; pip install pandas") from None
    return pd.DataFrame([row_of(run) if isinstance(run, RunSummary) else dict(run) for run in runs])
