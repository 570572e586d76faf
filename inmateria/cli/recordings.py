"""`inmateria record`, `info`, `plot`, `export` and `recover`: recordings made, seen and converted."""

import asyncio
import logging
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.cli.application import Json, app, awaited, complete_substrate, plain, terminal, uri_of
from inmateria.cli.metadata import MetadataFile, MetadataValues, metadata_of

if TYPE_CHECKING:
    from inmateria.recording import Compression, Note, Recording, Recovery

_UNITS = {"seconds": " s", "sampling_rate": " Hz", "round_trip_p50": " s", "round_trip_p99": " s"}

File = Annotated[Path, typer.Argument(help="A recording (.h5), or a run folder.")]


@app.command()
def record(
    substrate: Annotated[
        str,
        typer.Argument(
            help="mqtt://host/group/device or unix:///path: what others do with it, without a lease. lsl://NAME, "
            "brainflow://BOARD, openephys://host or maxwell://host: a stream. Any other: driven with nothing.",
            autocompletion=complete_substrate,
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Recording to make; named by the time.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long; otherwise until Ctrl-C.", min=0.0)] = None,
    note: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT", help="An annotation.")] = None,
    keep: Annotated[
        str,
        typer.Option(help="What is kept: 'all', or 'features' (only the last sample of each step, which tasks read)."),
    ] = "all",
    metadata: MetadataFile = None,
    meta: MetadataValues = None,
    json: Json = False,
) -> None:
    """Record a running device as an observer, a stream, or a substrate at rest, until Ctrl-C."""
    if keep not in {"all", "features"}:
        raise typer.BadParameter(
            f"--keep is {keep!r}; allowed are all and features"
            + ("; a recording keeps something" * (keep == "nothing"))
        )
    annotations = {**_annotations(note or []), **metadata_of(metadata, meta)}
    uri = uri_of(substrate)
    path = out or Path(f"{datetime.now().astimezone():%Y%m%dT%H%M%S}.h5")
    count = awaited(_record(uri, path, annotations, seconds, features=keep == "features", quiet=json))
    _compress(path, quiet=json, wanted=False)
    _say({"path": str(path), "exchanges": count}, f"{count:,} exchanges in {path}", json)


async def _record(
    uri: str, path: Path, annotations: dict[str, Any], seconds: float | None, *, features: bool, quiet: bool
) -> int:
    from rich.console import Console

    from inmateria.adapters.mqtt.operator.recording import record_device, record_rest
    from inmateria.adapters.mqtt.wire.device_socket import names_a_device
    from inmateria.adapters.stopping import stop_signals
    from inmateria.adapters.streams.recording import STREAM_SCHEMES, record_stream
    from inmateria.recording import KeptSamples

    kept = KeptSamples(1, "left out") if features else None
    with ExitStack() as exits:
        stop = exits.enter_context(stop_signals())
        status = exits.enter_context(Console(stderr=True, quiet=quiet).status(f"recording {path}; Ctrl-C ends it"))

        def watch(count: int, lasted: float) -> None:
            status.update(f"recording {path}: {count:,} exchanges, {lasted:,.1f} s of the device; Ctrl-C ends it")

        if names_a_device(uri):
            if seconds is not None:
                exits.callback(asyncio.get_running_loop().call_later(seconds, stop.set).cancel)
            return await record_device(uri, path, annotations, stop=stop, on_progress=watch, keep=kept)
        lasting = float("inf") if seconds is None else seconds
        if uri.partition("://")[0] in STREAM_SCHEMES:
            return await record_stream(uri, path, annotations, stop=stop, seconds=lasting, on_progress=watch, keep=kept)
        return await record_rest(uri, path, annotations, stop=stop, seconds=lasting, on_progress=watch, keep=kept)


@app.command()
def info(file: File, json: Json = False) -> None:
    """Show what is in a recording."""
    from inmateria.recording import open_recording

    with open_recording(_file(file)) as recording:
        told = _told(recording)
    if json:
        _say(told, "", json)
        return
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in told.items():
        if value not in ("", None, {}, []):
            unit = _UNITS.get(name, "")
            table.add_row(name.replace("_", " "), plain(_words(value)) + unit)
    terminal().print(table)


@app.command()
def plot(
    file: File,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Picture to make (.png, .pdf, .svg).")] = None,
    start: Annotated[float | None, typer.Option(help="Device clock where it begins, s.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long, s.", min=0.0)] = None,
    session: Annotated[int | None, typer.Option(help="After how many returns to rest.", min=0)] = None,
    json: Json = False,
) -> None:
    """Draw the stimulus, traces and spikes of a recording."""
    from inmateria.recording import open_recording
    from inmateria.recording.pictures import plot as plot_recording

    path = _file(file)
    picture = out or path.with_suffix(".png")
    with open_recording(path) as recording:
        plot_recording(recording, picture, start=start, seconds=seconds, session=session)
    _say({"path": str(picture)}, str(picture), json)


@app.command()
def export(
    file: File,
    out: Annotated[Path, typer.Argument(help="File to make: .nix or .nwb.")],
    metadata: MetadataFile = None,
    meta: MetadataValues = None,
    json: Json = False,
) -> None:
    """Write a recording as NIX or NWB, and say what the format cannot hold."""
    from rich.console import Console

    from inmateria.recording.formats.export import export as export_recording

    with Console(stderr=True, quiet=json).status(f"writing {out}"):
        done = export_recording(_file(file), out, metadata=metadata_of(metadata, meta))
    words = [*map(str, done.paths), *(f"not in it: {each}" for each in done.left_out), *done.missing]
    told = {"paths": [str(path) for path in done.paths], "left_out": done.left_out, "missing": done.missing}
    _say(told, "\n".join(words), json)


@app.command()
def compress(
    files: Annotated[list[Path], typer.Argument(help="Recordings (.h5), or run folders.", metavar="FILE...")],
    json: Json = False,
) -> None:
    """Compress finished recordings, which then read as before; Ctrl-C leaves the one at work as it was."""
    for path in (each for named in files for each in _files(named)):
        done = _compress(path, quiet=json, wanted=True)
        told = {"path": str(done.path), "before": done.before, "after": done.after}
        _say(told, f"{path}: {done.before / 1e6:,.1f} MB, now {done.after / 1e6:,.1f} MB", json)


def _compress(path: Path, *, quiet: bool, wanted: bool) -> "Compression":
    """Compress a recording with a progress bar; if it was not `wanted`, an error or Ctrl-C is a warning."""
    from inmateria.cli.progress import ProgressBar
    from inmateria.recording import Compression, RecordingError
    from inmateria.recording import compress as compress_recording

    with ProgressBar(hidden=quiet, starting=f"compressing {path.name}") as bar:
        try:
            return compress_recording(
                path, on_progress=lambda done, of: bar.watch("compressing", round(100 * done / of), 100, 0)
            )
        except (RecordingError, KeyboardInterrupt) as error:
            if wanted:
                raise
            why = str(error) or f"{path} is not compressed, and whole; `inmateria compress` compresses it"
            logging.getLogger("inmateria").warning("%s", why)
    size = path.stat().st_size
    return Compression(path, size, size)


@app.command()
def recover(
    file: File,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write what is whole as a new recording.")] = None,
    json: Json = False,
) -> None:
    """Print what there is in a recording that was cut short, reading all of it."""
    from rich.console import Console

    from inmateria.recording import recover as recover_recording

    with Console(stderr=True, quiet=json).status(f"reading {file}"):
        found = recover_recording(_file(file), out)
    told = {name: getattr(found, name) for name in found.__slots__}
    told["path"] = str(found.path)
    _say(told, _verdict(found) + (f"\nwritten to {out}" if out else ""), json)


def _verdict(found: "Recovery") -> str:
    """Return in a few lines what there is."""
    from inmateria.recording.verified_tables import ranges

    lines = [f"{found.whole:,} exchanges are whole, {found.seconds:,.3f} s on the device's clock"]
    if found.last_sent is not None:
        lines.append(f"the last one was sent at {datetime.fromtimestamp(found.last_sent, UTC).isoformat()}")
    if found.damaged:
        lines.append(f"{len(found.damaged):,} damaged: {ranges(list(found.damaged))}, counted from 0")
    if found.damaged_notes:
        lines.append(f"damaged: notes {ranges(list(found.damaged_notes))}")
    if found.damaged_metadata:
        lines.append(f"damaged: {', '.join(found.damaged_metadata)}")
    if not found.verified:
        lines.append("it is of version 1, which has no checksums: damage cannot be seen")
    if missing := found.announced - found.whole - len(found.damaged):
        lines.append(f"{missing:,} more are named but not there whole")
    if found.bytes_there < found.bytes_announced:
        lines.append(f"{found.bytes_announced - found.bytes_there:,} bytes are missing at the end of the file")
    if found.dropped:
        lines.append(f"{found.dropped:,} were dropped while recording: the disk was too slow")
    lines.append("it came to its proper end" if found.finished else "it did not come to its proper end, or still grows")
    return "\n".join(lines)


def _told(recording: "Recording") -> dict[str, Any]:
    """Describe what is in a recording, for people and machines."""
    import msgspec
    import numpy as np

    rows, about = recording.exchanges, recording.info
    trips = rows["round_trip"]
    return {
        "path": str(recording.path),
        "substrate": about.id,
        "kind": about.kind,
        "created": recording.created,
        "finished": recording.finished,
        "exchanges": len(rows),
        "sessions": len(np.unique(rows["session"])),
        "steps": int(rows["steps"].sum()),
        "seconds": float((rows["step"] * rows["steps"]).sum()),
        "inputs": [f"{channel.name} ({channel.unit})" for channel in about.inputs],
        "outputs": [f"{channel.name} ({channel.unit})" for channel in about.outputs],
        "sampling_rate": about.sampling_rate,
        "spikes": int(rows["spikes"].sum()) if about.spiking else None,
        "kept_as": _precision(recording),
        "round_trip_p50": float(np.median(trips)) if len(rows) else None,
        "round_trip_p99": float(np.percentile(trips, 99)) if len(rows) else None,
        "dropped": recording.dropped,
        "notes": [_line(note) for note in recording.notes if note.kind != "end"],
        "annotations": recording.annotations,
        "parameters": msgspec.to_builtins(about.parameters),
        "software": recording.software,
        "script": recording.script,
    }


def _precision(recording: "Recording") -> str:
    """Describe in which precision a signal is kept, and which of its samples."""
    kind, kept = "float64" if recording.scale is None else "int16 counts", recording.kept
    if not kept:
        return kind
    others = kept["others"]
    if others == "rounded":
        others = f"rounded to {kept['significant_bits']} binary digits"
    return f"{kind}; {kept['samples']} of the samples of a step exactly, any others {others}"


def _line(note: "Note") -> str:
    return f"{note.device:.3f} s: {'' if note.kind == 'marker' else f'{note.kind}, '}{note.label}"


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value[:12])) + (f" and {len(value) - 12} more" if len(value) > 12 else "")
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _file(named: Path) -> Path:
    """Take a run folder for the recording in it."""
    return named / "recording.h5" if named.is_dir() else named


def _files(named: Path) -> list[Path]:
    """Take a run folder for all recordings in it."""
    return sorted(named.glob("recording*.h5")) or [_file(named)] if named.is_dir() else [named]


def _annotations(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=TEXT")
        found[name] = text
    return found


def _say(told: dict[str, Any], words: str, json: bool) -> None:
    if json:
        from json import dumps

        typer.echo(dumps(told))
    else:
        typer.echo(words)
