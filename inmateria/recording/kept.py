"""Samples of each step that are kept in a recording, and the precision of those that no readout reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from inmateria.exchange import evenly_spaced
from inmateria.one_line import one_line
from inmateria.substrate import FloatArray, Response, SubstrateInfo

SIGNIFICANT_BITS = 6
"""Binary digits of a rounded sample, which is within 1/64 of the sample."""

_MANTISSA = 52
"""Stored bits of the significand of a float64; the first of its 53 digits is not stored."""

_SURELY_FINITE = 2.0**1023
"""Numbers of smaller size stay finite when they are rounded."""


@dataclass(frozen=True, slots=True)
class KeptSamples:
    """Samples of each step that are kept exactly, and the handling of the others.

    It is applied to a response before it is recorded and before it is passed on, so that a readout reads what the
    recording holds. It changes nothing if a step has no other samples, or a response no signal.

    Parameters
    ----------
    samples : int
        Number of samples of each step that are kept exactly, evenly spaced and ending with its last, as
        `inmateria.reservoir.VirtualNodes` takes them; at least 1.
    others : {"rounded", "left out"}
        Round the other samples to `SIGNIFICANT_BITS` binary digits, which makes a recording much smaller once it is
        compressed, or leave them out.
    step : float, optional
        Duration of a step, s, from which the sampling rate is computed if samples are left out; the substrate's own by
        default.

    Raises
    ------
    ValueError
        If the number of samples is less than 1.
    """

    samples: int
    others: Literal["rounded", "left out"] = "rounded"
    step: float | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; at least 1 of each step is kept")

    def info(self, info: SubstrateInfo) -> SubstrateInfo:
        """Return the info of what is kept of a substrate's responses: its sampling rate may be lower."""
        step = info.step if self.step is None else self.step
        if self.others == "rounded" or info.samples(step) <= self.samples:
            return info
        return msgspec.structs.replace(info, sampling_rate=self.samples / step)

    def response(self, response: Response, kept: int) -> Response:
        """Return a response as it is kept.

        Parameters
        ----------
        response : Response
        kept : int
            Number of samples of each step according to `info`.
        """
        signal = response.signal
        if signal is None:
            return response
        available = signal.shape[1]
        if self.others == "left out":
            if kept == available:
                return response
            signal = signal[:, evenly_spaced(kept, available)]
        elif self.samples < available:
            exact = evenly_spaced(self.samples, available)
            exactly = signal[:, exact]
            signal = rounded(signal)
            signal[:, exact] = exactly
        else:
            return response
        return Response(signal, response.spikes, response.start, response.sequence)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "KeptSamples | None":
        """Return the kept samples that the attribute `kept` of a recording describes; None if it is empty."""
        return cls(document["samples"], document["others"]) if document else None

    def document(self) -> dict[str, Any]:
        """Return what the attribute `kept` of a recording says; see `inmateria.recording.format`."""
        return {"samples": self.samples, "others": self.others} | (
            {"significant_bits": SIGNIFICANT_BITS} if self.others == "rounded" else {}
        )


def rounded(values: npt.NDArray[Any], bits: int = SIGNIFICANT_BITS) -> FloatArray:
    """Round numbers to so many significant binary digits, away from zero if halfway.

    The relative error is at most ``2 ** -bits``. NaN and infinities are kept, and numbers that would become infinite.
    """
    floats = np.ascontiguousarray(values, dtype=np.float64)
    drop = _MANTISSA + 1 - bits
    # A carry out of the significand goes on into the exponent, which is the next power of two.
    words = floats.view(np.uint64) + np.uint64(1 << (drop - 1))
    words &= ~np.uint64((1 << drop) - 1)
    found: FloatArray = words.view(np.float64)
    # Two passes over the numbers, which are false for NaN: looking at each result would take as long as rounding.
    if floats.size and not (floats.max() < _SURELY_FINITE and floats.min() > -_SURELY_FINITE):
        found = np.where(np.isfinite(found) & np.isfinite(floats), found, floats)
    return found
