"""Read a recording of Cortical Labs' SDK: samples, spikes with waveforms, stims, data streams and attributes.

A recording is an HDF5 file of PyTables: ``/samples`` (frames of int16), ``/spikes`` (timestamp, channel, 75 samples),
``/stims`` (timestamp, channel) and ``/data_stream/NAME`` (an index and bytes of msgpack). It is read with h5py alone,
and the pickles of its attributes make nothing but numbers, texts, lists and dictionaries.
"""

import io
import json
import pickle
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import msgspec
import numpy as np

from inmateria.recording import RecordingError
from inmateria.recording.formats.hdf5_inspection import inspect_hdf5

if TYPE_CHECKING:
    import neo

__all__ = ["is_recording", "read_recording"]

_WAVEFORM_BEFORE = 25  # frames of a waveform before the spike
_STATED = ("hostname", "project_id", "cell_batch_id", "system_id", "chip_id", "created_utc", "ended_utc")


def is_recording(path: str | PathLike[str]) -> bool:
    """Return whether a file is HDF5 and is a recording of the SDK."""
    try:
        with h5py.File(path, "r") as file:
            return {"frames_per_second", "uV_per_sample_unit", "channel_count"} <= set(file.attrs)
    except OSError:
        return False


def read_recording(path: str | PathLike[str]) -> "neo.Block":
    """Read a recording as a `neo.Block` of one segment, in seconds after its start.

    - An `AnalogSignal` "samples" of all channels (uV), if the samples were recorded. It is as long as the recording
      states to be; frames at the end that the file has not are NaN.
    - A `SpikeTrain` for each channel that fired, with the waveforms (uV; 25 frames before, 50 from the spike on).
    - An `Event` "stimulation" with the channel of each pulse that the device says it gave (annotation ``confirmed``).
      What was asked for is not in the file, nor is the current.
    - An `Event` for each data stream, the entries as JSON, its attributes as annotation ``application``.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    RecordingError
        If the file does not exist, is damaged or no such recording, has a pickle that names something that could run
        code, or its time goes back.
    """
    import neo
    import quantities as pq

    place = Path(path)
    if not place.is_file():
        raise RecordingError(f"{path} does not exist; give the path of a recording (.h5)")
    if not is_recording(place):
        raise RecordingError(f"{path} is no recording of the CL1: it states no frames_per_second and channel_count")
    inspect_hdf5(place)
    try:
        with h5py.File(place, "r") as file:
            stated = {name: _plain(place, name, value) for name, value in file.attrs.items()}
            spikes = file["spikes"][()] if "spikes" in file else None
            stims = file["stims"][()] if "stims" in file else None
            samples = file["samples"][()] if "samples" in file else None
            streams = {name: _entries(place, name, group) for name, group in file.get("data_stream", {}).items()}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RecordingError(f"{path} cannot be read as a recording of the CL1 ({error})") from None
    rate, unit = float(stated["frames_per_second"]), float(stated["uV_per_sample_unit"])
    channels, start = int(stated["channel_count"]), int(stated.get("start_timestamp", 0))
    # Timestamps of spikes and stims count from the start, or from the device's own, as the file says.
    relative = bool(dict(stated.get("file_format") or {}).get("stim_and_spike_timestamps_relative_to_start", False))
    frames = int(stated.get("duration_frames") or 0) or (0 if samples is None else len(samples))
    block = neo.Block(
        name=_name(stated),
        file_origin=place.name,
        rec_datetime=_created(stated),
        kind="neural-culture",
        **{name: str(stated[name]) for name in _STATED if stated.get(name)},
        application=json.dumps(stated.get("application") or {}, default=str),
    )
    segment = neo.Segment(name="recording")
    block.segments.append(segment)
    if samples is not None:
        whole = max(frames, len(samples))
        volts = np.full((whole, channels), np.nan, dtype=np.float32)
        volts[: len(samples)] = samples * np.float32(unit)
        signal = neo.AnalogSignal(
            volts,
            units="uV",
            sampling_rate=rate * pq.Hz,
            name="samples",
            array_annotations={"channel_names": np.array([f"e{k:02d}" for k in range(channels)])},
        )
        segment.analogsignals.append(signal)
        frames = whole
    for name, table in (("spikes", spikes), ("stims", stims)):
        if table is not None and (np.diff(table["timestamp"]) < 0).any():
            raise RecordingError(f"{path}: the time of its {name} goes back; they are written in the order of time")
    offset = 0 if relative else start
    stop = frames / rate
    if spikes is not None:
        for channel in np.unique(spikes["channel"]).tolist():
            mine = spikes[spikes["channel"] == channel]
            times = (mine["timestamp"] - offset) / rate
            train = neo.SpikeTrain(
                times * pq.s,
                t_stop=max(stop, float(times[-1])) * pq.s,
                name=f"e{channel:02d}",
                waveforms=mine["samples"][:, np.newaxis, :] * pq.uV,
                sampling_rate=rate * pq.Hz,
                left_sweep=_WAVEFORM_BEFORE / rate * pq.s,
                electrode=int(channel),
            )
            segment.spiketrains.append(train)
    if stims is not None:
        times = (stims["timestamp"] - offset) / rate
        labels = [f"e{channel:02d}" for channel in stims["channel"].tolist()]
        event = neo.Event(
            times * pq.s,
            labels=labels,
            name="stimulation",
            array_annotations={"electrode": stims["channel"].astype(int)},
            confirmed=True,
        )
        segment.events.append(event)
    for name, (times, labels, application) in streams.items():
        seconds = (np.array(times, dtype=np.int64) - start) / rate
        segment.events.append(neo.Event(seconds * pq.s, labels=labels, name=name, application=application))
    block.check_relationships()
    return block


def _name(stated: dict[str, Any]) -> str:
    named = [str(stated[name]) for name in ("system_id", "chip_id") if stated.get(name)]
    return "-".join(named) or f"cl1-{stated.get('hostname') or 'recording'}"


def _created(stated: dict[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(stated.get("created_utc")))
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)


def _entries(path: Path, name: str, group: Any) -> tuple[list[int], list[str], str]:
    """Return times, entries as JSON, and attributes as JSON, of a data stream."""
    data = group["data"][()].tobytes()
    times, labels = [], []
    for at, first, last in group["index"][()].tolist():
        if not 0 <= first <= last <= len(data):
            raise RecordingError(f"{path}: data stream {name} has an entry from byte {first} to {last} of {len(data)}")
        try:
            entry = msgspec.msgpack.decode(data[first:last])
        except msgspec.DecodeError as error:
            raise RecordingError(f"{path}: data stream {name} has an entry that is not msgpack ({error})") from None
        times.append(int(at))
        labels.append(json.dumps(_readable(entry), default=str))
    attributes = _plain(path, name, group.attrs.get("application", b""))
    return times, labels, json.dumps(attributes or {}, default=str)


def _readable(entry: Any) -> Any:
    """Convert arrays of numpy, as msgpack-numpy writes them, to lists."""
    if isinstance(entry, dict) and entry.get(b"nd"):
        array = np.frombuffer(entry[b"data"], dtype=np.dtype(entry[b"type"])).reshape(entry[b"shape"])
        return array.tolist()
    if isinstance(entry, dict):
        return {str(key): _readable(value) for key, value in entry.items()}
    return [_readable(each) for each in entry] if isinstance(entry, list) else entry


class _Nothing(pickle.Unpickler):
    """An unpickler that makes numbers, texts, lists and dictionaries, and nothing that has a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which could run code")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object elsewhere")


def _plain(path: Path, name: str, value: Any) -> Any:
    """Convert an attribute: a number, a text, or a pickle of lists and dictionaries as PyTables writes them."""
    if isinstance(value, h5py.Empty):
        return ""
    if not isinstance(value, bytes | np.bytes_):
        return value.item() if isinstance(value, np.generic) else value
    data = bytes(value)
    if data.endswith(b".") and data[:1] in (b"(", b"\x80", b"V", b"]", b"}", b"I", b"F"):
        try:
            return _Nothing(io.BytesIO(data)).load()
        except pickle.UnpicklingError as error:
            if "names" in str(error) or "refers" in str(error):
                raise RecordingError(f"{path}: {name} is a pickle that is not read: {error}") from None
        except Exception:
            return data.decode(errors="replace")
    return data.decode(errors="replace")
