"""Files of fitted readouts: arrays in an ``.npz`` and a JSON header, read without running any code.

An ``.npz`` of numpy (a zip of ``.npy`` files, not compressed) with one more member, ``readout.json``: class, state,
versions, the device, and a SHA-256 of each array; the comment of the zip is the SHA-256 of that member. Any program
that reads zip and ``.npy`` can read it. What is damaged or does not fit together is refused.
"""

import hashlib
import io
import math
import os
import zipfile
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import inmateria
from inmateria.one_line import one_line
from inmateria.reservoir.readout_states import ReadoutFileError, readout_from_tree, tree_from_readout

__all__ = [
    "ReadoutFileError",
    "ReadoutHeader",
    "decode_readout",
    "encode_readout",
    "load_readout",
    "read_readout_header",
    "save_readout",
]

_FORMAT = "inmateria-readout"
_VERSION = 1
_HEADER = "readout.json"
_LINE = 64
"""Bytes of a cache line, with which arrays begin: some kernels are faster then."""


class ReadoutHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a readout's file.

    Parameters
    ----------
    format, version : str, int
    class_name : str
        Class of the readout; of the last step of a pipeline.
    features : int
        Number of features.
    feature_names : tuple of str or None
        Names of the features, if it was fitted with names.
    classes : tuple or None
        Classes of a classifier.
    device : str or None
        Identity of the device that it was fitted on, if that was given.
    versions : dict of str to str
        Versions of inmateria, numpy and scikit-learn that wrote it.
    arrays : dict of str to str
        SHA-256 of each array.
    readout : dict
        Class and state.
    """

    format: str
    version: int
    class_name: str
    features: int
    feature_names: tuple[str, ...] | None
    classes: tuple[str | int | float | bool, ...] | None
    device: str | None
    versions: dict[str, str]
    arrays: dict[str, str]
    readout: dict[str, Any]

    __repr__ = one_line


def save_readout(readout: Any, path: str | os.PathLike[str], *, device: str | None = None) -> None:
    """Write a fitted readout to a file; an existing file is replaced once the new one is whole.

    Parameters
    ----------
    readout : estimator
        Any readout of this package, or a pipeline of a `StandardScaler` and one.
    path : path-like
        Usually ``.npz``.
    device : str, optional
        Identity of the device that it was fitted on, ``info.id``.

    Raises
    ------
    ReadoutFileError
        If it is not fitted, or of another class.
    """
    target = Path(path)
    written = encode_readout(readout, device=device)
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}-", delete=False) as file:
        try:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def load_readout(path: str | os.PathLike[str], *, device: str | None = None) -> Any:
    """Return the readout of a file, which predicts and learns on bit for bit as the one that was saved.

    No code of the file is run, so its source need not be trusted.

    Parameters
    ----------
    path : path-like
    device : str, optional
        Identity of the device that it is to be used on; it must be that in the file.

    Raises
    ------
    ReadoutFileError
        If the file is damaged or not that of a readout of this version, or the device is another.
    OSError
        If the file cannot be read.
    """
    return decode_readout(Path(path).read_bytes(), device=device, name=str(path))


def read_readout_header(path: str | os.PathLike[str]) -> ReadoutHeader:
    """Return the header of a readout's file.

    Raises
    ------
    ReadoutFileError
        If the file is damaged or not that of a readout.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _header_of(archive)
    except _DAMAGE as error:
        raise _damaged(str(path), error) from None


def encode_readout(readout: Any, *, device: str | None = None) -> bytes:
    """Return the bytes of a readout's file; see `save_readout`."""
    import sklearn

    members: dict[str, bytes] = {}

    def keep(array: npt.NDArray[Any]) -> str:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
        name = f"array-{len(members)}"
        members[name] = buffer.getvalue()
        return name

    tree = tree_from_readout(readout, keep)
    last = readout.steps[-1][1] if hasattr(readout, "steps") else readout
    first = readout.steps[0][1] if hasattr(readout, "steps") else readout
    names, classes = getattr(first, "feature_names_in_", None), getattr(last, "classes_", None)
    header = ReadoutHeader(
        format=_FORMAT,
        version=_VERSION,
        class_name=type(last).__name__,
        features=int(first.n_features_in_),
        feature_names=None if names is None else tuple(names.tolist()),
        classes=None if classes is None else tuple(classes.tolist()),
        device=device,
        versions={"inmateria": inmateria.__version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__},
        arrays={name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
        readout=tree,
    )
    encoded = msgspec.json.encode(header)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {_HEADER: encoded, **{f"{name}.npy": data for name, data in members.items()}}.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # without the time, so that equal readouts are equal files
        archive.comment = hashlib.sha256(encoded).hexdigest().encode()
    return buffer.getvalue()


def decode_readout(written: bytes, *, device: str | None = None, name: str = "the readout") -> Any:
    """Return the readout that `encode_readout` wrote; see `load_readout`.

    Parameters
    ----------
    written : bytes
    device : str, optional
    name : str
        Name of the source, for messages.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(written)) as archive:
            header = _header_of(archive)
            arrays = {each: _array_of(archive, f"{each}.npy", sha) for each, sha in header.arrays.items()}
        readout = readout_from_tree(header.readout, arrays.pop)
        if arrays:
            raise ReadoutFileError("there are arrays that no attribute uses")
    except _DAMAGE as error:
        raise _damaged(name, error) from None
    if device is not None and header.device != device:
        raise ReadoutFileError(
            f"{name} was fitted on {header.device or 'a device that the file does not name'}, and is to be used on "
            f"{device}; weights hold for the one device they were fitted on; load it without a device if you know "
            "better, or carry it over with `inmateria.devices.transfer`"
        )
    return readout


_DAMAGE = (
    zipfile.BadZipFile, msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError,
    RuntimeError, EOFError, OverflowError, MemoryError, IndexError, SyntaxError,
)  # fmt: skip
"""Errors of zipfile, numpy and msgspec for what is damaged; `ReadoutFileError` is one of them."""


def _damaged(name: str, error: BaseException) -> ReadoutFileError:
    return ReadoutFileError(f"{name} is not the file of a readout, or damaged ({error}); take it from a copy")


def _header_of(archive: zipfile.ZipFile) -> ReadoutHeader:
    members = {each.filename: each for each in archive.infolist()}
    if _HEADER not in members or len(members) != len(archive.infolist()):
        raise ReadoutFileError(f"there is no {_HEADER}, or a member twice")
    if any(each.compress_type != zipfile.ZIP_STORED for each in members.values()):
        raise ReadoutFileError("members are compressed")  # so none is larger than the file
    encoded = archive.read(_HEADER)
    if hashlib.sha256(encoded).hexdigest().encode() != archive.comment:
        raise ReadoutFileError("the checksum of the header is wrong")
    header = msgspec.json.decode(encoded, type=ReadoutHeader)
    if (header.format, header.version) != (_FORMAT, _VERSION):
        raise ReadoutFileError(
            f"it is of format {header.format!r}, version {header.version}; this version reads {_FORMAT!r}, {_VERSION}"
        )
    if set(members) != {_HEADER, *(f"{name}.npy" for name in header.arrays)}:
        raise ReadoutFileError("its members are not those of the header")
    return header


def _array_of(archive: zipfile.ZipFile, member: str, sha: str) -> npt.NDArray[Any]:
    """Return an array that may be written to and begins with a cache line."""
    data = archive.read(member)
    if hashlib.sha256(data).hexdigest() != sha:
        raise ReadoutFileError(f"the checksum of {member} is wrong")
    buffer = io.BytesIO(data)
    version = np.lib.format.read_magic(buffer)
    if version != (1, 0):
        raise ReadoutFileError(f"{member} is of version {version} of the format of numpy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
    values = memoryview(data)[buffer.tell() :]
    known = dtype.kind in "biufU" and dtype.isnative and dtype.itemsize > 0
    if not known or dtype.itemsize * math.prod(shape) != len(values):
        raise ReadoutFileError(f"{member} is of type {dtype} and shape {shape}, with {len(values)} bytes of values")
    memory = np.empty(len(values) + _LINE, dtype=np.uint8)
    begin = -memory.ctypes.data % _LINE
    aligned = memory[begin : begin + len(values)]
    aligned[:] = np.frombuffer(values, dtype=np.uint8)
    return aligned.view(dtype).reshape(shape, order="F" if fortran else "C")
