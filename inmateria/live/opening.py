"""The source of the live page for what was named: a device, a recording, a run or a sweep."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from inmateria.adapters.mqtt.wire.device_socket import names_a_device
from inmateria.adapters.uri import shown
from inmateria.errors import UnknownSubstrate
from inmateria.live.folders import folder_named, folder_source
from inmateria.live.growing_recording import GrowingRecording
from inmateria.live.replayed_recording import ReplayedRecording
from inmateria.live.source import Source
from inmateria.live.watched_device import WatchedDevice
from inmateria.recording import open_recording

__all__ = ["open_source"]

_ALLOWED = (
    "a device (mqtt[s]://host/group/device, unix:///path), a recording (a file, or replay://FILE), the folder of a "
    "run or sweep, 'latest', or the name of a task for its latest run"
)


def open_source(named: str, *, speed: float | None = None) -> Source:
    """Return the source for what was named; it is opened by entering it.

    Parameters
    ----------
    named : str
        URI of a device on a broker or at a socket; path of a recording, which is followed if it is being written and
        else replayed; ``replay://`` and such a path; the folder of a run or a sweep; ``latest``, or the name of a task,
        for its latest run below ``runs``.
    speed : float, optional
        Replay a recording at so many times its pace, also if it is being written.

    Raises
    ------
    UnknownSubstrate
        If it is none of these.
    RecordingError
        If a file is no recording.
    ValueError
        If the speed is not more than 0, or given for what is not replayed.
    """
    if names_a_device(named):
        _refuse_speed(named, speed)
        return WatchedDevice(named)
    scheme, mark, _ = named.partition("://")
    if mark and scheme != "replay":
        raise UnknownSubstrate(
            f"{shown(named)!r} cannot be watched", f"allowed is {_ALLOWED}", "serve it with `inmateria serve`"
        )
    parts = urlsplit(named)
    path = Path(unquote(parts.netloc + parts.path)) if mark else Path(named)
    folder = None if mark or path.is_file() else folder_named(named)
    if folder is not None:
        _refuse_speed(named, speed)
        return folder_source(folder)
    if mark or speed is not None or _is_finished(path):
        return ReplayedRecording(path, 1.0 if speed is None else speed)
    return GrowingRecording(path)


def _is_finished(path: Path) -> bool:
    with open_recording(path) as recording:
        return recording.finished


def _refuse_speed(named: str, speed: float | None) -> None:
    if speed is not None:
        raise ValueError(f"--speed is of a replay, and {shown(named)} is none")
