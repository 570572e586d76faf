"""Calibration of a substrate: a fixed, seeded probe sequence is presented several times, and the responses are kept.

Drift and identity are computed from two such fingerprints in `fingerprints`.
"""

import hashlib
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.devices.fingerprints import Fingerprint, settling_p_value
from inmateria.one_line import one_line
from inmateria.substrate import Channel, FloatArray, Response, Stimulus, Substrate, SubstrateInfo

__all__ = ["Probe", "calibrate"]

_logger = logging.getLogger("inmateria")


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A probe sequence, the same for all substrates with the same inputs.

    Parameters
    ----------
    seed : int
        Seed of the sequence.
    steps : int
        Steps of one repeat.
    repeats : int
        Number of presentations whose responses are kept. The smallest p-value for two fingerprints of n repeats each
        is ``2 / C(2n, n)``: 1e-5 for 10.
    discarded : int
        Number of presentations before these, until the device has forgotten earlier stimuli.
    amplitude : float
        Largest drive, as a fraction of the way from rest to each input's limits. An input with discrete levels is
        driven with all of them.
    step : float or None
        Duration of a step, s; the substrate's own by default.
    rest : float
        Seconds at rest after each repeat. For independent repeats it should be longer than the device's memory and the
        correlation time of its noise.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    steps: Annotated[int, Meta(ge=1)] = 40
    repeats: Annotated[int, Meta(ge=2)] = 10
    discarded: Annotated[int, Meta(ge=0)] = 1
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.15
    step: Annotated[float, Meta(gt=0.0)] | None = None
    rest: Annotated[float, Meta(ge=0.0)] = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        if self.steps < 1 or self.repeats < 2 or self.discarded < 0:
            raise ValueError(
                f"steps is {self.steps}, repeats {self.repeats} and discarded {self.discarded}; "
                "they must be at least 1, 2 and 0"
            )
        if not (0 < self.amplitude <= 1 and 0 <= self.rest < math.inf):
            raise ValueError(
                f"amplitude is {self.amplitude} and rest {self.rest} s; amplitude must be more than 0 and at most 1, "
                "rest finite and at least 0"
            )

    def stimulus(self, info: SubstrateInfo) -> Stimulus:
        """Return the stimulus of one repeat with its rest, checked against the substrate's limits; nothing is sent.

        Raises
        ------
        StimulusRejected
            If the probe is too long for it.
        """
        step = info.step if self.step is None else self.step
        rng = np.random.default_rng([self.seed, len(info.inputs)])
        columns = [
            _column(channel, rest, self.amplitude, rng.uniform(-1, 1, self.steps))
            for channel, rest in zip(info.inputs, info.rest, strict=True)
        ]
        resting = info.rest_drive(math.ceil(self.rest / step))
        return info.stimulus(np.concatenate([np.column_stack(columns), resting]), step)


async def calibrate(
    substrate: Substrate, probe: Probe | None = None, *, on_progress: Callable[[str, int, int, int], None] | None = None
) -> Fingerprint:
    """Present the probe sequence to a substrate several times, and return its fingerprint.

    The substrate is not reset in between, since not every device can: each repeat is
    followed by a rest, and all have the same history. If repeats still change with time, a warning is logged
    (`settling_p_value`).

    Parameters
    ----------
    substrate : Substrate
        A substrate that has been entered.
    probe : Probe, optional
    on_progress : callable, optional
        Called with phase, repeats done, all repeats, and steps done.

    Raises
    ------
    StimulusRejected
        If the probe is not within the substrate's limits; nothing of it was applied.
    """
    probe = Probe() if probe is None else probe
    info = substrate.info
    stimulus = probe.stimulus(info)
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    total = probe.discarded + probe.repeats
    clock = 0.0
    kept: list[FloatArray] = []
    for done in range(total):
        response = await substrate.stimulate(stimulus)
        if done == probe.discarded:
            clock = response.start
        if done >= probe.discarded:
            kept.append(_answer(response, stimulus, info)[: probe.steps])
        if on_progress is not None:
            on_progress("calibrating", done + 1, total, (done + 1) * len(stimulus.drive))
    responses = np.stack(kept)
    names = [channel.name for channel in info.outputs]
    sides = [info.sampling_rate is not None, info.spiking]
    fingerprint = Fingerprint(
        device=info.id,
        kind=info.kind,
        taken=taken,
        clock=clock,
        probe={name: value for name, value in msgspec.to_builtins(probe).items() if value is not None},
        digest=hashlib.sha256(stimulus.drive.tobytes() + np.float64(stimulus.step).tobytes()).hexdigest(),
        outputs=tuple(f"{name}{suffix}" for side, suffix in zip(sides, ("", " spikes"), strict=True) if side
                      for name in names),
        shape=responses.shape,
        data=responses.astype("<f8").tobytes(),
    )  # fmt: skip
    if settling_p_value(fingerprint, permutations=999) <= 0.002:
        _logger.warning(
            "%s still changed while it was probed; give the probe a longer rest, or discard more repeats", info.id
        )
    return fingerprint


def _answer(response: Response, stimulus: Stimulus, info: SubstrateInfo) -> FloatArray:
    """Mean of the signal within each step and number of spikes, shape (steps, outputs)."""
    parts: list[FloatArray] = []
    steps = len(stimulus.drive)
    if info.sampling_rate is not None:
        signal = np.full((steps, 1, len(info.outputs)), np.nan) if response.signal is None else response.signal
        read = np.isfinite(signal)
        counted = read.sum(axis=1)
        mean = np.where(read, signal, 0.0).sum(axis=1) / np.maximum(counted, 1)
        parts.append(np.where(counted > 0, mean, np.nan))
    if info.spiking:
        counts = np.zeros((steps, len(info.outputs)))
        if response.spikes is not None:
            at = np.floor((response.spikes["time"] - response.start) / stimulus.step).astype(np.intp)
            np.add.at(counts, (np.clip(at, 0, steps - 1), response.spikes["channel"]), 1.0)
        parts.append(counts)
    return np.concatenate(parts, axis=1)


def _column(channel: Channel, rest: float, amplitude: float, u: FloatArray) -> FloatArray:
    """Return the drive of one input for numbers from -1 to 1."""
    if channel.levels is not None:
        levels = np.array(sorted(channel.levels))
        return levels[np.minimum(((u + 1) / 2 * len(levels)).astype(np.intp), len(levels) - 1)]
    low, high = rest - amplitude * (rest - channel.low), rest + amplitude * (channel.high - rest)
    column: FloatArray = np.clip(low + (u + 1) / 2 * (high - low), channel.low, channel.high)
    return column
