"""Everything that was sent and measured, written to HDF5 as it happens, and read as a `neo.Block`.

`RecordedSubstrate` stands around any substrate and writes down every exchange. A recording holds

    attributes      format, version, created, info (JSON), annotations (JSON)
    /exchanges      one row an exchange: where its rows are, device and host clocks, round trip
    /drive          (steps, inputs), what was driven, in the inputs' units
    /signal         (samples, outputs), what came out, in the outputs' units
    /spikes         time on the device's clock, output channel

The row in /exchanges is written last, so what it names is complete however the writing ended.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import h5py
import msgspec
import numpy as np
import numpy.typing as npt
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from inmateria import __version__
from inmateria.substrate import (
    SPIKE,
    FloatArray,
    Response,
    SpikeArray,
    Stimulus,
    Substrate,
    SubstrateInfo,
    asynchronous,
)

if TYPE_CHECKING:
    import neo

__all__ = ["Exchange", "RecordedSubstrate", "Recording", "RecordingError", "open_recording", "read_block"]

_FORMAT = "inmateria recording"
_VERSION = 1
_QUEUE = 256
_CHUNK_BYTES = 1 << 18

EXCHANGE = np.dtype(
    [
        ("sequence", "<u8"),
        ("session", "<u4"),  # counts returns to rest: the device's clock starts anew with each
        ("start", "<f8"),  # device clock, s
        ("step", "<f8"),  # s
        ("first_step", "<u8"),
        ("steps", "<u8"),
        ("first_sample", "<u8"),
        ("samples", "<u8"),
        ("first_spike", "<u8"),
        ("spikes", "<u8"),
        ("sent", "<f8"),  # host clock, s since 1970
        ("round_trip", "<f8"),  # s
    ]
)
"""A row of /exchanges; ``samples`` counts those of the whole exchange."""


class RecordingError(Exception):
    """A file is not a recording, or not one that can be read here."""


@dataclass(frozen=True, eq=False, slots=True)
class Exchange:
    """One stimulus and its response, as recorded.

    Parameters
    ----------
    stimulus, response
        What was sent and what came back.
    session : int
        How many returns to rest came before.
    sent : float
        Host clock when the stimulus left, s since 1970.
    round_trip : float
        Seconds until the response was here.
    """

    stimulus: Stimulus
    response: Response
    session: int
    sent: float
    round_trip: float


class RecordedSubstrate(Substrate):
    """A substrate whose every exchange is written down as it happens.

    Exchanges wait in a queue of 256 for a thread that writes them; when it is full, the stream waits.

    Parameters
    ----------
    substrate : Substrate
        Entered and left with this one.
    path : path-like
        File to make; it must not exist.
    annotations : dict, optional
        Whatever JSON can hold, for the record.

    Attributes
    ----------
    exchanges : int
        How many were written down so far.

    Raises
    ------
    RecordingError
        On entering, where the file exists or cannot be made; later, where it cannot be written.
    """

    def __init__(
        self, substrate: Substrate, path: str | PathLike[str], annotations: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self._substrate = substrate
        self._annotations = dict(annotations or {})
        self.exchanges = 0
        self._info: SubstrateInfo | None = None
        self._session = 0
        self._exits = AsyncExitStack()
        self._notes: MemoryObjectSendStream[Exchange] | None = None
        self._writing: asyncio.Task[None] | None = None

    @property
    def info(self) -> SubstrateInfo:
        """What the recorded substrate is and what it may be given."""
        return self._substrate.info if self._info is None else self._info

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._substrate)
            self._info = self._substrate.info
            writer = await asyncio.to_thread(_Writer, self.path, self.info, self._annotations)
            self._notes, notes = anyio.create_memory_object_stream[Exchange](_QUEUE)
            self._writing = asyncio.create_task(self._write(writer, notes), name=f"recording {self.path.name}")
            exits.push_async_callback(self._finish)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def stimulate(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, write the exchange down, return the response."""
        sent, begun = time.time(), time.perf_counter()
        response = await self._substrate.stimulate(stimulus)
        await self._note(Exchange(stimulus, response, self._session, sent, time.perf_counter() - begun))
        return response

    async def stream(self, stimuli: Iterable[Stimulus] | AsyncIterable[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli as the recorded substrate streams them, and write every exchange down."""
        sent: deque[tuple[Stimulus, float, float]] = deque()

        async def noted() -> AsyncGenerator[Stimulus]:
            async for stimulus in asynchronous(stimuli):
                sent.append((stimulus, time.time(), time.perf_counter()))
                yield stimulus

        async with aclosing(self._substrate.stream(noted())) as responses:
            async for response in responses:
                stimulus, at, begun = sent.popleft()
                await self._note(Exchange(stimulus, response, self._session, at, time.perf_counter() - begun))
                yield response

    async def reset(self) -> None:
        """Return to rest; what follows is a new session in the recording."""
        await self._substrate.reset()
        self._session += 1

    async def _note(self, exchange: Exchange) -> None:
        if self._notes is None or self._writing is None:
            raise RecordingError(f"{self.path} is not open; use the substrate inside `async with`")
        self.exchanges += 1
        try:
            try:
                self._notes.send_nowait(exchange)
            except anyio.WouldBlock:
                await self._notes.send(exchange)
        except anyio.BrokenResourceError:
            await self._writing  # has died: raises why

    async def _write(self, writer: "_Writer", notes: MemoryObjectReceiveStream[Exchange]) -> None:
        try:
            with notes:
                async for exchange in notes:
                    batch = [exchange]
                    while notes.statistics().current_buffer_used:
                        batch.append(notes.receive_nowait())
                    await asyncio.to_thread(writer.append, batch)
        except OSError as error:
            raise RecordingError(f"{self.path} cannot be written ({error}); is the disk full?") from error
        finally:
            await asyncio.to_thread(writer.close)

    async def _finish(self) -> None:
        """Write what is still queued, and close the file; also on cancellation."""
        if self._notes is not None and self._writing is not None:
            self._notes.close()
            self._notes = None
            await self._writing


class _Writer:
    """The file being written; used by one thread at a time."""

    def __init__(self, path: Path, info: SubstrateInfo, annotations: dict[str, Any]) -> None:
        try:
            self._file = h5py.File(path, "x", libver="latest")
        except FileExistsError:
            raise RecordingError(f"{path} exists; a recording is never overwritten: give another name") from None
        except OSError as error:
            raise RecordingError(f"{path} cannot be made ({error})") from None
        self._file.attrs.update(
            format=_FORMAT,
            version=_VERSION,
            inmateria=__version__,
            created=datetime.now(UTC).isoformat(),
            info=msgspec.json.encode(info).decode(),
            annotations=msgspec.json.encode(annotations).decode(),
        )
        self._exchanges = self._dataset("exchanges", EXCHANGE, ())
        self._drive = self._dataset("drive", np.dtype("<f8"), (len(info.inputs),))
        self._signal = self._dataset("signal", np.dtype("<f8"), (len(info.outputs),))
        self._spikes = self._dataset("spikes", SPIKE, ())
        self._file.swmr_mode = True

    def _dataset(self, name: str, dtype: np.dtype[Any], width: tuple[int, ...]) -> h5py.Dataset:
        rows = max(1, _CHUNK_BYTES // (dtype.itemsize * int(np.prod(width, dtype=int))))
        return self._file.create_dataset(
            name,
            (0, *width),
            maxshape=(None, *width),
            dtype=dtype,
            chunks=(rows, *width),
            shuffle=True,
            compression="lzf",
        )

    def append(self, exchanges: list[Exchange]) -> None:
        """Write some exchanges, their rows in /exchanges last."""
        rows = np.zeros(len(exchanges), dtype=EXCHANGE)
        drives: list[FloatArray] = []
        signals: list[FloatArray] = []
        spikes: list[SpikeArray] = []
        first = [len(self._drive), len(self._signal), len(self._spikes)]
        for row, exchange in zip(rows, exchanges, strict=True):
            stimulus, response = exchange.stimulus, exchange.response
            signal = np.empty((0, self._signal.shape[1])) if response.signal is None else response.signal
            signal = signal.reshape(-1, self._signal.shape[1])
            train = np.empty(0, dtype=SPIKE) if response.spikes is None else response.spikes
            row["sequence"], row["session"] = response.sequence, exchange.session
            row["start"], row["step"] = response.start, stimulus.step
            row["first_step"], row["steps"] = first[0], len(stimulus.drive)
            row["first_sample"], row["samples"] = first[1], len(signal)
            row["first_spike"], row["spikes"] = first[2], len(train)
            row["sent"], row["round_trip"] = exchange.sent, exchange.round_trip
            first = [first[0] + len(stimulus.drive), first[1] + len(signal), first[2] + len(train)]
            drives.append(stimulus.drive)
            signals.append(signal)
            spikes.append(train)
        for dataset, parts in ((self._drive, drives), (self._signal, signals), (self._spikes, spikes)):
            _extend(dataset, np.concatenate(parts))
            dataset.flush()
        _extend(self._exchanges, rows)
        self._exchanges.flush()

    def close(self) -> None:
        self._file.close()


def _extend(dataset: h5py.Dataset, rows: npt.NDArray[Any]) -> None:
    if len(rows):
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows


class Recording:
    """A recording opened for reading, finished or still growing; see `open_recording`."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self.path = path
        self.info = msgspec.json.decode(file.attrs["info"], type=SubstrateInfo)
        self.annotations: dict[str, Any] = msgspec.json.decode(file.attrs["annotations"])
        self.created = str(file.attrs["created"])
        self.exchanges: npt.NDArray[np.void] = file["exchanges"][:]

    def __len__(self) -> int:
        return len(self.exchanges)

    def exchange(self, index: int) -> Exchange:
        """Read one exchange, with the same bits as when it happened."""
        row = self.exchanges[index]
        stimulus = Stimulus(self._rows("drive", row["first_step"], row["steps"]), float(row["step"]))
        signal = self._rows("signal", row["first_sample"], row["samples"])
        steps = len(stimulus.drive)
        return Exchange(
            stimulus,
            Response(
                signal.reshape(steps, -1, len(self.info.outputs)) if self.info.sampling_rate is not None else None,
                self._rows("spikes", row["first_spike"], row["spikes"]) if self.info.spiking else None,
                float(row["start"]),
                int(row["sequence"]),
            ),
            int(row["session"]),
            float(row["sent"]),
            float(row["round_trip"]),
        )

    def __iter__(self) -> Iterator[Exchange]:
        return (self.exchange(index) for index in range(len(self)))

    def _rows(self, name: str, first: int, count: int) -> npt.NDArray[Any]:
        rows: npt.NDArray[Any] = self._file[name][int(first) : int(first) + int(count)]
        return rows


@contextmanager
def open_recording(path: str | PathLike[str]) -> Iterator[Recording]:
    """Open a recording for reading, also one that is still being written or was cut short.

    Raises
    ------
    RecordingError
        Where there is no such file, or it is not a recording of a version that is known here.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordingError(f"{path} is not there; give the path of a recording (.h5)")
    with _open_file(path) as file:
        if file.attrs.get("format") != _FORMAT:
            raise RecordingError(f"{path} is an HDF5 file, but not a recording of inmateria")
        if file.attrs["version"] != _VERSION:
            raise RecordingError(
                f"{path} is a recording of version {file.attrs['version']}; version {_VERSION} is known here: "
                "use a newer inmateria"
            )
        yield Recording(file, path)


def _open_file(path: Path) -> h5py.File:
    """Open an HDF5 file; one that a writer left open is read as it grows."""
    ways: list[Callable[[], h5py.File]] = [
        lambda: h5py.File(path, "r"),
        lambda: h5py.File(path, "r", libver="latest", swmr=True),
    ]
    for attempt in ways:
        try:
            return attempt()
        except OSError as error:
            reason = error
    raise RecordingError(f"{path} cannot be read as HDF5 ({reason})") from None


def read_block(path: str | PathLike[str]) -> "neo.Block":
    """Read a recording as a `neo.Block`.

    One segment for each stretch of unbroken device time and one step duration. In each: an
    `AnalogSignal` "stimulus" and "response" for each unit that the channels have, a `SpikeTrain` for
    each output of a spiking substrate, and an `Event` "exchange" with the sequence number as its label
    and the host clock and round trip as array annotations.

    Raises
    ------
    RecordingError
        Where the file is not such a recording.
    """
    import neo

    with open_recording(path) as recording:
        info = recording.info
        block = neo.Block(
            name=info.id,
            file_origin=Path(path).name,
            rec_datetime=datetime.fromisoformat(recording.created),
            kind=info.kind,
            info=msgspec.json.encode(info).decode(),
            annotations_json=msgspec.json.encode(recording.annotations).decode(),
        )
        for index, rows in enumerate(_stretches(recording.exchanges)):
            block.segments.append(_segment(index, [recording.exchange(row) for row in rows], info))
        block.check_relationships()
        return block


def _stretches(exchanges: npt.NDArray[np.void]) -> list[range]:
    """Find the runs of exchanges that follow each other without a gap, with one step duration."""
    ends = exchanges["start"] + exchanges["step"] * exchanges["steps"]
    breaks = (
        (exchanges["session"][1:] != exchanges["session"][:-1])
        | (exchanges["step"][1:] != exchanges["step"][:-1])
        | (np.abs(exchanges["start"][1:] - ends[:-1]) > 0.01 * exchanges["step"][1:])
    )
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(exchanges)]
    return [range(begin, end) for begin, end in pairwise(edges) if end > begin]


def _segment(index: int, exchanges: list[Exchange], info: SubstrateInfo) -> "neo.Segment":
    import neo
    import quantities as pq

    first, last = exchanges[0], exchanges[-1]
    step, start = first.stimulus.step, first.response.start
    stop = last.response.start + last.stimulus.duration
    segment = neo.Segment(name=f"session {first.session}", index=index)
    sides = [("stimulus", info.inputs, np.concatenate([each.stimulus.drive for each in exchanges]), 1 / step)]
    if first.response.signal is not None:
        signals = [each.response.signal for each in exchanges if each.response.signal is not None]
        rate = signals[0].shape[1] / step
        flat = np.concatenate([signal.reshape(-1, signal.shape[2]) for signal in signals])
        sides.append(("response", info.outputs, flat, rate))
    for name, channels, values, rate in sides:
        for unit in dict.fromkeys(channel.unit for channel in channels):
            columns = [column for column, channel in enumerate(channels) if channel.unit == unit]
            segment.analogsignals.append(
                neo.AnalogSignal(
                    values[:, columns],
                    units="dimensionless" if unit == "1" else unit,
                    sampling_rate=rate * pq.Hz,
                    t_start=start * pq.s,
                    name=name,
                    array_annotations={"channel_names": [channels[column].name for column in columns]},
                )
            )
    if info.spiking:
        train = np.concatenate([each.response.spikes for each in exchanges if each.response.spikes is not None])
        for column, channel in enumerate(info.outputs):
            times = train["time"][train["channel"] == column]
            segment.spiketrains.append(
                neo.SpikeTrain(times * pq.s, t_start=start * pq.s, t_stop=stop * pq.s, name=channel.name)
            )
    segment.events.append(
        neo.Event(
            np.array([each.response.start for each in exchanges]) * pq.s,
            labels=[str(each.response.sequence) for each in exchanges],
            name="exchange",
            array_annotations={
                "sent": [each.sent for each in exchanges],
                "round_trip": [each.round_trip for each in exchanges],
            },
        )
    )
    return segment
