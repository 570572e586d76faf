"""Export of recordings to NIX and NWB, with a list of what each format cannot represent."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from inmateria.recording.documents import from_json, to_json
from inmateria.recording.format import RecordingError
from inmateria.recording.formats.neo_blocks import read_block
from inmateria.recording.metadata import checked_metadata, merged
from inmateria.recording.reading import open_recording

FORMATS = {".nix": "nix", ".nwb": "nwb"}


@dataclass(frozen=True, slots=True)
class Export:
    """Result of an export.

    Parameters
    ----------
    paths : tuple of Path
        The files that were written.
    left_out : tuple of str
        Parts of this recording that the format cannot represent.
    missing : tuple of str
        What an archive (DANDI) needs beyond what is known, each with the way to give it.
    """

    paths: tuple[Path, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...] = ()


def export(
    path: str | PathLike[str],
    out: str | PathLike[str],
    *,
    to: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Export:
    """Write a recording in another format.

    Parameters
    ----------
    path : path-like
        A recording, finished or not.
    out : path-like
        File to create; it must not exist.
    to : {"nix", "nwb"}, optional
        By default according to the suffix of `out`.
    metadata : dict, optional
        Description of the experiment, with the fields of `inmateria.recording.metadata.ExperimentMetadata`; it comes
        before the annotations of the recording.

    Raises
    ------
    RecordingError
        If the file exists, the format is unknown, its extra is not installed, the metadata are not as needed, or the
        recording is damaged. Nothing is then left at `out`.
    """
    out = Path(out)
    to = FORMATS.get(out.suffix) if to is None else to
    if to not in FORMATS.values():
        raise RecordingError(f"{out} has an unknown suffix; use {' or '.join(FORMATS)}")
    if out.exists():
        raise RecordingError(f"{out} exists; an export never overwrites; give another name")
    described = checked_metadata(metadata or {})
    try:
        return (_to_nix if to == "nix" else _to_nwb)(Path(path), out, described)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _to_nwb(path: Path, out: Path, metadata: Mapping[str, Any]) -> Export:
    try:
        from inmateria.recording.formats.nwb import write_nwb
    except ImportError as error:
        raise _missing(error, "nwb") from None
    return Export((out,), *write_nwb(path, out, metadata))


def _to_nix(path: Path, out: Path, metadata: Mapping[str, Any]) -> Export:
    import neo

    block = read_block(path)
    if metadata:
        block.annotations["annotations_json"] = to_json(
            merged(from_json(block.annotations["annotations_json"]), metadata)
        ).decode()
    try:
        with neo.NixIO(str(out), mode="ow") as file:
            file.write_block(block)
    except (ImportError, AttributeError) as error:  # raised by neo if nixio is missing
        raise _missing(error, "nix") from None
    return Export((out,), tuple(_left_out_of_nix(path)))


def _left_out_of_nix(path: Path) -> list[str]:
    with open_recording(path) as recording:
        left = ["the checksum of each exchange"]
        if recording.scale is not None:
            left.append("int16 counts (the same values in units are there)")
        return left


def _missing(error: Any, extra: str) -> RecordingError:
    return RecordingError(f'{extra.upper()} is not installed ({error}): pip install "inmateria[{extra}]"')
