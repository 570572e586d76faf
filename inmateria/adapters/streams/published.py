"""A substrate whose stimuli, signals and spikes are published as LSL streams, as they happen."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from inmateria.adapters.streams.lsl_description import described
from inmateria.adapters.streams.source import MissingStreamPackage
from inmateria.recording.format import Note
from inmateria.recording.recorded import NotingSubstrate
from inmateria.substrate import Channel, Response, Stimulus, Substrate, SubstrateError

if TYPE_CHECKING:
    import pylsl

__all__ = ["PublishedSubstrate"]


class PublishedSubstrate(Substrate):
    """A substrate published on LSL.

    Four streams, of which the last two may be missing:

    - ``NAME-stimuli``: one sample at the beginning of each step, at irregular times;
    - ``NAME-exchanges``: one text for each exchange, JSON with its ``sequence``, ``start`` on the device's clock,
      ``steps`` and ``step``;
    - ``NAME``: the signal, all samples of it at the substrate's sampling rate, in double precision;
    - ``NAME-spikes``: for each spike the index of its output.

    An exchange is sent when it has been answered. Its timestamps begin when its stimulus left, on LSL's clock, and go
    on as on the device's clock. If the device is faster than real time, they begin where the last exchange ended.

    Parameters
    ----------
    substrate : Substrate
        Entered and left together with this one.
    name : str
        Name of the streams.
    """

    def __init__(self, substrate: Substrate, name: str) -> None:
        if not name:
            raise ValueError("the name of an LSL stream is empty; give one")
        self._substrate, self._name = substrate, name
        with suppress(SubstrateError):  # the info of a device may be known only after it has been entered
            self.info = substrate.info
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            import pylsl
        except ImportError:
            raise MissingStreamPackage("pylsl", "lsl") from None
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._substrate)
            self._lsl, self.info, self._end = pylsl, self._substrate.info, 0.0
            self._open()
            exits.callback(self._close)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    def _open(self) -> None:
        lsl, info = self._lsl, self.info
        about = {"manufacturer": "inmateria", "model": info.kind, "serial_number": info.id}

        def outlet(
            suffix: str, content: str, channels: tuple[Channel, ...], rate: float, form: int
        ) -> "pylsl.StreamOutlet":
            name = self._name + suffix
            return lsl.StreamOutlet(described(name, content, channels, rate, form, f"{info.id}{suffix}", about))

        exchange = Channel(name="exchange", unit="1", low=0.0, high=1.0)
        spike = Channel(name="output", unit="1", low=0.0, high=float(max(1, len(info.outputs) - 1)))
        self._stimuli: pylsl.StreamOutlet | None = outlet("-stimuli", "Stimulus", info.inputs, 0.0, lsl.cf_double64)
        self._exchanges: pylsl.StreamOutlet | None = outlet("-exchanges", "Markers", (exchange,), 0.0, lsl.cf_string)
        self._signal: pylsl.StreamOutlet | None = None
        self._spikes: pylsl.StreamOutlet | None = None
        if info.sampling_rate is not None:
            self._signal = outlet("", "Signal", info.outputs, info.sampling_rate, lsl.cf_double64)
        if info.spiking:
            self._spikes = outlet("-spikes", "Spikes", (spike,), 0.0, lsl.cf_int32)

    def _close(self) -> None:
        self._stimuli = self._exchanges = self._signal = self._spikes = None  # pylsl closes what is deleted

    async def wait_for_inlet(self, timeout: float = 10.0) -> bool:
        """Wait until a program reads the signal, or the spikes if there is none; return whether one does.

        LSL sends nothing to a program that it does not know yet.
        """
        outlet = self._signal or self._spikes
        assert outlet is not None
        return bool(await asyncio.to_thread(outlet.wait_for_consumers, timeout))

    def take_notes(self, *, ending: bool = False) -> list[Note]:
        """Return what the published substrate has noted."""
        return self._substrate.take_notes(ending=ending) if isinstance(self._substrate, NotingSubstrate) else []

    async def reset(self) -> None:
        """Return the published substrate to rest."""
        await self._substrate.reset()

    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus, and publish the exchange."""
        begun = self._lsl.local_clock()
        response = await self._substrate.stimulate(stimulus)
        self._publish(stimulus, response, begun)
        return response

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli through the stream of the published substrate, and publish every exchange."""
        sent: deque[tuple[Stimulus, float]] = deque()

        async def noted() -> AsyncGenerator[Stimulus]:
            async for stimulus in stimuli:
                sent.append((stimulus, self._lsl.local_clock()))
                yield stimulus

        async with aclosing(noted()) as source, aclosing(self._substrate.stream(source)) as responses:
            async for response in responses:
                stimulus, begun = sent.popleft()
                self._publish(stimulus, response, begun)
                yield response

    def _publish(self, stimulus: Stimulus, response: Response, begun: float) -> None:
        assert self._stimuli is not None
        assert self._exchanges is not None
        start = max(begun, self._end)
        self._end = start + stimulus.duration
        steps = start + stimulus.step * np.arange(len(stimulus.drive))
        about = {
            "sequence": response.sequence, "start": response.start, "steps": len(stimulus.drive), "step": stimulus.step,
        }  # fmt: skip
        self._exchanges.push_sample([json.dumps(about)], start)
        self._stimuli.push_chunk(np.ascontiguousarray(stimulus.drive), steps.tolist())
        if self._signal is not None and response.signal is not None:
            samples = response.signal.shape[1]
            times = (steps[:, np.newaxis] + stimulus.step / samples * np.arange(samples)).ravel()
            rows = np.ascontiguousarray(response.signal.reshape(-1, response.signal.shape[2]))
            self._signal.push_chunk(rows, times.tolist())
        if self._spikes is not None and response.spikes is not None:
            for when, channel in response.spikes.tolist():
                self._spikes.push_sample([channel], start + when - response.start)
