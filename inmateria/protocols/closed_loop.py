"""Presenting a series in closed loop: some outputs are fed back to the inputs, one step later.

A substrate that forgets fast may remember what comes round again: the loop is a memory of its own, and it carries what
the substrate computed. Feedback of readouts is another thing, H. Jaeger, GMD report 148 (2001); here outputs go back
as they are, through a random mask, and nothing in the loop is trained.
"""

import time
from dataclasses import dataclass

import numpy as np

from inmateria.protocols.outcome import ExchangeStatistics
from inmateria.protocols.presenting import Presented, measure_round_trips, note_presentation
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.task import ProgressCallback
from inmateria.reservoir import InputMask, PhysicalReservoir, VirtualNodes
from inmateria.reservoir.encoding import room_of
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

__all__ = ["Feedback", "present_in_closed_loop"]


@dataclass(frozen=True, kw_only=True)
class Feedback:
    r"""Feedback of the last sample of a step to the drive of the next one.

    Input :math:`i` is driven with :math:`\gamma \sum_k W_{ik} y_k` of its room around rest beside its own drive, where
    :math:`y_k` is an output as a fraction of its range, from -1 to 1, and :math:`W` uniform from -1 to 1, divided by
    the square root of the number of outputs. The drive is clipped to the inputs' limits.

    Parameters
    ----------
    gain : float
        :math:`\gamma`.
    outputs : int
        Number of outputs that are fed back, the first ones.
    seed : int
        Of the mask.
    """

    gain: float
    outputs: int
    seed: int = 0

    def weights(self, inputs: int) -> FloatArray:
        """Return the mask, shape (inputs, outputs)."""
        uniform = np.random.default_rng([self.seed, 2]).uniform(-1.0, 1.0, (inputs, self.outputs))
        weights: FloatArray = self.gain / np.sqrt(self.outputs) * uniform
        return weights


@dataclass(frozen=True, eq=False)
class _WithOutputs:
    """Encoding of the values of a step, followed by the outputs that are fed back."""

    mask: InputMask
    feedback: Feedback
    positions: int = 1

    def drive(self, u: FloatArray, info: SubstrateInfo) -> FloatArray:
        given, fed_back = np.split(u, [u.shape[1] - self.feedback.outputs], axis=1)
        low, high = np.array([(channel.low, channel.high) for channel in info.outputs[: self.feedback.outputs]]).T
        y = np.clip((2.0 * fed_back - high - low) / (high - low), -1.0, 1.0)
        added = room_of(info)[0] * (y @ self.feedback.weights(len(info.inputs)).T)
        within = [channel.low for channel in info.inputs], [channel.high for channel in info.inputs]
        drive: FloatArray = np.clip(self.mask.drive(given, info) + added, *within)
        return drive


async def present_in_closed_loop(
    series: FloatArray,
    substrate: Substrate,
    mask: InputMask,
    round_trips: int,
    on_progress: ProgressCallback,
    *,
    step: float,
    samples: int,
    feedback: Feedback,
    targets: Targets | None = None,
) -> Presented:
    """Drive a substrate from rest with a series and with its own outputs, step by step, and read its signal.

    Parameters
    ----------
    series : ndarray of float, shape (steps,) or (steps, features)
    substrate : Substrate
        Entered and left here; it must give a signal.
    mask : InputMask
        Drive of the series alone: the control without the physics.
    round_trips : int
        Number of exchanges of a single step that are made first.
    on_progress : ProgressCallback
        Called with the progress.
    step : float
        Duration of a step, s.
    samples : int
        Number of samples of every step and output that are read.
    feedback : Feedback
    targets : Targets, optional
        What is to be read out, for those who watch the run.

    Returns
    -------
    Presented
        Its drives are those of the series alone, without what was fed back.

    Raises
    ------
    StimulusRejected
        If the drive of the series alone is outside the limits; nothing was applied.
    ValueError
        If there are fewer outputs than are to be fed back.
    """
    u = series if series.ndim == 2 else series[:, np.newaxis]
    reservoir = PhysicalReservoir(substrate, mask, VirtualNodes(samples), step=step)
    async with reservoir:
        drives, names = reservoir.check(u), reservoir.feature_names
        width = len(reservoir.info.outputs)
        if feedback.outputs > width:
            raise ValueError(f"{feedback.outputs} outputs are to be fed back and there are {width}; feed back fewer")
        if reservoir.info.resettable:
            await reservoir.reset()
        seconds_each = await measure_round_trips(reservoir, round_trips, on_progress)
        note_presentation(reservoir, targets, stage="streaming", exchanges=len(u))
        reservoir.encoding = _WithOutputs(mask, feedback)
        begun = time.perf_counter()
        features: list[FloatArray] = []
        fed_back = np.array([(channel.low + channel.high) / 2 for channel in reservoir.info.outputs])
        for number, values in enumerate(u, start=1):
            features.append(await reservoir.step(np.concatenate([values, fed_back[: feedback.outputs]])))
            fed_back = features[-1][-width:]  # the last sample of every output
            on_progress("streaming", number, len(u), number)
        exchanges = ExchangeStatistics.measured(
            count=len(u), steps=len(u), seconds=time.perf_counter() - begun, round_trips=seconds_each
        )
    outputs = list(dict.fromkeys(name.partition("@")[0] for name in names))
    return Presented([u], [drives], [np.array(features)], outputs, exchanges)
