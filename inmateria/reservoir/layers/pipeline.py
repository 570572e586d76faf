"""Batches through the layers of a stack: all layers at work at once, each on a batch of its own, in training too."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

import numpy as np

from inmateria.reservoir.layers.batches import PassInformation, PassRecord, batches_of, information_of
from inmateria.reservoir.layers.layer import PhysicalLayer
from inmateria.reservoir.layers.port_encoder import PortEncoder
from inmateria.reservoir.layers.training import Batch, IntArray, LocalTraining
from inmateria.reservoir.layers.training_bottleneck import BottleneckInTurn
from inmateria.substrate import SPIKE, FloatArray, Response, Stimulus, Substrate

__all__ = ["LayerExchange", "LayerPipeline", "Progress", "ProgressCallback", "RehearsedPipeline"]


class LayerExchange(NamedTuple):
    """Begin and end of a layer's exchange for a batch, in seconds on this machine's clock."""

    layer: int
    batch: int
    begin: float
    end: float


class ProgressCallback(Protocol):
    """Callback for progress."""

    def __call__(self, phase: str, done: int, of: int, steps: int) -> None:
        """Report that `done` of `of` batches of a phase are done, after `steps` substrate steps in all."""


class Progress:
    """Counts batches in the phases of a fit, and calls `on_progress`."""

    def __init__(self, on_progress: ProgressCallback | None) -> None:
        self._watch, self._phase, self._done, self._of = on_progress, "", 0, 1

    def begin(self, phase: str, of: int) -> None:
        """Begin a phase of `of` batches."""
        self._phase, self._done, self._of = phase, 0, of

    def advance(self, steps: int) -> None:
        """Count one more batch, after `steps` substrate steps in all."""
        self._done += 1
        if self._watch is not None:
            self._watch(self._phase, self._done, self._of, steps)


class LayerPipeline:
    """The exchanges of one training or one prediction of a stack, and what they changed.

    Parameters
    ----------
    layers : sequence of PhysicalLayer
    substrates : sequence of Substrate
        One for each layer, entered.
    encoders : sequence of PortEncoder
        One for each layer; `train` changes them.
    training : LocalTraining
        `train` changes it.
    trace : deque of LayerExchange
        Every exchange is appended.

    Attributes
    ----------
    presented, steps : int
        Presentations of a sample to a substrate, and substrate steps, so far.
    presented_to_train : int
        Presentations to train the encoders.
    information : list of PassInformation
    learning_seconds : float
        Processor time of the updates.
    """

    def __init__(
        self,
        layers: Sequence[PhysicalLayer],
        substrates: Sequence[Substrate],
        encoders: Sequence[PortEncoder],
        training: LocalTraining,
        trace: "deque[LayerExchange]",
    ) -> None:
        self.layers, self.substrates = layers, substrates
        self.encoders, self.training, self.trace = encoders, training, trace
        self.presented = self.presented_to_train = self.steps = 0
        self.information: list[PassInformation] = []
        self.learning_seconds = 0.0

    async def train(
        self,
        rows: FloatArray,
        lengths: IntArray,
        targets: FloatArray,
        generator: np.random.Generator,
        progress: Progress,
        most_passes: int | None = None,
    ) -> list[FloatArray]:
        """Train the encoders, and return the features (rows, features) of each trained layer, in order.

        Parameters
        ----------
        rows, lengths, targets
            See `Batch`.
        generator : numpy.random.Generator
            Generator of the order of the samples in each pass.
        progress : Progress
        most_passes : int, optional
            Largest number of passes, for a rehearsal.
        """
        training = self.training
        passes = training.passes if most_passes is None else min(training.passes, most_passes)
        for number in range(passes):
            batches = list(batches_of(rows, lengths, targets, generator.permutation(len(lengths)), training.batch_size))
            presented = [each for batch in batches for each in training.training_presentations(batch)]
            progress.begin(f"pass {number + 1}", max(1, len(presented)))
            if presented:
                sink = PassRecord(len(self.layers), whole=False)
                await self._sweep(presented, sink, progress, learning=True)
                self.information.append(await asyncio.to_thread(sink.information))
            await self._learn(training.end_pass, number)
            if not presented:
                progress.advance(self.steps)
        if isinstance(training, BottleneckInTurn):
            return await self._train_in_turn(training, rows, lengths, targets, progress)
        self.presented_to_train = self.presented
        sink = await self._present(rows, lengths, targets, progress)
        self.information.append(await asyncio.to_thread(sink.information))
        return sink.features()

    async def features(self, rows: FloatArray, lengths: IntArray, targets: int, progress: Progress) -> list[FloatArray]:
        """Return the features (rows, features) of each layer for samples in order, whose targets are unknown."""
        sink = await self._present(rows, lengths, np.zeros((len(rows), targets)), progress)
        return sink.features()

    async def exchange(self, layer: int, ports: FloatArray, batch: Batch) -> FloatArray:
        """Drive a substrate with the ports (rows, ports) of a batch, and return its features (rows, features)."""
        made, substrate = self.layers[layer], self.substrates[layer]
        stimuli, asked = made.stimuli(ports, batch.lengths, substrate.info)
        begun = time.perf_counter()
        features = await self._response(layer, stimuli)
        self.trace.append(LayerExchange(layer, batch.number, begun, time.perf_counter()))
        self.presented += len(batch.lengths)
        self.steps += sum(len(each.drive) for each in stimuli)
        return features[asked]

    async def _response(self, layer: int, stimuli: list[Stimulus]) -> FloatArray:
        """Return the features of a substrate's responses to stimuli."""
        made, substrate = self.layers[layer], self.substrates[layer]
        parts: list[FloatArray] = []
        async with aclosing(substrate.stream(stimuli)) as responses:
            async for response in responses:
                parts.append(made.features.extract(response, stimuli[len(parts)], substrate.info, made.hold))
        return np.concatenate(parts)

    async def _present(
        self, rows: FloatArray, lengths: IntArray, targets: FloatArray, progress: Progress
    ) -> PassRecord:
        """Send samples in order, without learning, and return the record of their features."""
        batches = list(batches_of(rows, lengths, targets, np.arange(len(lengths)), self.training.batch_size))
        progress.begin("reading", len(batches))
        sink = PassRecord(len(self.layers), whole=True)
        await self._sweep(
            [self.training.prediction_presentation(batch) for batch in batches], sink, progress, learning=False
        )
        return sink

    async def _train_in_turn(
        self,
        training: BottleneckInTurn,
        rows: FloatArray,
        lengths: IntArray,
        targets: FloatArray,
        progress: Progress,
    ) -> list[FloatArray]:
        """Fit one encoder after another, presenting every sample to each layer once."""
        found, given = [], rows
        everything = np.arange(len(lengths))
        for layer in range(len(self.layers)):
            await self._learn(training.solve, layer, given, targets)
            self.presented_to_train = self.presented
            batches = list(batches_of(given, lengths, targets, everything, training.batch_size))
            progress.begin(f"layer {layer + 1}", len(batches))
            answered = []
            for batch in batches:
                batch.features = await self.exchange(layer, self.encoders[layer].ports(batch.rows), batch)
                answered.append(batch.features)
                progress.advance(self.steps)
            given = np.concatenate(answered)
            found.append(given)
        self.information.append(information_of(rows, targets, found))
        return found

    async def _sweep(self, batches: Iterable[Batch], sink: PassRecord, progress: Progress, *, learning: bool) -> None:
        """Send batches through the layers, all layers at work at once, each on a batch of its own."""
        coming = iter(batches)
        at: list[Batch | None] = [None] * len(self.layers)
        while True:
            at = [next(coming, None), *at[:-1]]
            if not any(at):
                return
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._through(layer, batch, sink, learning=learning))
                        for layer, batch in enumerate(at)
                        if batch is not None
                    ]
            except ExceptionGroup as several:
                if len(several.exceptions) == 1:
                    raise several.exceptions[0] from None
                raise
            for task in tasks:
                task.result()  # one that was cancelled by itself does not fail its group
            if (done := at[-1]) is not None:
                if learning and type(self.training).update_after_batch is not LocalTraining.update_after_batch:
                    await self._learn(self.training.update_after_batch, done)
                progress.advance(self.steps)

    async def _through(self, layer: int, batch: Batch, sink: PassRecord, *, learning: bool) -> None:
        """Send a batch through one layer, and update that layer."""
        encoder, given = self.encoders[layer], batch.rows
        if learning:
            ports = self.training.encode(layer, batch)
            batch.inputs.append(given)
            batch.ports.append(ports)
        else:
            if not encoder.settled:  # not trained: the first batch sets mean and standard deviation
                encoder.follow(given)
            ports = encoder.ports(given)
        batch.features = await self.exchange(layer, ports, batch)
        sink.add(layer, batch, given)
        if learning:
            await self._learn(self.training.update_layer, layer, batch)
        batch.rows = batch.features

    async def _learn(self, learn: Callable[..., None], *given: Any) -> None:
        """Run an update in a worker thread, so that exchanges of other layers go on meanwhile."""

        def timed() -> float:
            begun = time.thread_time()
            learn(*given)
            return time.thread_time() - begun

        self.learning_seconds += await asyncio.to_thread(timed)


class RehearsedPipeline(LayerPipeline):
    """A pipeline that admits every stimulus and sends none: features are random numbers.

    The features of a response of zeros are extracted too, so that features that do not suit a substrate are refused.
    """

    async def _response(self, layer: int, stimuli: list[Stimulus]) -> FloatArray:
        made, info = self.layers[layer], self.substrates[layer].info
        parts = []
        for stimulus in stimuli:
            shape = (len(stimulus.drive), info.samples(stimulus.step), len(info.outputs))
            response = Response(
                None if info.sampling_rate is None else np.zeros(shape),
                np.zeros(0, dtype=SPIKE) if info.spiking else None,
                0.0,
                0,
            )
            parts.append(made.features.extract(response, stimulus, info, made.hold))
        features = np.concatenate(parts)
        return np.random.default_rng(len(features)).standard_normal(features.shape)
