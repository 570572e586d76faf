"""Reading of `.npy`, `.npz`, `.mat` and Parquet files as columns of numbers, without running any code.

Shapes are looked at before data is read, and objects (pickles) are never loaded.
"""

import math
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from inmateria.recording.format import RecordingError
from inmateria.recording.formats.columns import ColumnTable, split_unit
from inmateria.recording.formats.memory import check_fits

Array = npt.NDArray[Any]

_MOST_ARRAYS = 10_000
_FLOAT64_INTEGERS = 2**53


def read_array_table(path: Path) -> ColumnTable:
    """Read the arrays of a file as columns.

    One-dimensional arrays, and those with a single row or column, are columns; a two-dimensional array has a column
    for each series of the common length. All must have one length.

    Raises
    ------
    RecordingError
        If the file is damaged, holds no numbers, or arrays of different lengths, or is too large for the memory.
    """
    with path.open("rb") as file:
        head = file.read(128)
    try:
        if head.startswith(b"\x93NUMPY"):
            arrays, source = _npy(path), "NumPy array"
        elif head.startswith(b"PK"):
            arrays, source = _npz(path), "NumPy arrays (.npz)"
        elif head.startswith(b"PAR1"):
            return _parquet(path)
        elif head.startswith(b"MATLAB 7.3"):
            arrays, source = _matlab_73(path), "MATLAB 7.3 arrays"
        else:
            arrays, source = _matlab(path), "MATLAB arrays"
    except RecordingError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # each library has errors of its own for a damaged file
        raise RecordingError(f"{path} cannot be read ({type(error).__name__}: {error}); it may be damaged") from error
    return _table(path, *arrays, source)


def _npy(path: Path) -> tuple[dict[str, Array], list[str]]:
    with path.open("rb") as file:
        _check_header(path, file, path.stat().st_size, "the array")
    data = np.load(path, allow_pickle=False)
    return _fields("x", data), []


def _check_header(path: Path, file: IO[bytes], size: int, name: str) -> None:
    """Look at the header of an array of numpy's in a stream of `size` bytes."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise RecordingError(f"{path}: {name} is of version {version} of the format; 1.0 and 2.0 are read")
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise RecordingError(
            f"{path}: {name} holds objects of Python (a pickle), which could run code and are not read; "
            "save arrays of numbers"
        )
    declared = math.prod(int(each) for each in shape) * dtype.itemsize
    check_fits(path, declared)
    if declared != size - file.tell():
        raise RecordingError(
            f"{path}: {name} declares {declared:,} bytes and has {size - file.tell():,}; the file is damaged"
        )


def _npz(path: Path) -> tuple[dict[str, Array], list[str]]:
    arrays: dict[str, Array] = {}
    left: list[str] = []
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
        if len(members) > _MOST_ARRAYS:
            raise RecordingError(f"{path} has {len(members):,} arrays; at most {_MOST_ARRAYS:,} are read")
        check_fits(path, sum(each.file_size for each in members))
        for each in members:
            name = each.filename.removesuffix(".npy")
            if name == each.filename:
                left.append(f"{each.filename!r}, which is no array")
                continue
            with file.open(each) as stream:
                _check_header(path, stream, each.file_size, name)
            with file.open(each) as stream:
                arrays |= _fields(name, np.lib.format.read_array(stream, allow_pickle=False))
    return arrays, left


def _fields(name: str, data: Array) -> dict[str, Array]:
    """Return the fields of a structured array as arrays."""
    if data.dtype.names is None:
        return {name: data}
    return {field: data[field] for field in data.dtype.names}


_MATLAB_NUMBERS = {
    "double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "logical",
}  # fmt: skip


def _matlab(path: Path) -> tuple[dict[str, Array], list[str]]:
    from scipy.io import loadmat, whosmat

    there = whosmat(str(path))
    if strange := [name for name, shape, _ in there if min(shape, default=0) < 0]:
        raise RecordingError(f"{path}: {strange[0]!r} has a negative size; the file is damaged")
    numbers = [name for name, shape, kind in there if kind in _MATLAB_NUMBERS]
    check_fits(path, sum(8.0 * math.prod(map(float, shape)) for _, shape, kind in there))
    left = [f"variable {name!r} of class {kind}" for name, _, kind in there if kind not in _MATLAB_NUMBERS]
    held = loadmat(str(path), variable_names=numbers, struct_as_record=True) if numbers else {}
    return {name: np.asarray(held[name]) for name in numbers}, left


def _matlab_73(path: Path) -> tuple[dict[str, Array], list[str]]:
    import h5py

    arrays: dict[str, Array] = {}
    left: list[str] = []
    with h5py.File(path, "r") as file:
        for name, item in file.items():
            if name.startswith("#"):
                continue
            kind = item.attrs.get("MATLAB_class", b"")
            kind = kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)
            empty = bool(item.attrs.get("MATLAB_empty", 0))
            if isinstance(item, h5py.Dataset) and kind in _MATLAB_NUMBERS and item.dtype.kind in "biuf" and not empty:
                arrays[name] = item[()].T
            else:
                left.append(f"variable {name!r} of class {kind or 'none'}")
    return arrays, left


def _parquet(path: Path) -> ColumnTable:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise RecordingError(
            f'{path} is a Parquet file, which is read with pyarrow: pip install "inmateria[parquet]"'
        ) from None
    with path.open("rb") as handle:
        file = pq.ParquetFile(handle)
        rows = file.metadata.num_rows
        check_fits(path, 8.0 * rows * len(file.schema_arrow))
        arrays: dict[str, Array] = {}
        left: list[str] = []
        for column in file.schema_arrow:
            kind = column.type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
                left.append(f"column {column.name!r} of type {kind}")
                continue
            # By batches, since a page of a few bytes may stand for any number of values.
            parts, count = [], 0
            for batch in file.iter_batches(batch_size=65_536, columns=[column.name]):
                part = batch.column(0)
                count += len(part)
                if count > rows:
                    raise RecordingError(f"{path}: column {column.name!r} has more than the {rows} rows declared")
                part = part.cast(pa.int8()) if pa.types.is_boolean(kind) else part
                if part.null_count and pa.types.is_integer(kind):
                    part = part.cast(pa.float64())  # an error if float64 does not hold it
                parts.append(part.to_numpy(zero_copy_only=False))
            arrays[column.name] = np.concatenate(parts) if parts else np.empty(0)
    return _table(path, arrays, left, "Parquet")


def _table(path: Path, arrays: Mapping[str, Array], left: list[str], source: str) -> ColumnTable:
    """Lay arrays side by side."""
    numbers: dict[str, Array] = {}
    lost = list(left)
    for name, data in arrays.items():
        if data.dtype.kind not in "biuf":
            lost.append(f"{name!r} of type {data.dtype}")
        elif data.dtype.itemsize > 8:
            raise RecordingError(f"{path}: {name!r} is of type {data.dtype}; float64 does not hold it; convert it")
        elif data.size == 1 and data.ndim != 1:
            lost.append(f"{name!r}, a single number ({data.ravel()[0]})")
        elif data.ndim > 2 or data.ndim == 0 or not data.size:
            lost.append(f"{name!r} of shape {data.shape}")
        else:
            numbers[name] = data
    if not numbers:
        raise RecordingError(
            f"{path} has no columns of numbers" + (f"; there are: {'; '.join(lost[:8])}" if lost else "")
        )
    vectors = {name: data.size for name, data in numbers.items() if data.ndim == 1 or 1 in data.shape}
    lengths = set(vectors.values())
    if not lengths:
        lengths = {data.shape[0] for data in numbers.values()}
    if len(lengths) > 1:
        shapes = ", ".join(f"{name} {data.shape}" for name, data in numbers.items())
        raise RecordingError(f"{path} has arrays of different lengths: {shapes}; save those of one length in a file")
    (length,) = lengths
    columns: dict[str, Array] = {}
    for name, data in numbers.items():
        if name in vectors:
            columns[name] = data.reshape(-1)
            continue
        if data.shape[0] == data.shape[1] == length:
            raise RecordingError(
                f"{path}: {name!r} has as many rows as columns ({length}), of which either may be samples; "
                "save each column as an array of its own"
            )
        if length not in data.shape:
            raise RecordingError(f"{path}: {name!r} has shape {data.shape}; other arrays have {length} samples")
        upright = data if data.shape[0] == length else data.T
        if len(numbers) == 1:
            name = "column"
        columns |= {f"{name} {k + 1}": upright[:, k] for k in range(upright.shape[1])}
    names, units = [], []
    for name, data in columns.items():
        unit = None
        short = name
        with suppress(ValueError):
            short, unit = split_unit(name)
        names.append(short)
        units.append(unit)
        if data.dtype.kind in "iu" and ((data > _FLOAT64_INTEGERS) | (data < -_FLOAT64_INTEGERS)).any():
            lost.append(f"digits of {short} beyond float64")
    if twice := [name for name in names if names.count(name) > 1]:
        raise RecordingError(f"{path}: column {twice[0]} is repeated; names must be unique")
    values = np.column_stack([data.astype(np.float64) for data in columns.values()])
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise RecordingError(
            f"{path}: {names[column]} is infinite at sample {row}; only finite numbers and NaN are read"
        )
    return ColumnTable(tuple(names), tuple(units), values, source, np.arange(1, length + 1), tuple(lost))
