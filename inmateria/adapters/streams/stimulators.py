"""Where the stimuli of a stream go: nowhere, out on LSL, to another substrate, or into the device's own data."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from inmateria.adapters.streams.source import MissingStreamPackage, StreamSource
from inmateria.substrate import Channel, Limits, Stimulus, Substrate

if TYPE_CHECKING:
    import pylsl

__all__ = ["DeviceMarkers", "LslStimuli", "NoStimuli", "OtherSubstrate", "Stimulator", "stimulus_outlet"]


class Stimulator(ABC):
    """Applies the stimuli of a substrate whose outputs are a stream.

    Attributes
    ----------
    inputs : tuple of Channel
    rest : tuple of float
        Empty for the default of `SubstrateInfo`.
    reads_only : bool
        Whether nothing is ever sent, so that one exchange may begin where the last one ended.
    """

    inputs: tuple[Channel, ...]
    rest: tuple[float, ...] = ()
    reads_only = False
    step: float | None = None
    limits = Limits()

    async def open(self, exits: AsyncExitStack) -> None:  # noqa: B027
        """Open what is needed; it is closed by `exits`."""

    def identifier(self, stream: str) -> str:
        """Return the id of the substrate, from that of the stream."""
        return stream

    @abstractmethod
    async def apply(self, stimulus: Stimulus) -> None:
        """Apply a stimulus, each row for one step, from now on; return to rest if cancelled."""


class NoStimuli(Stimulator):
    """A stream that is only read: its one input, ``rest``, allows nothing but 0."""

    inputs = (Channel(name="rest", unit="1", low=0.0, high=1.0, levels=(0.0,)),)
    reads_only = True

    async def apply(self, stimulus: Stimulus) -> None:
        """Do nothing: only rest is admitted."""


class LslStimuli(Stimulator):
    """Stimuli as an LSL stream: one sample at the beginning of each step, and rest at the end.

    Timestamps are those of the moments of sending, on LSL's clock.

    Parameters
    ----------
    name : str
        Name of the outlet.
    inputs : tuple of Channel
    """

    def __init__(self, name: str, inputs: tuple[Channel, ...]) -> None:
        self._name, self.inputs = name, inputs

    async def open(self, exits: AsyncExitStack) -> None:
        """Open the outlet."""
        self._rest = [min(max(0.0, channel.low), channel.high) for channel in self.inputs]
        self._outlet: pylsl.StreamOutlet | None = stimulus_outlet(self._name, self.inputs)
        exits.callback(self._close)

    def _close(self) -> None:
        self._outlet = None  # pylsl closes an outlet when it is deleted

    async def apply(self, stimulus: Stimulus) -> None:
        """Send each row when its step begins."""
        assert self._outlet is not None
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            for k, row in enumerate(stimulus.drive.tolist()):
                await asyncio.sleep(begun + k * stimulus.step - loop.time())
                self._outlet.push_sample(row)
            await asyncio.sleep(begun + stimulus.duration - loop.time())
        finally:
            self._outlet.push_sample(self._rest)


class OtherSubstrate(Stimulator):
    """Stimuli go to another substrate; what it answers is not read.

    Parameters
    ----------
    substrate : Substrate
        Entered and left together with the stream.
    """

    def __init__(self, substrate: Substrate) -> None:
        self._substrate = substrate

    async def open(self, exits: AsyncExitStack) -> None:
        """Enter the other substrate."""
        await exits.enter_async_context(self._substrate)
        info = self._substrate.info
        self.inputs, self.rest, self.step, self.limits = info.inputs, info.rest, info.step, info.limits

    def identifier(self, stream: str) -> str:
        """Return the ids of the other substrate and of the stream."""
        return f"{self._substrate.info.id}-{stream}"

    async def apply(self, stimulus: Stimulus) -> None:
        """Have the other substrate apply the stimulus."""
        await self._substrate.stimulate(stimulus)


class DeviceMarkers(Stimulator):
    """The device writes each value that is not 0 into its own data, at the beginning of the step.

    Parameters
    ----------
    source : StreamSource
        Source with `insert_marker`.
    """

    inputs = (Channel(name="marker", unit="1", low=0.0, high=65535.0),)

    def __init__(self, source: StreamSource) -> None:
        self._source = source

    async def apply(self, stimulus: Stimulus) -> None:
        """Insert each marker when its step begins."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for k, (value,) in enumerate(stimulus.drive.tolist()):
            await asyncio.sleep(begun + k * stimulus.step - loop.time())
            if value:
                await self._source.insert_marker(value)
        await asyncio.sleep(begun + stimulus.duration - loop.time())


def stimulus_outlet(name: str, inputs: tuple[Channel, ...], source_id: str = "") -> "pylsl.StreamOutlet":
    """Open an LSL outlet for the inputs of a substrate: double precision, at irregular times."""
    try:
        import pylsl
    except ImportError:
        raise MissingStreamPackage("pylsl", "lsl") from None
    from inmateria.adapters.streams.lsl_description import described

    return pylsl.StreamOutlet(
        described(name, "Stimulus", inputs, pylsl.IRREGULAR_RATE, pylsl.cf_double64, source_id or f"{name}-stimuli")
    )
