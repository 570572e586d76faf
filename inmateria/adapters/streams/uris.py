"""From ``lsl://``, ``brainflow://``, ``openephys://`` and ``maxwell://`` to the substrate that they name."""

from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from inmateria.adapters.streams.brainflow_source import BrainflowSource
from inmateria.adapters.streams.lsl_source import LslSource
from inmateria.adapters.streams.maxwell_source import MaxwellSource
from inmateria.adapters.streams.open_ephys_events import NetworkEvents
from inmateria.adapters.streams.open_ephys_source import OpenEphysSource
from inmateria.adapters.streams.stimulators import DeviceMarkers, LslStimuli, OtherSubstrate, Stimulator
from inmateria.adapters.streams.substrate import StreamSubstrate
from inmateria.adapters.uri import connect, parameters_for, query_of, shown
from inmateria.substrate import Channel, UnknownSubstrate

__all__ = [
    "brainflow_from_uri",
    "brainflow_stream",
    "lsl_from_uri",
    "lsl_stream",
    "maxwell_from_uri",
    "maxwell_stream",
    "open_ephys_from_uri",
    "open_ephys_stream",
]


def lsl_from_uri(uri: str) -> StreamSubstrate:
    """Read ``lsl://NAME?type=EEG&markers=NAME``; the query takes the parameters of `lsl_stream`."""
    name, query = _parts(uri, "lsl", "lsl://NAME, such as lsl://openbci?type=EEG")
    given = parameters_for(lsl_stream, query, "lsl")
    return _made("lsl", uri, lambda: lsl_stream(name, **given))


def lsl_stream(
    name: str = "",
    *,
    type: str = "",  # noqa: A002
    source_id: str = "",
    host: str = "",
    markers: str = "",
    jitter: float | None = None,
    clock_every: float = 5.0,
    stimuli: str = "",
    inputs: str = "input",
    low: float = -1.0,
    high: float = 1.0,
    unit: str = "1",
    drive: str = "",
    step: float | None = None,
    late: float = 0.05,
    timeout: float = 10.0,
    id: str = "",  # noqa: A002
) -> StreamSubstrate:
    """Open a stream of LSL; its default identity is its source id.

    Parameters
    ----------
    type, source_id, host : str
        Of the stream, if several have its name.
    markers : str
        Names of streams at irregular times, with commas between; their samples are recorded as marks.
    jitter : float
        Largest irregularity of timestamps that is no gap, s; measured by default.
    clock_every : float
        Time between two measurements of the clock, s.
    stimuli : str
        Name of an LSL stream on which stimuli go out.
    inputs : str
        Names of its channels, with commas between.
    low, high : float
        Limits of each of them.
    unit : str
        Unit of each of them.
    drive : str
        URI of another substrate that gets the stimuli, percent-encoded.
    step : float
        Default duration of a step, s, rounded to whole samples.
    late : float
        How long blocks that are late are waited for, s on the stream's clock.
    timeout : float
        Longest time without data, s.
    id : str
        Identity of the device.
    """
    source = LslSource(
        name, type=type, source_id=source_id, host=host, markers=_words(markers), jitter=jitter,
        clock_every=clock_every, id=id, timeout=timeout,
    )  # fmt: skip
    stimulator = _stimulator(stimuli, inputs, low, high, unit, drive)
    return StreamSubstrate(source, stimulator, step=step, late=late, timeout=timeout)


def brainflow_from_uri(uri: str) -> StreamSubstrate:
    """Read ``brainflow://synthetic``, ``brainflow://cyton?serial_port=/dev/ttyUSB0``; see `brainflow_stream`."""
    board, query = _parts(uri, "brainflow", "brainflow://BOARD, such as brainflow://synthetic")
    own = {name: value for name, value in query.items() if name in _BRAINFLOW_SETTINGS}
    given = parameters_for(brainflow_stream, {k: v for k, v in query.items() if k not in own}, "brainflow")
    return _made("brainflow", uri, lambda: brainflow_stream(board, settings=own, **given))


def brainflow_stream(
    board: str = "",
    *,
    channels: str = "eeg",
    wrap: int = 256,
    config: str = "",
    marker: bool = False,
    stimuli: str = "",
    inputs: str = "input",
    low: float = -1.0,
    high: float = 1.0,
    unit: str = "1",
    drive: str = "",
    step: float | None = None,
    late: float = 0.05,
    timeout: float = 10.0,
    id: str = "",  # noqa: A002
    settings: Mapping[str, str] | None = None,
) -> StreamSubstrate:
    """Open a board that BrainFlow reads.

    Parameters
    ----------
    channels : str
        Groups of channels, with commas between.
    wrap : int
        Number of values of the board's counter of samples.
    config : str
        Text that the board gets through BrainFlow's ``config_board``.
    marker : bool
        Have one input, ``marker``, that BrainFlow writes into the board's data.
    stimuli : str
        Name of an LSL stream on which stimuli go out.
    inputs : str
        Names of its channels, with commas between.
    low, high : float
        Limits of each of them.
    unit : str
        Unit of each of them.
    drive : str
        URI of another substrate that gets the stimuli, percent-encoded.
    step : float
        Default duration of a step, s, rounded to whole samples.
    late : float
        How long blocks that are late are waited for, s on the stream's clock.
    timeout : float
        Longest time without data, s.
    id : str
        Identity of the device.
    """
    source = BrainflowSource(board, channels=channels, wrap=wrap, config=config, id=id, settings=dict(settings or {}))
    stimulator = _stimulator(stimuli, inputs, low, high, unit, drive, DeviceMarkers(source) if marker else None)
    return StreamSubstrate(source, stimulator, step=step, late=late, timeout=timeout)


_BRAINFLOW_SETTINGS = (
    "serial_port", "mac_address", "ip_address", "ip_address_aux", "ip_address_anc", "ip_port", "ip_port_aux",
    "ip_port_anc", "ip_protocol", "other_info", "serial_number", "file", "file_aux", "file_anc", "master_board",
)  # fmt: skip


def open_ephys_from_uri(uri: str) -> StreamSubstrate:
    """Read ``openephys://host:5556?electrodes=NAME``; the query takes the parameters of `open_ephys_stream`."""
    return _at_an_address(uri, "openephys", 5556, open_ephys_stream)


def open_ephys_stream(
    host: str = "",
    port: int = 5556,
    *,
    heartbeats: int | None = None,
    electrodes: str = "",
    continuous_unit: str = "uV",
    events: int | None = None,
    stimuli: str = "",
    inputs: str = "input",
    low: float = -1.0,
    high: float = 1.0,
    unit: str = "1",
    drive: str = "",
    step: float | None = None,
    late: float = 0.05,
    timeout: float = 10.0,
    id: str = "",  # noqa: A002
) -> StreamSubstrate:
    """Open a stream of the Open Ephys GUI, by its plugin ZMQ Interface.

    Parameters
    ----------
    heartbeats : int
        Listening port of the plugin; the data port and 1 by default.
    electrodes : str
        Names of spike channels that are read, with commas between.
    continuous_unit : str
        Unit of the continuous channels, which the plugin does not name.
    events : int
        Port of the plugin Network Events: stimuli then switch its eight digital lines, ``ttl1`` to ``ttl8``.
    stimuli : str
        Name of an LSL stream on which stimuli go out.
    inputs : str
        Names of its channels, with commas between.
    low, high : float
        Limits of each of them.
    unit : str
        Unit of each of them.
    drive : str
        URI of another substrate that gets the stimuli, percent-encoded.
    step : float
        Default duration of a step, s, rounded to whole samples.
    late : float
        How long blocks that are late are waited for, s on the stream's clock.
    timeout : float
        Longest time without data, s.
    id : str
        Identity of the device.
    """
    source = OpenEphysSource(
        host, port, heartbeats=heartbeats, electrodes=_words(electrodes), unit=continuous_unit, id=id, timeout=timeout
    )
    lines = None if events is None else NetworkEvents(host, events, timeout=timeout)
    stimulator = _stimulator(stimuli, inputs, low, high, unit, drive, lines)
    return StreamSubstrate(source, stimulator, step=step, late=late, timeout=timeout)


def maxwell_from_uri(uri: str) -> StreamSubstrate:
    """Read ``maxwell://host:7205?channels=0,17``; the query takes the parameters of `maxwell_stream`."""
    return _at_an_address(uri, "maxwell", 7205, maxwell_stream)


def maxwell_stream(
    host: str = "",
    port: int = 7205,
    *,
    rate: float = 20_000.0,
    channels: str = "",
    spikes: bool = True,
    spike_bytes: int = 24,
    continuous_unit: str = "1",
    step: float | None = None,
    late: float = 0.15,
    timeout: float = 10.0,
    id: str = "",  # noqa: A002
) -> StreamSubstrate:
    """Open a data stream of MaxWell Biosystems' server; it is only read.

    Parameters
    ----------
    rate : float
        Frames per second: 20,000 on a MaxOne, 10,000 on a MaxTwo.
    channels : str
        Numbers of the channels that are read, with commas between; all by default.
    spikes : bool
        Whether to read the spikes that the server found.
    spike_bytes : int
        Size of a spike in bytes, 24 or 16, by the version of the server.
    continuous_unit : str
        Unit of the amplitudes, which the stream does not name.
    step : float
        Default duration of a step, s, rounded to whole samples.
    late : float
        How long spikes are waited for, s on the stream's clock; the server's own filter takes 0.1 s.
    timeout : float
        Longest time without data, s.
    id : str
        Identity of the device.
    """
    words = _words(channels)
    if not all(word.isdigit() for word in words):
        raise ValueError(f"channels are {channels!r}; give numbers with commas between, such as 0,17")
    source = MaxwellSource(
        host, port, rate=rate, channels=[int(word) for word in words], spikes=spikes, spike_bytes=spike_bytes,
        unit=continuous_unit, id=id, timeout=timeout,
    )  # fmt: skip
    return StreamSubstrate(source, step=step, late=late, timeout=timeout)


def _stimulator(
    stimuli: str, inputs: str, low: float, high: float, unit: str, drive: str, other: Stimulator | None = None
) -> Stimulator | None:
    ways = [bool(stimuli), bool(drive), other is not None]
    if sum(ways) > 1:
        raise ValueError("stimuli go to one place; give one of stimuli, drive, marker and events")
    if stimuli:
        channels = tuple(Channel(name=each, unit=unit, low=low, high=high) for each in _words(inputs))
        return LslStimuli(stimuli, channels)
    if drive:
        return OtherSubstrate(connect(drive))
    return other


def _words(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _parts(uri: str, scheme: str, example: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(uri)
    name = unquote(parts.netloc + parts.path).strip("/")
    if not name:
        raise UnknownSubstrate(f"{shown(uri)!r} names nothing", example)
    return name, query_of(uri)


def _at_an_address(uri: str, scheme: str, port: int, stream: Callable[..., StreamSubstrate]) -> StreamSubstrate:
    parts = urlsplit(uri)
    if not parts.hostname or parts.path.strip("/"):
        example = f"{scheme}://host:{port}, such as {scheme}://localhost"
        raise UnknownSubstrate(f"{shown(uri)!r} names no host", example)
    given = parameters_for(stream, query_of(uri), scheme)
    return _made(scheme, uri, lambda: stream(str(parts.hostname), parts.port or port, **given))


def _made(scheme: str, uri: str, make: Callable[[], StreamSubstrate]) -> StreamSubstrate:
    try:
        return make()
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} cannot be opened: {error}") from None
