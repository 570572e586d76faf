"""Import of files of other programs: found out what they are, planned, shown, and written as recordings."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import neo
from neo.io.basefromrawio import BaseFromRaw

from inmateria.recording.format import RecordingError
from inmateria.recording.formats.array_tables import read_array_table
from inmateria.recording.formats.block_imports import plan_block
from inmateria.recording.formats.column_roles import Stated
from inmateria.recording.formats.foreign_formats import ARRAYS, NWB, TABLE, Format, format_of
from inmateria.recording.formats.memory import bounded_memory, check_fits
from inmateria.recording.formats.own_exports import is_own_block, plan_own_block
from inmateria.recording.formats.plan import Imported, Plan, check_free, write_plan
from inmateria.recording.formats.table_imports import plan_table
from inmateria.recording.formats.text_tables import read_text_table
from inmateria.recording.order_of_reading import ReadingOrderWarning

if TYPE_CHECKING:
    from neo.io.baseio import BaseIO

__all__ = ["Imported", "Plan", "Stated", "import_block", "import_file", "plan_block", "plan_import", "write_plan"]

_READER_BYTES = 4  # float64 a sample of two bytes


def plan_import(
    path: str | PathLike[str],
    *,
    stated: Stated | None = None,
    stimulus: str | None = None,
    kind: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
) -> Plan:
    """Read a file of another program, and plan what is written of it; nothing is written.

    Parameters
    ----------
    path : path-like
        A file, or the folder of a format that is one. Its format is found from its content; which are read:
        `inmateria.recording.formats.foreign_formats`.
    stated : Stated, optional
        Roles and units of columns; of signals, what was driven, what is read, and units.
    stimulus : str, optional
        Name of the signal that was driven, in a file of signals.
    kind : str, optional
        Kind of substrate.
    separator, decimal, header : optional
        See `read_text_table`.

    Raises
    ------
    RecordingError
        If the file is of no format that is read, is damaged, or does not say what is needed; the message says what to
        state.
    """
    path = Path(path)
    stated = stated or Stated()
    with _readable(path), bounded_memory(path):
        found = format_of(path)
        if found.reader != TABLE and (separator is not None or decimal is not None or header is not None):
            raise RecordingError(f"{path} is {found.name}; --separator, --decimal and --header are for tables of text")
        if found.reader in (TABLE, ARRAYS):
            if stimulus is not None:
                raise RecordingError(f"{path} is a table; state the driven columns with --driven")
            if found.reader == TABLE:
                table = read_text_table(path, separator=separator, decimal=decimal, header=header)
            else:
                table = read_array_table(path)
            return plan_table(path, table, stated, kind=kind)
        if stated.time is not None or stated.ground is not None or stated.rate is not None:
            raise RecordingError(
                f"{path} is {found.name}, which has times of its own; --time, --ground and --rate are for tables"
            )
        return _plan_signals(path, found, _driven(path, stated, stimulus), stated, kind)


def import_file(
    path: str | PathLike[str],
    out: str | PathLike[str],
    *,
    stated: Stated | None = None,
    stimulus: str | None = None,
    kind: str | None = None,
) -> Imported:
    """Import a file of another program as a recording; see `plan_import`.

    Raises
    ------
    RecordingError
        If it cannot be read or written.

    Warns
    -----
    ReadingOrderWarning
        If columns of a table follow the driven values of the row before better than those of their own.
    """
    check_free(out)
    plan = plan_import(path, stated=stated, stimulus=stimulus, kind=kind)
    for notice in plan.notices:
        warnings.warn(notice, ReadingOrderWarning, stacklevel=2)
    return write_plan(plan, out)


def import_block(
    block: "neo.Block",
    out: str | PathLike[str],
    *,
    stimulus: str | None = None,
    kind: str = "imported",
    name: str | None = None,
    read: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Imported:
    """Write a `neo.Block` as a recording; see `plan_block`.

    Raises
    ------
    RecordingError
        If there is nothing that can be replayed, or the file cannot be written.
    """
    return write_plan(plan_block(block, stimulus=stimulus, kind=kind, name=name, read=read, units=units), out)


def _driven(path: Path, stated: Stated, stimulus: str | None) -> str | None:
    """Return the name of the driven signal, which may be stated in two ways."""
    driven = list(stated.driven or [])
    if stimulus is not None:
        driven.append(stimulus)
    if len(driven) > 1:
        raise RecordingError(f"{path}: {', '.join(driven)} were stated as driven; name one signal")
    return driven[0] if driven else None


def _plan_signals(path: Path, found: Format, stimulus: str | None, stated: Stated, kind: str | None) -> Plan:
    as_exported = not (stimulus or stated.read or stated.units or kind)
    left: list[str] = []
    if found.reader == NWB:
        try:
            from inmateria.recording.formats.nwb_reading import read_nwb
        except ImportError as error:
            raise RecordingError(f'NWB is read with pynwb ({error}): pip install "inmateria[nwb]"') from None
        held, lost = read_nwb(path)
        if isinstance(held, Plan):
            if not as_exported:
                raise _exported(path)
            return held
        block, left = held, lost or []
    else:
        block = _block(path, found)
        if is_own_block(block):
            if not as_exported:
                raise _exported(path)
            return plan_own_block(block, found.name)
    return plan_block(
        block, stimulus=stimulus, read=stated.read, units=stated.units, kind=kind or "imported", name=path.stem,
        source=found.name, left=left,
    )  # fmt: skip


def _exported(path: Path) -> RecordingError:
    return RecordingError(
        f"{path} was exported by inmateria, and comes back as it was; leave out --driven, --stimulus, --read, "
        "--units and --kind"
    )


def _block(path: Path, found: Format) -> "neo.Block":
    """Read a file with the reader of neo that is listed for it."""
    sizes = [each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file()]
    if found.reader != "NixIO":  # whose declared sizes were looked at
        check_fits(path, float(sum(sizes)) * _READER_BYTES)
    reader: type[BaseIO] = getattr(neo.io, found.reader)
    try:
        if found.reader == "NixIO":
            if find_spec("nixio") is None:
                raise RecordingError('NIX is read with nixio: pip install "inmateria[nix]"')
            with reader(str(path), mode="ro") as file:
                blocks = file.read_all_blocks()
        else:
            opened: Any = reader(str(path))
            if isinstance(opened, BaseFromRaw):
                _rescale_in_float64(opened)
            blocks = opened.read()
    except ImportError as error:
        raise RecordingError(f"{path} is {found.name}; a library to read it is missing ({error}); install it") from None
    if len(blocks) != 1:
        raise RecordingError(
            f"{path} has {len(blocks)} blocks; one is imported at a time; save it in a file of its own"
        )
    block: neo.Block = blocks[0]
    return block


def _rescale_in_float64(reader: Any) -> None:
    """Let a reader of neo convert counts into doubles; it would round them to 24 bits."""
    convert = reader.rescale_signal_raw_to_float

    def rescaled(raw: Any, dtype: Any = None, **where: Any) -> Any:
        return convert(raw, dtype="float64", **where)

    reader.rescale_signal_raw_to_float = rescaled


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Let whatever a reader raises for a damaged file be a `RecordingError`."""
    try:
        yield
    except RecordingError:
        raise
    except ValueError as error:
        raise RecordingError(str(error) if str(path) in str(error) else f"{path} cannot be read ({error})") from error
    except Exception as error:  # each of the many readers has errors of its own
        raise RecordingError(f"{path} cannot be read ({type(error).__name__}: {error}); it may be damaged") from error
