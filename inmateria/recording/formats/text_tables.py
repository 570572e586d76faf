"""Reading of tables of text, whatever separator, decimal mark, encoding and heading they have.

Python's csv module takes lines apart; which separator and decimal mark a file has follows from its numbers alone: all
are tried on the whole file, and what leaves a single table of numbers is it. Where two tables are left the file is
refused, and the caller may state which. Nothing is guessed from a beginning of the file, and no value is replaced:
pandas and numpy, which read one dialect well, turn what does not fit into NaN or into text.
"""

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from inmateria.recording.formats.columns import ColumnTable, FloatArray, channel_unit, split_unit
from inmateria.recording.formats.memory import check_fits

SEPARATORS = {"tab": "\t", "semicolon": ";", "comma": ",", "space": " "}
DECIMALS = {"point": ".", "comma": ","}

_NUMBERS = {
    mark: re.compile(rf"[+-]?(?:[0-9]+(?:{sign}[0-9]{least})?|{sign}[0-9]+)(?:[eE][+-]?[0-9]+)?")
    for mark, sign, least in ((".", r"\.", "*"), (",", ",", "+"))
}
_MISSING = {"", "nan", "na", "n/a", "null", "none"}
_COMMENT = ("#", "%", "//")
_THOUSANDS = re.compile(r"[+-]?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})*|0)")
_COUNTS = "the first line counts from 0 or 1: it may be names or values; state which (--header or --no-header)"
_THOUSANDS_OR_DECIMAL = "its commas may be decimal or between thousands; state the decimal mark (--decimal)"
_ONE_COLUMN = "its commas may be decimal or between columns; state the separator and the decimal mark"
_MOST_COLUMNS = 100_000
_LINES_OF_TEXT = 2  # memory of a text and its lines, as a multiple of the file


class _Unfit(Exception):
    """A dialect does not fit: line and reason, and how many columns it had."""

    def __init__(self, line: int, why: str, width: int = 0) -> None:
        super().__init__(f"line {line}: {why}")
        self.got_to = (line, width)


@dataclass(frozen=True, eq=False, slots=True)
class _Read:
    """A file as one dialect has it."""

    separator: str
    decimal: str
    headings: tuple[str, ...] | None
    units: tuple[str, ...] | None
    values: FloatArray
    lines: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    rounded: tuple[int, ...]
    doubt: str

    def is_same(self, other: "_Read") -> bool:
        return self.headings == other.headings and np.array_equal(self.values, other.values, equal_nan=True)


def read_text_table(
    path: str | PathLike[str], *, separator: str | None = None, decimal: str | None = None, header: bool | None = None
) -> ColumnTable:
    """Read a table of numbers from a text file.

    Encodings are UTF-8, UTF-16 with a byte order mark, and Latin-1. Lines that begin with ``#``, ``%`` or ``//`` are
    comments. The first line is a heading if it does not consist of numbers, and a line of units may follow it.

    Parameters
    ----------
    path : path-like
    separator : {"comma", "semicolon", "tab", "space"}, optional
        By default the one that fits.
    decimal : {"point", "comma"}, optional
        By default the one that fits.
    header : bool, optional
        Whether the first line is a heading.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no table of numbers, or can be read as more than one; the message names the file and the line.
    """
    path = Path(path)
    for given, allowed in ((separator, SEPARATORS), (decimal, DECIMALS)):
        if given is not None and given not in allowed:
            raise ValueError(f"{given!r} was given; allowed are {', '.join(allowed)}")
    check_fits(path, path.stat().st_size * _LINES_OF_TEXT)
    text, encoding = _decoded(path)
    lines = list(enumerate(re.split(r"\r\n|\n|\r", text), 1))
    stated = re.fullmatch(r'"?sep=(.)"?', lines[0][1].strip("\ufeff")) if lines else None
    if stated:  # how Excel states it
        lines = lines[1:]
    blank = [number for number, line in lines if not line.strip()]
    of_tabs = [number for number, line in lines if "\t" in line and not line.strip()]
    comments = [(number, line) for number, line in lines if line.lstrip().startswith(_COMMENT)]
    lines = [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith(_COMMENT)]
    if not lines:
        raise ValueError(f"{path} has no line of numbers")
    wanted = [SEPARATORS[separator]] if separator else [stated[1]] if stated else list(SEPARATORS.values())
    marks = [DECIMALS[decimal]] if decimal else list(DECIMALS.values())
    found: list[_Read] = []
    failed: list[_Unfit] = []
    for each in wanted:
        for mark in marks:
            try:
                read = _read(lines, each, mark, header)
            except _Unfit as error:
                failed.append(error)
                continue
            if not any(read.is_same(other) for other in found):
                found.append(read)
    if not found:
        best = max(failed, key=lambda error: error.got_to)
        raise ValueError(f"{path}, {best}")
    read = _only(path, found, decimal)
    if np.isnan(read.values).all():
        raise ValueError(f"{path} has no line of numbers")
    between = [number for number in blank if read.lines[0] < number < read.lines[-1]]
    if read.values.shape[1] == 1 and between:
        raise ValueError(f"{path}, line {between[0]}: an empty line between numbers; write nan for a missing value")
    empty = [number for number in of_tabs if number > read.lines[0]]
    if read.separator == "\t" and read.values.shape[1] > 1 and empty:
        raise ValueError(f"{path}, line {empty[0]}: only tabs, a row without a value; write nan for missing values")
    return _table(path, read, comments, encoding)


def _decoded(path: Path) -> tuple[str, str]:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), "UTF-16"
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text: {error}") from None
    if strange := re.search(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]", data):
        raise ValueError(f"{path} is not text: it has the byte {strange[0][0]} at {strange.start()}")
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "Latin-1"


def _read(lines: Sequence[tuple[int, str]], separator: str, decimal: str, header: bool | None) -> _Read:
    """Read all lines in one dialect."""
    rows = _rows(lines, separator)
    number, first = next(rows)
    if len(first) > _MOST_COLUMNS:
        raise _Unfit(number, f"{len(first)} columns; at most {_MOST_COLUMNS} are read")
    is_number, missing = _NUMBERS[decimal].fullmatch, _MISSING
    numeric = all(is_number(word) or word.lower() in missing for word in first)
    headed = not numeric if header is None else header
    doubt = _COUNTS if header is None and numeric and _counts(first) else ""
    headings = tuple(first) if headed else None
    units: tuple[str, ...] | None = None
    values, at = array("d"), array("q")
    width = len(first)
    as_thousands, with_commas = True, False
    rounded: set[int] = set()
    pending = [] if headed else [(number, first)]
    for number, words in _chained(pending, rows):
        if headings is not None and not at and units is None and _are_units(words, width):
            units = tuple(words)
            continue
        if not at:
            width = len(words)
        if len(words) != width:
            raise _Unfit(
                number, f"{len(words)} values, where the lines before have {width}; it may be truncated", width
            )
        for column, word in enumerate(words):
            if is_number(word):
                value = float(word.replace(",", ".") if decimal == "," else word)
                if math.isinf(value):
                    raise _Unfit(number, f"{word!r} is beyond the range of float64", width)
                if len(word) > 15 and word.lstrip("+-").isdigit() and int(value) != int(word):
                    rounded.add(column)
                if decimal == ",":
                    with_commas |= "," in word
                    as_thousands &= _THOUSANDS.fullmatch(word) is not None
                values.append(value)
            elif word.lower() in missing:
                values.append(math.nan)
            else:
                raise _Unfit(
                    number, f"{word!r} is not a number" + (" (a decimal comma)" if decimal == "," else ""), width
                )
        at.append(number)
    if not at:
        raise _Unfit(number, "there are no numbers after the heading")
    table = np.frombuffer(values, dtype=np.float64).reshape(len(at), width)
    headings, table = _without_empty_end(headings, table)
    if headings is not None and len(headings) != table.shape[1]:
        raise _Unfit(int(at[0]), f"{table.shape[1]} values for {len(headings)} names; it may be truncated")
    if with_commas and as_thousands:
        doubt = doubt or _THOUSANDS_OR_DECIMAL
    if with_commas and width == 1 and not (headings and not any(sign in headings[0] for sign in ",;\t")):
        doubt = doubt or _ONE_COLUMN
    lines_read = np.frombuffer(at, dtype=np.int64)
    return _Read(separator, decimal, headings, units, table, lines_read, tuple(sorted(rounded)), doubt)


def _rows(lines: Sequence[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the words of each line."""
    if separator == " ":
        for number, line in lines:
            yield number, [word.strip('"') for word in line.split()]
        return
    reader = csv.reader((line for _, line in lines), delimiter=separator, strict=True, skipinitialspace=True)
    row = 0
    try:
        for words in reader:
            number = lines[row][0]
            if reader.line_num - row != 1:
                raise _Unfit(number, "a quotation mark is not closed")
            row = reader.line_num
            yield number, [word.strip() for word in words]
    except csv.Error as error:
        raise _Unfit(lines[min(row, len(lines) - 1)][0], str(error)) from None


def _chained(
    first: list[tuple[int, list[str]]], rest: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield from first
    yield from rest


def _counts(first: Sequence[str]) -> bool:
    """Return whether a first line of numbers may be names, as of data frames without any."""
    words = list(first[1:] if not first[0] else first)
    return len(words) > 1 and any(words == [str(k) for k in range(begin, begin + len(words))] for begin in (0, 1))


def _are_units(words: Sequence[str], width: int) -> bool:
    """Return whether a line below the heading has the units of the columns."""
    stripped = [word.strip("[]() ") for word in words]
    return len(words) == width and any(stripped) and all(
        not word or (not word[0].isdigit() and channel_unit(word) is not None) for word in stripped
    ) and not any(word.lower() == "nan" for word in words)  # fmt: skip


def _without_empty_end(
    headings: tuple[str, ...] | None, table: FloatArray
) -> tuple[tuple[str, ...] | None, FloatArray]:
    """Drop the column that a separator at the end of each line makes."""
    if headings is not None and len(headings) == table.shape[1] + 1 and not headings[-1]:
        return headings[:-1], table
    empty = table.shape[1] > 1 and bool(np.isnan(table[:, -1]).all())
    if empty and (headings is None or len(headings) == table.shape[1] - 1):
        return headings, table[:, :-1]
    if empty and headings is not None and len(headings) == table.shape[1] and not headings[-1]:
        return headings[:-1], table[:, :-1]
    return headings, table


def _only(path: Path, found: list[_Read], decimal: str | None) -> _Read:
    """Return the one table that a file can be."""
    wide = [read for read in found if read.values.shape[1] > 1]
    if wide and all(
        # One name for all, in which the other's separator stands as often as between its values, is no name.
        read in wide or (read.headings is not None and all(each.separator in read.headings[0].strip() for each in wide))
        for read in found
    ):
        found = wide
    if len(found) > 1:
        ways = "; ".join(
            f"{read.values.shape[1]} columns separated by {_name(SEPARATORS, read.separator)}, with a decimal "
            f"{_name(DECIMALS, read.decimal)}, beginning with {', '.join(f'{v:g}' for v in read.values[0][:4])}"
            for read in found
        )
        raise ValueError(
            f"{path} can be read in {len(found)} ways: {ways}; state the separator (--separator) or the "
            "decimal mark (--decimal)"
        )
    if (doubt := found[0].doubt) and (decimal is None or doubt == _COUNTS):
        raise ValueError(f"{path}: {doubt}")
    return found[0]


def _name(names: dict[str, str], mark: str) -> str:
    return next((name for name, each in names.items() if each == mark), repr(mark))


def _table(path: Path, read: _Read, comments: Sequence[tuple[int, str]], encoding: str) -> ColumnTable:
    width = read.values.shape[1]
    headings, told = read.headings, "names in the first line"
    if headings is None:
        headings, told = _names_in_comment(comments, read, int(read.lines[0])), "names in a comment"
    if headings is None:
        headings, told = ("",) * width, "no names"
    names, units = [], []
    for column, heading in enumerate(headings):
        try:
            name, unit = split_unit(heading) if heading else (f"column {column + 1}", None)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; state the unit of column {column + 1}") from None
        if read.units is not None and read.units[column]:
            unit = channel_unit(read.units[column].strip("[]() "))
        names.append(name)
        units.append(unit)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: column {twice[0]} is repeated; names must be unique")
    source = (
        f"text separated by {_name(SEPARATORS, read.separator)}, decimal {_name(DECIMALS, read.decimal)}, {told}, "
        f"{encoding}"
    )
    left = tuple(f"digits of {names[column]} beyond float64" for column in read.rounded if column < width)
    return ColumnTable(tuple(names), tuple(units), read.values, source, read.lines, left)


def _names_in_comment(comments: Sequence[tuple[int, str]], read: _Read, first: int) -> tuple[str, ...] | None:
    """Return the names in the last comment before the numbers, as numpy writes them."""
    above = [line for number, line in comments if number < first]
    if not above:
        return None
    words = above[-1].lstrip().lstrip("#%/").strip()
    split = words.split() if read.separator == " " else [word.strip() for word in words.split(read.separator)]
    wanted = len(split) == read.values.shape[1] > 1 and all(split) and len(set(split)) == len(split)
    if not wanted or any(_NUMBERS[read.decimal].fullmatch(word) for word in split):
        return None
    return tuple(split)
