"""Which files of other programs are read, and by which reader: decided by what the file holds, not by its ending.

A reader is listed here if its code was read and executes nothing that a file says, opens no file beside the one named
except as `companions` says, and needs no library of a vendor. Not listed, and so refused: neo's `PickleIO`
(pickle runs code), `ElphyIO` (``eval``), readers that load a library of a vendor or fetch one from the network, and
those that take any bytes for samples (`RawBinarySignalIO`, `AsciiSignalIO`).
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py

from inmateria.recording.format import FORMAT, RecordingError
from inmateria.recording.formats.hdf5_inspection import inspect_hdf5

_HEAD = 4096
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MATLAB_73 = b"MATLAB 7.3 MAT-file"

TABLE, NWB, ARRAYS = "table", "nwb", "arrays"
"""Kinds of files that are read by modules of this package and not by neo."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that `import` reads.

    Parameters
    ----------
    name : str
        The format, as its users call it.
    reader : str
        Class of `neo.io`, or one of the kinds `TABLE`, `NWB` and `ARRAYS`.
    companions : bool
        Whether the format is of several files in one folder, which are then read too.
    """

    name: str
    reader: str
    companions: bool = False


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


_BY_CONTENT: tuple[tuple[Callable[[bytes], bool], Format], ...] = (
    (_starts(b"ABF ", b"ABF2"), Format("Axon binary (.abf)", "AxonIO")),
    (_starts(b"AxGr", b"axgx"), Format("AxoGraph (.axgd, .axgx)", "AxographIO")),
    (_starts(b"PLEX", b"XELP"), Format("Plexon (.plx)", "PlexonIO")),
    (_starts(b"NEX1"), Format("NeuroExplorer (.nex)", "NeuroExplorerIO")),
    (
        _starts(b"NEURALSG", b"NEURALCD", b"NEURALEV", b"BRSMPGRP", b"BREVENTS"),
        Format("Blackrock (.nev, .ns1 to .ns6)", "BlackrockIO", companions=True),
    ),
    (
        lambda head: len(head) >= 4 and struct.unpack("<I", head[:4])[0] in (0xC6912702, 0xD69127AC),
        Format("Intan (.rhd, .rhs)", "IntanIO", companions=True),
    ),
    (lambda head: head[2:12] == b"(C) CED 87", Format("Spike2 (.smr)", "Spike2IO")),
    (_starts(b"* MICROMED"), Format("Micromed (.trc)", "MicromedIO")),
    (lambda head: head.startswith(b"0       ") and _is_edf(head), Format("EDF (.edf)", "EDFIO")),
    (_starts(b"MC_DataTool"), Format("MC_DataTool raw (.raw)", "RawMCSIO")),
    (
        lambda head: bool(re.match(rb"(\xef\xbb\xbf)?Brain ?Vision Data Exchange Header File", head)),
        Format("BrainVision (.vhdr)", "BrainVisionIO", companions=True),
    ),
    (_starts(b"BCI2000V=", b"HeaderLen="), Format("BCI2000 (.dat)", "BCI2000IO")),
    (_starts(b"\x93NUMPY"), Format("NumPy (.npy)", ARRAYS)),
    (_starts(b"PAR1"), Format("Parquet", ARRAYS)),
    (_starts(b"MATLAB 5.0 MAT-file", _MATLAB_73), Format("MATLAB (.mat)", ARRAYS)),
)  # fmt: skip
_HDF5 = (Format("NIX (.nix)", "NixIO"), Format("NWB (.nwb)", NWB))
_NUMPY_ZIP = Format("NumPy (.npz)", ARRAYS)
_BY_ENDING = (Format("WinWCP (.wcp)", "WinWcpIO"), Format("WinEDR (.edr)", "WinEdrIO"))
_TEXT = Format("tables of text (.csv, .tsv, .txt)", TABLE)
_FOLDERS = (
    Format("Neuralynx (a folder of .ncs, .nse, .nev)", "NeuralynxIO", companions=True),
    Format("SpikeGLX (a folder of .bin and .meta)", "SpikeGLXIO", companions=True),
)
ALLOWED: tuple[Format, ...] = (
    _TEXT, *_HDF5, _NUMPY_ZIP, *(each for _, each in _BY_CONTENT), *_BY_ENDING, *_FOLDERS
)  # fmt: skip
"""All formats that are read."""


def format_of(path: Path) -> Format:
    """Return the format of a file or folder, found from its content.

    Raises
    ------
    RecordingError
        If it does not exist, is in none of the formats of `ALLOWED`, or is HDF5 that points outside the file.
    """
    if not path.exists():
        raise RecordingError(f"{path} does not exist; give the path of a file or folder to import")
    if path.is_dir():
        found = _of_folder(path)
    elif not path.is_file():
        raise RecordingError(f"{path} is neither a file nor a folder; give the path of a file or folder to import")
    else:
        found = _of_file(path)
    if found is None:
        raise RecordingError(
            f"{path} cannot be imported: its content is of no format that is read; allowed are "
            + ", ".join(each.name for each in ALLOWED)
            + "; convert it, for instance with neo, into NIX or NWB"
        )
    if found.companions:
        _refuse_companions_elsewhere(path)
    return found


def _of_file(path: Path) -> Format | None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise RecordingError(f"{path} is empty")
    if h5py.is_hdf5(path):
        inspect_hdf5(path)
        return _of_hdf5(path, head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _NUMPY_ZIP if path.suffix == ".npz" else None
    for test, each in _BY_CONTENT:
        if test(head):
            return each
    if head.startswith(b"VER="):
        return {".wcp": _BY_ENDING[0], ".edr": _BY_ENDING[1]}.get(path.suffix.lower())
    return _TEXT if is_text(head) else None


def _of_hdf5(path: Path, head: bytes) -> Format | None:
    if head.startswith(_MATLAB_73):
        return Format("MATLAB 7.3 (.mat)", ARRAYS)
    with h5py.File(path, "r") as file:
        marks = {name: file.attrs.get(name) for name in ("format", "nwb_version")}
    kind = marks["format"].decode(errors="replace") if isinstance(marks["format"], bytes) else str(marks["format"])
    if kind == FORMAT:
        raise RecordingError(f"{path} is a recording of inmateria already; replay:// and `inmateria info` read it")
    if kind == "nix":
        return _HDF5[0]
    return _HDF5[1] if marks["nwb_version"] is not None else None


def _of_folder(path: Path) -> Format | None:
    names = [each.name.lower() for each in path.iterdir()]
    if any(name.endswith((".ncs", ".nse", ".ntt")) for name in names):
        return _FOLDERS[0]
    if any(name.endswith(".meta") for name in names) and any(name.endswith(".bin") for name in names):
        return _FOLDERS[1]
    return None


def is_text(head: bytes) -> bool:
    """Return whether bytes are the beginning of a text: with a mark of UTF-16, or without control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return not re.search(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]", head)


def _is_edf(head: bytes) -> bool:
    """Return whether the fields of an EDF header that hold numbers do."""
    return len(head) >= 256 and all(head[begin:end].strip().lstrip(b"-").replace(b".", b"").isdigit()
                                    for begin, end in ((184, 192), (236, 244), (244, 252), (252, 256)))  # fmt: skip


def _refuse_companions_elsewhere(path: Path) -> None:
    """Raise if a format of several files would be read from outside its folder."""
    folder = path if path.is_dir() else path.parent
    home = folder.resolve()
    for each in folder.rglob("*") if path.is_dir() else folder.glob("*"):
        if each.is_symlink() and home not in each.resolve().parents:
            raise RecordingError(
                f"{path} is of a format of several files, and {each} beside it is a link to {each.resolve()}, outside "
                "its folder; put the file itself there"
            )
    if path.is_file() and path.suffix.lower() == ".vhdr":
        text = path.read_bytes().decode("utf-8", errors="replace")
        for name in re.findall(r"(?mi)^\s*(?:DataFile|MarkerFile)\s*=\s*(.*?)\s*$", text):
            if "/" in name or "\\" in name or name == "..":
                raise RecordingError(f"{path} names {name!r} as its data; only a file in the same folder is read")
