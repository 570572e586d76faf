"""A training, or a reading, of a substrate that learns as a stream of stimuli with many samples each."""

import asyncio
import logging
import math
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.concurrency import wait_to_completion
from inmateria.reservoir.contrastive.learning_channels import LearningChannels
from inmateria.substrate import FloatArray, Response, Stimulus, Substrate, SubstrateError

__all__ = ["Orders", "Progress", "TrainingCourse", "is_whole", "most_samples", "read_outputs", "train"]

_logger = logging.getLogger("inmateria")
_CHUNK_VALUES = 1_000_000
"""Values of one response at most (8 MB), unless a batch is asked for."""

Orders = Callable[[int], npt.NDArray[np.intp]]
Progress = Callable[[str, int, int, int], Any]


@dataclass(eq=False)
class TrainingCourse:
    """Course of a training.

    Attributes
    ----------
    error : ndarray, shape (epochs,)
        Root of the mean squared difference between label and output of the free state, V.
    stimuli, updates, exchanges : int
        Presentations of a sample; updates of the edges; stimuli that were sent, each of many samples.
    energy, seconds : float
        Energy from the sources in the free states, J; time on this machine, s.
    begun : bool
        Whether anything was sent.
    """

    error: FloatArray
    stimuli: int = 0
    updates: int = 0
    exchanges: int = 0
    energy: float = 0.0
    seconds: float = 0.0
    begun: bool = False


def most_samples(channels: LearningChannels, batch: int | None) -> int:
    """Return the number of samples of one stimulus.

    Raises
    ------
    ValueError
        If ``batch`` is not a whole number of at least 1.
    """
    info = channels.info
    if batch is not None and not is_whole(batch):
        raise ValueError(f"batch is {batch!r}; give the number of samples in one stimulus, 1 or more, or None")
    of_one = info.samples(info.step) * len(info.outputs)
    most = min(info.limits.steps, info.limits.values // of_one)
    return max(1, min(most, _CHUNK_VALUES // of_one if batch is None else int(batch)))


def is_whole(number: Any) -> bool:
    """Return whether a number is whole and at least 1."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(number >= 1)


async def train(
    substrate: Substrate,
    channels: LearningChannels,
    inputs: FloatArray,
    labels: FloatArray,
    factors: FloatArray,
    orders: Orders,
    most: int,
    course: TrainingCourse,
    on_progress: Progress | None,
) -> None:
    """Send all samples in each epoch, with ``learn``, and fill in the course.

    At the end, also if it fails or is cancelled, the substrate is brought to rest.

    Parameters
    ----------
    substrate : Substrate
        Entered.
    channels : LearningChannels
    inputs, labels : ndarray, shape (samples, features), (samples, outputs)
        V.
    factors : ndarray, shape (epochs,)
        Factor on the rate in each epoch.
    orders : callable
        Returns the orders of the next so many epochs, shape (epochs, samples).
    most : int
        Samples in one stimulus at most.
    course : TrainingCourse
    on_progress : callable, optional
    """
    samples, info = len(inputs), channels.info
    total, repeats = samples * len(factors), info.samples(info.step)
    squared, sent, begun = np.zeros(len(factors)), [], time.perf_counter()
    drives = _drives(channels, inputs, labels, factors, orders, most)

    def stimuli() -> Iterator[Stimulus]:
        for drive in drives:
            sent.append(drive[:, channels.labels])
            course.begun = True
            course.exchanges += 1
            yield info.stimulus(drive)

    parts, done = math.ceil(total / most), 0
    try:
        async with aclosing(substrate.stream(stimuli())) as responses:
            async for response in responses:
                signal, wanted = _signal(response), sent.pop(0)
                epochs = np.arange(course.stimuli, course.stimuli + len(wanted)) // samples
                missed = ((wanted - channels.outputs(signal[:, 0])) ** 2).mean(axis=1)
                squared += np.bincount(epochs, missed, len(factors))
                course.stimuli += len(wanted)
                course.updates += len(wanted) * repeats
                course.energy += float(channels.power(signal).sum()) * info.step / repeats
                done += 1
                if on_progress is not None:
                    on_progress("training", done, parts, course.stimuli)
                await asyncio.sleep(
                    0
                )  # a short exchange in process does not wait: others, and a cancellation, have a turn
    finally:
        whole = course.stimuli // samples
        course.error = np.sqrt(squared[:whole] / samples)
        if course.begun:
            await _to_rest(substrate, channels, course, failed=sys.exc_info()[0] is not None)
        course.seconds = time.perf_counter() - begun


def _drives(
    channels: LearningChannels, inputs: FloatArray, labels: FloatArray, factors: FloatArray, orders: Orders, most: int
) -> Iterator[FloatArray]:
    """Yield the drives of a training, each of ``most`` samples but the last, across the ends of epochs."""
    samples, epochs = len(inputs), len(factors)
    at_once = max(1, most // samples)
    numbers, learn = np.empty(0, dtype=np.intp), np.empty(0)
    for first in range(0, epochs, at_once):
        last = min(first + at_once, epochs)
        numbers = np.concatenate((numbers, orders(last - first).ravel()))
        learn = np.concatenate((learn, np.repeat(factors[first:last], samples)))
        ready = len(numbers) if last == epochs else len(numbers) // most * most
        for begin in range(0, ready, most):
            part = numbers[begin : min(begin + most, ready)]
            yield channels.drive(inputs[part], labels[part], learn[begin : begin + len(part)])
        numbers, learn = numbers[ready:], learn[ready:]


async def read_outputs(
    substrate: Substrate, channels: LearningChannels, inputs: FloatArray, most: int, on_progress: Progress | None = None
) -> FloatArray:
    """Return the outputs (samples, outputs), V, of inputs (samples, features), V, without learning."""
    stimuli = [channels.info.stimulus(channels.drive(inputs[k : k + most])) for k in range(0, len(inputs), most)]
    found, steps = [], 0
    stream: AsyncGenerator[Response] = substrate.stream(stimuli)
    async with aclosing(stream) as responses:
        async for response in responses:
            found.append(channels.outputs(_signal(response)[:, 0]))
            steps += len(found[-1])
            if on_progress is not None:
                on_progress("reading", len(found), len(stimuli), steps)
            await asyncio.sleep(0)
    outputs = np.concatenate(found)
    if not np.isfinite(outputs).all():
        raise SubstrateError(
            f"{channels.info.id} did not read the voltage of every output",
            "every node of an output has to be a finite number",
            "correct the device, or its parameter 'outputs'",
        )
    return outputs


def _signal(response: Response) -> FloatArray:
    assert response.signal is not None  # the channels were checked for a sampling rate
    return response.signal


async def _to_rest(substrate: Substrate, channels: LearningChannels, course: TrainingCourse, *, failed: bool) -> None:
    """Send one step at rest, also if cancelled meanwhile; after a failure, a second one is only logged."""
    rest = channels.info.stimulus(channels.info.rest_drive())
    try:
        await wait_to_completion(asyncio.ensure_future(substrate.stimulate(rest)))
        course.exchanges += 1
    except SubstrateError as error:
        if not failed:
            raise
        _logger.warning("%s could not be brought to rest after a training: %s", channels.info.id, error)
