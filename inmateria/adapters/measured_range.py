"""Values that were measured outside the range of their output: NaN, and said."""

import logging

import numpy as np

from inmateria.substrate import FloatArray, SubstrateInfo

__all__ = ["nan_outside_range"]

_logger = logging.getLogger("inmateria")


def nan_outside_range(info: SubstrateInfo, signal: FloatArray) -> tuple[FloatArray, int]:
    """Return a signal with NaN for values outside the range of their output, and their number, which is logged.

    Parameters
    ----------
    info : SubstrateInfo
    signal : ndarray of float, shape (steps, samples, outputs)
    """
    low, high = ([getattr(channel, end) for channel in info.outputs] for end in ("low", "high"))
    outside = (signal < low) | (signal > high)
    count = int(outside.sum())
    if count:
        step, sample, output = np.argwhere(outside)[0]
        channel = info.outputs[output]
        _logger.warning(
            "%s: %d values are out of range and NaN, the first %g %s of %s (step %d); allowed are %g to %g",
            info.id, count, signal[step, sample, output], channel.unit, channel.name, step, channel.low, channel.high,
        )  # fmt: skip
        signal = np.where(outside, np.nan, signal)
    return signal, count
