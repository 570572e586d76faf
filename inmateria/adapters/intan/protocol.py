"""The TCP protocol of Intan's RHX software: commands, replies, waveforms and spikes, encoded and decoded.

The parsers accept any division of the byte stream. Replies have no end mark, so a reader cannot tell a value
from its first half: every batch of commands therefore ends with a query whose possible answers are known, and
everything before that answer is complete. The query also acknowledges ``set``, on which RHX is silent. Formats
follow the TCP chapter of the RHX user guide and were measured on RHX 3.4.0.
"""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from inmateria.substrate import FrameError, StimulusRejected

__all__ = [
    "BLOCK",
    "SPIKE_EVENT",
    "ReplyParser",
    "SpikeParser",
    "StimSettings",
    "WaveformParser",
    "batches",
    "encode_spikes",
    "encode_waveform",
    "microvolts",
    "unwrapped",
]

BLOCK = 128
"""Samples in one data block."""

WAVEFORM_MAGIC = 0x2EF07A08
SPIKE_MAGIC = 0x3AE2710F
QUERY = "get runmode"
_ANSWER = re.compile(r"Return: RunMode (Stop|Run|Record|Trigger)")
_RETURN = re.compile(r"Return: ([A-Za-z0-9.\-]+) ?(.*?)(?=Return: |Error|Warning|$)", re.DOTALL)
_MOST_TEXT = 1 << 20
_MOST_BATCH = 900  # bytes: RHX reads commands in pieces of about a kilobyte and does not join them

SPIKE_EVENT = np.dtype([("channel", "S5"), ("timestamp", "<u4"), ("id", "u1")])
_SPIKE_CHUNK = np.dtype([("magic", "<u4"), ("channel", "S5"), ("timestamp", "<u4"), ("id", "u1")])


def microvolts(samples: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """Convert amplifier samples to microvolts: 0.195 uV per bit around 32,768."""
    return 0.195 * (samples.astype(np.float64) - 32768)


def unwrapped(timestamp: npt.ArrayLike, near: int) -> npt.NDArray[np.int64]:
    """Extend 32-bit timestamps, which wrap after 39.8 hours at 30 kHz, to the values nearest a known one."""
    ahead = (np.asarray(timestamp, dtype=np.int64) - near + (1 << 31)) % (1 << 32) - (1 << 31)
    return np.asarray(near + ahead, dtype=np.int64)


class WaveformParser:
    """Split the byte stream of the waveform port into data blocks.

    Parameters
    ----------
    bands : int
        Values in each sample: enabled bands over all enabled channels.
    """

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self._row = np.dtype([("timestamp", "<u4"), ("values", "<u2", (bands,))])
        self._size = 4 + BLOCK * self._row.itemsize
        self._held = bytearray()

    def feed(self, data: bytes) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
        """Add bytes and return the samples of all complete blocks.

        Returns
        -------
        timestamps : ndarray of uint32, shape (samples,)
        values : ndarray of uint16, shape (samples, bands)

        Raises
        ------
        FrameError
            If a block does not begin with its magic number.
        """
        self._held += data
        count = len(self._held) // self._size
        raw, self._held = bytes(self._held[: count * self._size]), self._held[count * self._size :]
        block = np.dtype([("magic", "<u4"), ("rows", self._row, (BLOCK,))])
        blocks = np.frombuffer(raw, dtype=block)
        if (blocks["magic"] != WAVEFORM_MAGIC).any() or not _begins(self._held, WAVEFORM_MAGIC):
            raise FrameError(
                f"the waveform port sent bytes that are no block of {self._bands} values per sample",
                f"blocks begin with {WAVEFORM_MAGIC:#x}",
                "check whether the channels sent over TCP were changed while RHX ran",
            )
        rows = blocks["rows"].reshape(-1)
        return rows["timestamp"], rows["values"].reshape(-1, self._bands)


class SpikeParser:
    """Split the byte stream of the spike port into events."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> npt.NDArray[np.void]:
        """Add bytes and return all complete events as `SPIKE_EVENT`; raises `FrameError`."""
        data = self._held + data
        size = _SPIKE_CHUNK.itemsize
        count = len(data) // size
        chunks = np.frombuffer(data[: count * size], dtype=_SPIKE_CHUNK)
        self._held = data[count * size :]
        if (chunks["magic"] != SPIKE_MAGIC).any() or not _begins(self._held, SPIKE_MAGIC):
            raise FrameError(
                "the spike port sent bytes that are no spike", f"spikes are 14 bytes that begin with {SPIKE_MAGIC:#x}"
            )
        events = np.zeros(count, dtype=SPIKE_EVENT)
        for name in SPIKE_EVENT.names or ():
            events[name] = chunks[name]
        return events


def _begins(held: bytes | bytearray, magic: int) -> bool:
    return struct.pack("<I", magic).startswith(bytes(held[:4]))


class ReplyParser:
    """Split the replies to commands at the answers to the query that ends each batch."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, data: bytes) -> list[tuple[dict[str, str], str, str]]:
        """Add bytes and return, for each answered batch, values by lower-case name, run mode and error text."""
        self._held += data.decode("ascii", errors="replace")
        if len(self._held) > _MOST_TEXT:
            raise FrameError(
                "the command port sent a megabyte without an answer", 'answers contain "Return: RunMode ..."'
            )
        finished = []
        # No answer is the beginning of another one, so a match is complete.
        while answer := _ANSWER.search(self._held):
            text, self._held = self._held[: answer.start()], self._held[answer.end() :]
            found = [(name.lower(), value.strip()) for name, value in _RETURN.findall(text)]
            values = {_key(name, value): value for name, value in found}
            finished.append((values, answer[1], _RETURN.sub("", text).strip()))
        return finished


def _key(name: str, value: str) -> str:
    """Return the key of an answer; RHX tells the channel of a parameter only where it is the value."""
    return f"{value.lower()}.nativechannelname" if name.endswith("nativechannelname") else name


def batches(commands: Iterable[str]) -> Iterable[bytes]:
    """Join commands into batches short enough for one read of RHX, each ending with the query; send one at a time."""
    piece: list[str] = []
    for command in commands:
        if piece and sum(map(len, piece)) + len(piece) + len(command) + len(QUERY) > _MOST_BATCH:
            yield ";".join([*piece, QUERY, ""]).encode("ascii")
            piece = []
        piece.append(command)
    yield ";".join([*piece, QUERY, ""]).encode("ascii")


def encode_waveform(first: int, values: npt.NDArray[np.uint16]) -> bytes:
    """Encode samples as data blocks, for the emulator; values of shape (blocks x 128, bands)."""
    row = np.dtype([("timestamp", "<u4"), ("values", "<u2", (values.shape[1],))])
    blocks = np.zeros(len(values) // BLOCK, dtype=np.dtype([("magic", "<u4"), ("rows", row, (BLOCK,))]))
    blocks["magic"] = WAVEFORM_MAGIC
    blocks["rows"]["timestamp"] = ((first + np.arange(len(values))) % (1 << 32)).reshape(-1, BLOCK)
    blocks["rows"]["values"] = values.reshape(len(blocks), BLOCK, values.shape[1])
    return blocks.tobytes()


def encode_spikes(events: npt.NDArray[np.void]) -> bytes:
    """Encode spikes, an array of `SPIKE_EVENT`, as RHX sends them; for the emulator."""
    chunks = np.zeros(len(events), dtype=_SPIKE_CHUNK)
    chunks["magic"] = SPIKE_MAGIC
    for name in SPIKE_EVENT.names or ():
        chunks[name] = events[name]
    return chunks.tobytes()


@dataclass(frozen=True, kw_only=True)
class StimSettings:
    """Stimulation parameters of one channel, all of them, with RHX's names and units.

    RHX checks each value by itself, warns of values that contradict each other in its own window only, and
    uploads them all the same; so they are checked here.

    Raises
    ------
    StimulusRejected
        If a value is outside its range, or values contradict each other.
    """

    stim_enabled: bool = False
    source: str = "KeyPressF1"
    trigger_edge_or_level: str = "Edge"
    trigger_high_or_low: str = "High"
    shape: str = "Biphasic"
    polarity: str = "NegativeFirst"
    first_phase_duration_microseconds: float = 100.0
    second_phase_duration_microseconds: float = 100.0
    first_phase_amplitude_micro_amps: float = 0.0
    second_phase_amplitude_micro_amps: float = 0.0
    interphase_delay_microseconds: float = 0.0
    pulse_or_train: str = "SinglePulse"
    number_of_stim_pulses: int = 1
    pulse_train_period_microseconds: float = 10_000.0
    post_trigger_delay_microseconds: float = 0.0
    pre_stim_amp_settle_microseconds: float = 0.0
    post_stim_amp_settle_microseconds: float = 1000.0
    refractory_period_microseconds: float = 1000.0
    enable_amp_settle: bool = True
    maintain_amp_settle: bool = False
    enable_charge_recovery: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise StimulusRejected(f"{rhx_name(name)} is {getattr(self, name)}", f"RHX allows {low:g} to {high:g}")
        for name, allowed in _WORDS.items():
            if getattr(self, name) not in allowed:
                raise StimulusRejected(
                    f"{rhx_name(name)} is {getattr(self, name)!r}", f"allowed are {', '.join(allowed)}"
                )
        length = self.first_phase_duration_microseconds + self.second_phase_duration_microseconds
        if self.shape == "BiphasicWithInterphaseDelay":
            length += self.interphase_delay_microseconds
        elif self.shape == "Triphasic":
            length += self.first_phase_duration_microseconds
        for wrong, said in (
            (
                self.pulse_train_period_microseconds < length,
                f"PulseTrainPeriodMicroseconds is less than the pulse lasts ({length:g} us)",
            ),
            (
                self.post_trigger_delay_microseconds < self.pre_stim_amp_settle_microseconds,
                "PostTriggerDelayMicroseconds is less than PreStimAmpSettleMicroseconds",
            ),
            (
                self.refractory_period_microseconds < self.post_stim_amp_settle_microseconds,
                "RefractoryPeriodMicroseconds is less than PostStimAmpSettleMicroseconds",
            ),
        ):
            if wrong:
                raise StimulusRejected(said, "RHX would upload it, and the chip would do something else")

    def check_step(self, step: float) -> None:
        """Check that the amplitudes are whole multiples of the chip's step size (uA), at most 255 of them."""
        for name in ("first_phase_amplitude_micro_amps", "second_phase_amplitude_micro_amps"):
            count = getattr(self, name) / step
            if count > 255 + 1e-6 or abs(count - round(count)) > 1e-6:
                raise StimulusRejected(
                    f"{rhx_name(name)} is {getattr(self, name):g} uA",
                    f"the chip gives multiples of {step:g} uA up to {255 * step:g} uA (StimStepSizeMicroAmps)",
                    "choose another step size in RHX's window before it connects to the controller",
                )

    def commands(self, channel: str, before: "StimSettings | None" = None) -> list[str]:
        """Return the commands that change a channel to these settings and upload them.

        Parameters
        ----------
        channel : str
        before : StimSettings, optional
            The channel's present settings, none of whose values is sent again; every value if they are unknown.
        """
        changed = [
            each.name
            for each in fields(self)
            if before is None or getattr(self, each.name) != getattr(before, each.name)
        ]
        if not changed:
            return []
        said = [f"set {channel}.{rhx_name(name)} {_written(getattr(self, name))}" for name in changed]
        return [*said, f"execute uploadstimparameters {channel}"]


_RANGES = {
    "first_phase_duration_microseconds": (0, 5000),
    "second_phase_duration_microseconds": (0, 5000),
    "first_phase_amplitude_micro_amps": (0, 2550),
    "second_phase_amplitude_micro_amps": (0, 2550),
    "interphase_delay_microseconds": (0, 5000),
    "number_of_stim_pulses": (1, 256),
    "pulse_train_period_microseconds": (0, 1_000_000),
    "post_trigger_delay_microseconds": (0, 500_000),
    "pre_stim_amp_settle_microseconds": (0, 500_000),
    "post_stim_amp_settle_microseconds": (0, 500_000),
    "refractory_period_microseconds": (0, 1_000_000),
}
_WORDS = {
    "trigger_edge_or_level": ("Edge", "Level"),
    "trigger_high_or_low": ("High", "Low"),
    "source": tuple(f"KeyPressF{k}" for k in range(1, 9)),
    "shape": ("Biphasic", "BiphasicWithInterphaseDelay", "Triphasic"),
    "polarity": ("NegativeFirst", "PositiveFirst"),
    "pulse_or_train": ("SinglePulse", "PulseTrain"),
}


def rhx_name(name: str) -> str:
    """Return a field's name in RHX's spelling: ``number_of_stim_pulses`` is ``NumberOfStimPulses``."""
    return "".join(word.capitalize() for word in name.split("_"))


def _written(value: object) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else f"{value:.10g}" if isinstance(value, float) else str(value)
    )
