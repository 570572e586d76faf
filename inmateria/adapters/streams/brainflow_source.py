"""A board of BrainFlow as a source of samples, numbered by the board's own counter."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import numpy as np

from inmateria.adapters.streams.clock_relation import FastestDeliveries
from inmateria.adapters.streams.sample_counting import LateRun, TimestampCounter, unwrapped_counts
from inmateria.adapters.streams.source import (
    HIGHEST,
    Block,
    MissingStreamPackage,
    StreamDescription,
    StreamMark,
    StreamSource,
    StreamSpike,
    time_went_back,
)
from inmateria.adapters.tissue.substrate import as_identifier
from inmateria.errors import SubstrateDisconnected
from inmateria.substrate_info import Channel

__all__ = ["BrainflowSource"]

_logger = logging.getLogger("inmateria")
_UNITS = {
    "eeg": "uV", "emg": "uV", "ecg": "uV", "eog": "uV", "eda": "1", "ppg": "1", "accel": "1", "gyro": "1",
    "temperature": "Cel", "resistance": "1", "battery": "%", "analog": "1", "other": "1", "magnetometer": "1",
    "optical": "1", "rotation": "1",
}  # fmt: skip
"""Units that BrainFlow documents for every board; the others differ from board to board, and are written as 1."""
_BUFFERED = 450_000


class BrainflowSource(StreamSource):
    """A board that BrainFlow reads.

    Parameters
    ----------
    board : str
        Its name in BrainFlow's list, such as ``"synthetic"`` or ``"cyton"``, or its number.
    channels : str
        Groups of channels, such as ``"eeg"`` or ``"eeg,accel"``.
    wrap : int
        Number of values of the board's counter. If the counter does not count samples, timestamps do.
    id : str
        Identity of the device; by default what BrainFlow is told to find it by, or none.
    config : str
        Text that the board gets through BrainFlow's ``config_board`` before its stream starts.
    settings : dict of str to str
        Fields of BrainFlow's input parameters, such as ``serial_port`` or ``file``.
    """

    def __init__(
        self,
        board: str,
        *,
        channels: str = "eeg",
        wrap: int = 256,
        id: str = "",  # noqa: A002
        config: str = "",
        settings: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._board_name, self._groups, self._wrap = board, [each.strip() for each in channels.split(",")], wrap
        self._id, self._config, self._settings = id, config, dict(settings or {})
        self._board: Any = None

    async def open(self) -> StreamDescription:
        """Open the board, and start its stream."""
        try:
            from brainflow.board_shim import BoardShim, BrainFlowInputParams
            from brainflow.exit_codes import BrainFlowError
        except ImportError:
            raise MissingStreamPackage("brainflow", "brainflow") from None
        super().__init__()
        self._error: type[Exception] = BrainFlowError
        number = _number_of(self._board_name)
        given = BrainFlowInputParams()
        for name, value in self._settings.items():
            known = vars(given)
            if name not in known:
                raise SubstrateDisconnected(f"brainflow:// was given {name}", f"allowed are {', '.join(known)}")
            kind = type(known[name])
            setattr(given, name, _number_of(value) if name == "master_board" else kind(value))
        self._deliveries: FastestDeliveries | None = None
        self._counter: TimestampCounter | None = None
        self._late = LateRun()
        self._last, self._stamp = -1, 0.0
        self._held: list[Any] = []
        BoardShim.disable_board_logger()
        board = BoardShim(number, given)
        try:
            await asyncio.to_thread(board.prepare_session)
            self._board = board
            if self._config:
                await asyncio.to_thread(board.config_board, self._config)
            about = BoardShim.get_board_descr(board.get_board_id())  # of a playback, the board that it plays
            await asyncio.to_thread(board.start_stream, _BUFFERED)
        except BrainFlowError as error:
            await self.close()
            raise SubstrateDisconnected(
                f"BrainFlow cannot open the board {self._board_name} ({error})",
                "it was given " + (", ".join(f"{k}={v}" for k, v in self._settings.items()) or "no settings"),
                "check its port or address, and whether another program has it",
            ) from None
        self._rate = float(about["sampling_rate"])
        self._rows = {name: about[f"{name}_channel"] for name in ("timestamp", "marker", "package_num")}
        columns, channels = self._chosen(about)
        self._columns = columns
        self._deliveries = FastestDeliveries(self.clock, 1.0 / self._rate)
        where = "-".join(value for name, value in self._settings.items() if name in _ADDRESSES and value)
        name = as_identifier(f"{about['name']}-{where}" if where else about["name"])
        return StreamDescription(
            id=self._id or name,
            identity="user" if self._id else "host" if where else "none",
            kind="brainflow-board",
            channels=channels,
            rate=self._rate,
            parameters={"board": about["name"], "board_id": number, "groups": self._groups},
        )

    def _chosen(self, about: dict[str, Any]) -> tuple[list[int], tuple[Channel, ...]]:
        groups = {name.removesuffix("_channels"): rows for name, rows in about.items() if name.endswith("_channels")}
        groups |= {
            name.removesuffix("_channel"): [row]
            for name, row in about.items()
            if name.endswith("_channel") and name not in ("timestamp_channel", "marker_channel", "package_num_channel")
        }
        columns, channels = [], []
        for group in self._groups:
            if group not in groups:
                raise SubstrateDisconnected(
                    f"the board {about['name']} has no channels {group!r}", f"it has {', '.join(sorted(groups))}",
                    "add ?channels=, with a comma between groups",
                )  # fmt: skip
            names = about.get("eeg_names", "").split(",") if group == "eeg" else []
            for k, row in enumerate(groups[group]):
                if row not in columns:
                    label = names[k] if k < len(names) and names[k] else f"{group}{k + 1}"
                    columns.append(row)
                    channels.append(Channel(name=label, unit=_UNITS.get(group, "1"), low=-HIGHEST, high=HIGHEST))
        return columns, tuple(channels)

    async def close(self) -> None:
        """Stop the board's stream, and give it back."""
        board, self._board = self._board, None
        if board is not None:
            with suppress(self._error):
                await asyncio.to_thread(board.stop_stream)
            with suppress(self._error):
                await asyncio.to_thread(board.release_session)

    async def insert_marker(self, value: float) -> None:
        """Have BrainFlow write a marker into the sample that comes next."""
        self._board.insert_marker(value)

    async def read(self) -> list[Block | StreamMark | StreamSpike]:
        """Return what has arrived, numbered."""
        await asyncio.sleep(min(0.02, max(0.002, 1.0 / self._rate)))
        try:
            data = self._board.get_board_data()
        except self._error as error:
            raise SubstrateDisconnected(f"BrainFlow lost the board {self._board_name} ({error})") from None
        if not data.shape[1]:
            return []
        if self._last < 0:  # the first samples show whether the counter counts samples
            self._held.append(data)
            if sum(each.shape[1] for each in self._held) < min(64.0, max(8.0, 0.5 * self._rate)):
                return []
            data, self._held = np.concatenate(self._held, axis=1), []
        stamps, packages = data[self._rows["timestamp"]], data[self._rows["package_num"]].astype(np.int64)
        notes: list[Block | StreamMark | StreamSpike] = []
        index = self._numbered(packages, stamps, notes)
        assert self._deliveries is not None
        newest = int(np.argmax(index))
        if stamps[newest] >= self._stamp:
            self._deliveries.add(float(index[newest]) / self._rate, float(stamps[newest]))
        self._last, self._stamp = max(self._last, int(index[newest])), max(self._stamp, float(stamps.max()))
        markers = data[self._rows["marker"]]
        notes += [
            StreamMark(f"{markers[k]:g}", float(index[k]) / self._rate, details={"marker": float(markers[k])})
            for k in np.flatnonzero(markers).tolist()
        ]
        return [Block(index, np.ascontiguousarray(data[self._columns].T)), *notes]

    def _numbered(self, packages: Any, stamps: Any, notes: list[Any]) -> Any:
        """Return the numbers of samples, by the board's counter, or by timestamps if it does not count them."""
        if self._counter is not None:
            return self._counted(self._counter, stamps)
        if self._last < 0:
            steps = np.diff(packages) % self._wrap
            if len(packages) > 2 and np.median(steps) != 1:
                _logger.warning(
                    "%s: its package numbers do not count samples (steps of %g); timestamps do", self._board_name,
                    float(np.median(steps)),
                )  # fmt: skip
                self._counter = TimestampCounter(self._rate)
                notes.append(StreamMark("numbered by timestamps", 0.0))
                return self._counted(self._counter, stamps)
            self._offset = int(packages[0])
            self._last, self._stamp = -1, float(stamps[0]) - 1.0 / self._rate
        back = self._late.step_back(stamps)
        if back is not None:
            raise time_went_back(f"the board {self._board_name}", back)
        # Since the latest timestamp so far: one that is too early is followed by one that is not, and no gap.
        seconds = np.diff(np.maximum.accumulate(np.maximum(stamps, self._stamp)), prepend=self._stamp)
        shifted = (packages - self._offset) % self._wrap
        return unwrapped_counts(shifted, self._last, self._wrap, seconds, self._rate)

    def _counted(self, counter: TimestampCounter, stamps: Any) -> Any:
        index = counter.count(stamps)
        for step in counter.steps_back:
            raise time_went_back(f"the board {self._board_name}", step)
        return index


_ADDRESSES = ("serial_number", "mac_address", "serial_port", "ip_address", "file")


def _number_of(board: str) -> int:
    from brainflow.board_shim import BoardIds

    if board.lstrip("-").isdigit():
        return int(board)
    name = board.upper().removesuffix("_BOARD")
    known = {each.name.removesuffix("_BOARD"): each.value for each in BoardIds}
    if board.lower() == "playback":
        return int(BoardIds.PLAYBACK_FILE_BOARD.value)
    if name not in known:
        from difflib import get_close_matches

        close = get_close_matches(name, known, n=3) or sorted(known)[:8]
        raise SubstrateDisconnected(
            f"BrainFlow has no board {board!r}", f"near are {', '.join(each.lower() for each in close)}",
            "see BoardIds in BrainFlow's documentation",
        )  # fmt: skip
    return int(known[name])
