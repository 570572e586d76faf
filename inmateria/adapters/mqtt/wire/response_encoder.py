"""How a device writes its signals: as floating-point numbers, or as 16-bit integers that span each output's range."""

from typing import Literal

import numpy as np

from inmateria.adapters.mqtt.wire.frames import Header, encode, integers
from inmateria.adapters.mqtt.wire.link import MOST_MESSAGE
from inmateria.substrate import SPIKE, Response, Stimulus, StimulusRejected, SubstrateInfo

__all__ = ["ResponseEncoder"]

_SIZES = {"float64": 8, "float32": 4, "int16": 2}
_INTEGERS = 65_534
_MOST_HEADER = 65_536


class ResponseEncoder:
    """Writes responses of one device.

    Parameters
    ----------
    info : SubstrateInfo
    dtype : {"float64", "float32", "int16"}
    whole : bool
        Whether the CRC covers the numbers; their sum does otherwise.

    Raises
    ------
    ValueError
        If the dtype is none of these, or an output's range is too wide for integers.
    """

    def __init__(self, info: SubstrateInfo, dtype: Literal["float64", "float32", "int16"], whole: bool) -> None:
        if dtype not in _SIZES:
            raise ValueError(f"signals are to be sent as {dtype!r}; allowed are {', '.join(_SIZES)}")
        self._info, self._dtype, self._whole = info, dtype, whole
        low = np.array([channel.low for channel in info.outputs], dtype=np.float64)
        high = np.array([channel.high for channel in info.outputs], dtype=np.float64)
        self._scale, self._offset = high / _INTEGERS - low / _INTEGERS, 0.5 * high + 0.5 * low
        if dtype == "int16" and not (np.isfinite(self._scale) & np.isfinite(self._offset) & (self._scale > 0)).all():
            raise ValueError(f"signals of {info.id} cannot be sent as int16: an output has no finite range")
        if len(set(self._scale)) == len(set(self._offset)) == 1:
            self._scale, self._offset = self._scale[:1], self._offset[:1]
        self._scales, self._offsets = tuple(self._scale.tolist()), tuple(self._offset.tolist())
        self._admitted: tuple[int, float] | None = None
        self._units = {tuple(channel.unit for channel in info.inputs)}
        if len({channel.unit for channel in info.inputs}) == 1:
            self._units.add((info.inputs[0].unit,))

    def admit(self, stimulus: Stimulus, units: tuple[str, ...]) -> None:
        """Let a stimulus pass, or raise `StimulusRejected`: wrong units, or an answer too large for a message."""
        form = len(stimulus.drive), stimulus.step
        if form == self._admitted and not units:  # nearly always: most stimuli are like the one before
            return
        if units and units not in self._units:
            raise StimulusRejected(
                f"the drive is in {', '.join(units[:8])}",
                f"{self._info.id} takes {', '.join(channel.unit for channel in self._info.inputs[:8])}",
                "convert it",
            )
        values = len(stimulus.drive) * self._info.samples(stimulus.step) * len(self._info.outputs)
        if values * _SIZES[self._dtype] + _MOST_HEADER > MOST_MESSAGE:
            raise StimulusRejected(
                f"the response would have {values} values",
                f"a message holds {(MOST_MESSAGE - _MOST_HEADER) // _SIZES[self._dtype]} as {self._dtype}",
                "send fewer or shorter steps at a time",
            )
        self._admitted = form

    def encode(self, header: Header, response: Response) -> bytes:
        """Write a response."""
        signal = response.signal
        if signal is None or self._dtype == "float64":
            return encode(header, signal, response.spikes, whole=self._whole)
        if self._dtype == "float32":
            return encode(header, signal.astype("<f4"), response.spikes, whole=self._whole)
        header.scale, header.offset = self._scales, self._offsets
        whole_numbers, header.clipped = integers(signal, self._scale, self._offset)
        return encode(header, whole_numbers, response.spikes, whole=self._whole)


def response_bytes(info: SubstrateInfo, stimulus: Stimulus) -> int:
    """Foresee how many bytes the answer to a stimulus has at most, spikes aside."""
    return len(stimulus.drive) * info.samples(stimulus.step) * len(info.outputs) * 8 + SPIKE.itemsize
