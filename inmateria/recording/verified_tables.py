"""Tables of a recording's file; the one way to read them, which verifies all that it returns."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from inmateria.recording.checksums import RunningChecksum, checksum, sealed_rows
from inmateria.recording.format import CHECK, DATA, EXCHANGE, NOTE, Note, RecordingError, is_whole, note_of
from inmateria.recording.unclosed import UnclosedFile

_BATCH_BYTES = 8_000_000
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError)  # what h5py raises for a file that is damaged


class VerifiedTables:
    """Tables of an open recording of any version, read with their checksums.

    Attributes
    ----------
    exchanges : ndarray of void
        Rows of /exchanges up to the first one that refers to missing rows, damaged ones included.
    notes : list of Note
        Intact notes.
    announced : int
        Number of rows of /exchanges, incomplete ones included.
    damaged_rows : ndarray of bool, shape (exchanges,)
        Which rows of /exchanges are damaged themselves; in version 2, also those whose data are.
    damaged_notes : list of int
        Rows of /notes that are damaged, or whose text is.
    damaged_indexes : list of str
        Tables of which HDF5 cannot find all rows, although nothing is missing at the end of the file.

    Raises
    ------
    RecordingError
        If the tables are not those of that version, or cannot be read.
    """

    def __init__(self, file: h5py.File, path: Path, version: int, raw: UnclosedFile | None) -> None:
        self.path, self.version = path, version
        self._tables: dict[str, h5py.Dataset] = {name: file[name] for name in file}
        self._check_fields()
        self.damaged_indexes: list[str] = []
        there = {name: self._rows_there(table, raw) for name, table in self._tables.items()}
        self.announced = len(self._tables["exchanges"])
        rows = self._readable("exchanges", there["exchanges"])
        intact = sealed_rows(rows) if version > 2 else np.ones(len(rows), dtype=bool)
        count, damaged = _complete(rows, intact, there, may_be_cut=raw is not None)
        self.exchanges: npt.NDArray[np.void] = rows[:count]
        self.damaged_rows: npt.NDArray[np.bool_] = damaged
        self._ends: npt.NDArray[np.int64] | None = None
        self._checks = self._readable("checks", there["checks"]) if version > 2 else np.empty(0, dtype=CHECK)
        self._checks = self._checks[sealed_rows(self._checks)]
        self._running: dict[str, RunningChecksum] = {}
        if version == 2:
            self._running = self._running_of_version_2()
        self.damaged_notes: list[int] = []
        self.notes = self._read_notes(there)

    def dtype(self, table: str) -> np.dtype[Any]:
        """Return the data type of the rows of a table."""
        dtype: np.dtype[Any] = self._tables[table].dtype
        return dtype

    def scale(self) -> npt.NDArray[np.float64] | None:
        """Return the attribute `scale` of /signal."""
        scale = self._tables["signal"].attrs.get("scale")
        return None if scale is None else np.asarray(scale, dtype=np.float64)

    def rows(self, table: str, first: int, last: int) -> npt.NDArray[Any]:
        """Read rows of a table of data, verified.

        Besides them, at most 256 KiB or the exchanges that they lie in are read.

        Raises
        ------
        RecordingError
            If they, or rows beside them, are damaged; the message says which exchanges are.
        """
        try:
            return self._verified(table, first, last)
        except _Damaged as damaged:
            raise RecordingError(self._told(damaged)) from None

    def damaged_exchanges(self) -> list[int]:
        """Read all data, and return the exchanges that are damaged."""
        found = []
        for first, last in self.batches():
            found += self._damaged_among(first, last)
        return found

    def _damaged_among(self, first: int, last: int) -> list[int]:
        if not self._is_damaged(first, last):
            return []
        if last - first == 1:
            return [first]
        middle = (first + last) // 2
        return self._damaged_among(first, middle) + self._damaged_among(middle, last)

    def batches(self, first: int = 0) -> Iterator[tuple[int, int]]:
        """Yield ranges of exchanges of about 8 MB, at least one exchange each, from `first` on."""
        if self._ends is None:
            sizes = np.full(len(self.exchanges), 500, dtype=np.int64)
            for table, (_, count, _) in DATA.items():
                counts = np.where(self.damaged_rows, 0, self.exchanges[count].astype(np.int64))
                sizes += counts * _row_bytes(self._tables[table])
            self._ends = np.cumsum(sizes)
        while first < len(self._ends):
            before = int(self._ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(self._ends, before + _BATCH_BYTES, side="right")))
            yield first, last
            first = last

    def check(self, *, in_detail: bool = True) -> None:
        """Raise `RecordingError` if anything of what was read on opening is damaged; see `Recording.check`."""
        if self.damaged_rows.any() or self.damaged_notes or self.damaged_indexes:
            raise RecordingError(self._told(None) if in_detail else f"{self.path} is damaged")

    def _told(self, damaged: "_Damaged | None") -> str:
        bad, total = self.damaged_exchanges(), len(self.exchanges)
        what = [f"exchange{'s' if len(bad) > 1 else ''} {ranges(bad)}"] if bad else []
        if self.damaged_notes:
            what.append(f"note{'s' if len(self.damaged_notes) > 1 else ''} {ranges(self.damaged_notes)}")
        if self.damaged_indexes:
            what.append(f"the index of {', '.join(self.damaged_indexes)}")
        if not what:
            what.append(str(damaged))
        return (
            f"{self.path} is damaged: {' and '.join(what)}; {total - len(bad):,} of its {total:,} exchanges are whole; "
            "`inmateria recover FILE -o NEW` copies them to a new recording"
        )

    def _is_damaged(self, first: int, last: int) -> bool:
        if self.damaged_rows[first:last].any():
            return True
        rows = self.exchanges[first:last]
        try:
            for table, (begin, count, _) in DATA.items():
                self._verified(table, int(rows[begin][0]), int(rows[begin][-1]) + int(rows[count][-1]))
        except _Damaged:
            return True
        return False

    def _verified(self, table: str, first: int, last: int) -> npt.NDArray[Any]:
        """Read rows, and others up to the next known values of the running checksum, and compare it."""
        if last <= first:
            return self._read(table, 0, 0)
        if self.version < 2:
            return self._read(table, first, last)
        if table not in self._running:
            self._running[table] = self._running_of(table)
        around = self._running[table].around(first, last)
        if around is None:
            raise _Damaged(f"rows {first} to {last - 1} of /{table} have no checksum")
        begin, end, value, expected = around
        try:
            data = self._read(table, begin, end)
        except RecordingError as error:
            raise _Damaged(str(error)) from None
        if checksum(data, start=value) != expected:
            raise _Damaged(f"rows {begin} to {end - 1} of /{table} do not match their checksum")
        return data[first - begin : last - begin]

    def _running_of(self, table: str) -> RunningChecksum:
        first, count, check = DATA[table]
        rows = self.exchanges[~self.damaged_rows] if self.damaged_rows.any() else self.exchanges
        within = self._checks[self._checks["table"] == list(DATA).index(table)]
        return RunningChecksum.of([(rows[first] + rows[count], rows[check]), (within["rows"], within["value"])])

    def _running_of_version_2(self) -> dict[str, RunningChecksum]:
        """Verify all exchanges of a recording of version 2, and return running checksums as version 3 has them."""
        before, values = ({table: np.zeros(len(self.exchanges), dtype=np.uint32) for table in DATA} for _ in range(2))
        running = dict.fromkeys(DATA, 0)
        for index, row in enumerate(self.exchanges):
            try:
                data = {
                    table: self._read(table, int(row[first]), int(row[first]) + int(row[count]))
                    for table, (first, count, _) in DATA.items()
                }
            except RecordingError:
                self.damaged_rows[index] = True
                continue
            self.damaged_rows[index] = not is_whole(row, *data.values())
            for table, some in data.items():
                before[table][index] = running[table]
                running[table] = values[table][index] = checksum(some, start=running[table])
        good = ~self.damaged_rows
        rows = self.exchanges
        return {
            table: RunningChecksum.of(
                [((rows[first] + rows[count])[good], values[table][good]), (rows[first][good], before[table][good])]
            )
            for table, (first, count, _) in DATA.items()
        }

    def _read(self, table: str, first: int, last: int) -> npt.NDArray[Any]:
        try:
            data: npt.NDArray[Any] = self._tables[table][first:last]
        except _UNREADABLE as error:
            raise RecordingError(
                f"{self.path} is damaged: rows {first} to {last - 1} of /{table} cannot be read as HDF5 ({error})"
            ) from None
        return data

    def _readable(self, name: str, count: int) -> npt.NDArray[Any]:
        """Read the first rows of a table; zeros, which match no checksum, in place of those that HDF5 cannot read."""
        try:
            return self._read(name, 0, count)
        except RecordingError:
            rows = np.zeros(count, dtype=self._tables[name].dtype)
            size = self._tables[name].chunks[0]
            for first in range(0, count, size):
                with suppress(RecordingError):
                    rows[first : first + size] = self._read(name, first, min(count, first + size))
            return rows

    def _check_fields(self) -> None:
        """Raise if the tables are not those of the version."""
        needed = {"exchanges", *DATA} | ({"notes", "text"} if self.version > 1 else set())
        needed |= {"checks"} if self.version > 2 else set()
        fields = set(EXCHANGE.names or ()) - ({check for *_, check in DATA.values()} if self.version < 3 else set())
        fields -= {"check"} if self.version < 2 else set()
        there = set(self._tables)
        if there != needed or set(self._tables["exchanges"].dtype.names or ()) != fields:
            raise RecordingError(
                f"{self.path} is damaged: it says that it is of version {self.version}, but its tables are not"
            )

    def _rows_there(self, table: h5py.Dataset, raw: UnclosedFile | None) -> int:
        """Return the number of rows of a table, from the first on, that lie within the file."""
        if raw is None:
            return len(table)
        places: dict[int, tuple[int, int]] = {}

        def see(chunk: Any) -> None:
            places[chunk.chunk_offset[0]] = (chunk.byte_offset, chunk.size)

        raw.missed = False
        try:
            table.id.chunk_iter(see)
        except (OSError, RuntimeError):
            if not raw.missed:  # nothing is missing, so that the index itself is damaged or being written
                self.damaged_indexes.append(table.name)
                return len(table)
        row, count = _row_bytes(table), 0
        while count < len(table) and count in places:
            begin, length = places[count]
            if table.compression is None:
                fit = max(0, raw.there - begin) // row
            else:
                fit = table.chunks[0] if begin + length <= raw.there else 0
            fit = min(fit, table.chunks[0], len(table) - count)
            count += fit
            if fit < table.chunks[0]:
                break
        return count

    def _read_notes(self, there: dict[str, int]) -> list[Note]:
        if self.version < 2:
            return []
        rows, text = self._readable("notes", there["notes"]), self._readable("text", there["text"])
        notes = []
        for number, row in enumerate(rows):
            end = int(row["first_byte"]) + int(row["bytes"])
            words = text[int(row["first_byte"]) : end]
            if rows.dtype == NOTE and is_whole(row, words):
                notes.append(note_of(row, words.tobytes()))
            elif end > there["text"] and there["text"] < len(self._tables["text"]):
                break  # the file ends before its text
            else:
                self.damaged_notes.append(number)
        return notes


def ranges(numbers: list[int], most: int = 12) -> str:
    """Return numbers in words, ascending ones joined to ranges, with a count of those beyond the first ranges."""
    joined: list[list[int]] = []
    for number in numbers:
        if joined and number == joined[-1][1] + 1:
            joined[-1][1] = number
        else:
            joined.append([number, number])
    words = [str(a) if a == b else f"{a} to {b}" for a, b in joined[:most]]
    more = sum(b - a + 1 for a, b in joined[most:])
    return ", ".join(words) + (f" and {more} more" if more else "")


def _complete(
    rows: npt.NDArray[np.void], intact: npt.NDArray[np.bool_], there: dict[str, int], *, may_be_cut: bool
) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return the number of rows of /exchanges up to those that refer to missing rows, and which of them are damaged.

    In a file that was not closed, rows from some row on may refer to rows that are missing, or be zeros that were never
    written.
    """
    good = intact & (rows["steps"] > 0)
    for table, (first, size, _) in DATA.items():
        good &= (rows[first] <= there[table]) & (rows[size] <= there[table] - np.minimum(rows[first], there[table]))
    count = len(rows)
    if may_be_cut:
        written = np.flatnonzero(good | (~intact & (rows["steps"] > 0)))
        count = int(written[-1]) + 1 if len(written) else 0
    return count, ~good[:count]


def _row_bytes(table: h5py.Dataset) -> int:
    return int(table.dtype.itemsize * np.prod(table.shape[1:], dtype=int))


class _Damaged(Exception):
    """Rows of a table do not match their checksum."""
