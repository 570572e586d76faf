"""The contract that every substrate, real or simulated, keeps.

A `Substrate` takes a `Stimulus` (a drive for its input channels) and gives a `Response` (the signal and spikes of
its output channels). `SubstrateInfo` states what it is and which stimuli it accepts; `Substrate.stimulate` and
`Substrate.stream` enforce both, so that no adapter can forget to. A `Simulator` is the synchronous inside of a
simulated substrate.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, final

from inmateria.errors import (
    FrameError,
    ResponseMismatch,
    StimulusRejected,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
    UnknownSubstrate,
)
from inmateria.exchange import SPIKE, FloatArray, Response, SpikeArray, Stimulus, immutable
from inmateria.substrate_info import Channel, IdentitySource, Layout, Limits, SubstrateInfo

__all__ = [
    "SPIKE",
    "Channel",
    "FloatArray",
    "FrameError",
    "IdentitySource",
    "Layout",
    "Limits",
    "Response",
    "ResponseMismatch",
    "Simulator",
    "SpikeArray",
    "Stimulus",
    "StimulusRejected",
    "Substrate",
    "SubstrateBusy",
    "SubstrateDisconnected",
    "SubstrateError",
    "SubstrateInfo",
    "SubstrateTimeout",
    "UnknownSubstrate",
    "asynchronous",
]

Item = TypeVar("Item")


class Substrate(ABC):
    """Matter that answers stimuli; an async context manager, to be entered before it is used.

    An adapter sets `info`, implements `_apply` and `reset` and, where it holds something open, `__aenter__` and
    `__aexit__`. It may override `_stream` to keep several stimuli in flight. `stimulate` and `stream` are final: they
    check every stimulus against `info` and freeze it before the adapter sees it, and check every response.
    """

    _info: SubstrateInfo | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("stimulate", "stream"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__} defines {name}, which checks the limits for every adapter; "
                    f"implement _{_OWN[name]} instead"
                )

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate and limits of its stimuli; available at the latest once it has been entered."""
        if self._info is None:
            raise SubstrateDisconnected(
                f"the info of a {type(self).__name__} was asked for before it was entered",
                "it is known once the device has been opened",
                "use it inside `async with`; an adapter has to set it in __init__ or on entering",
            )
        return self._info

    @info.setter
    def info(self, info: SubstrateInfo) -> None:
        self._info = info

    @final
    async def stimulate(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus and return the response: one exchange.

        Raises
        ------
        StimulusRejected
            If it is outside the limits; nothing of it was applied.
        ResponseMismatch
            If the response is not of the form that `info` promises; the stimulus was applied.
        SubstrateDisconnected, SubstrateTimeout
            If the substrate, or the connection to it, is gone.
        """
        admitted = self._admitted(stimulus)
        response = await self._apply(admitted)
        self.info.check_response(admitted, response)
        return response

    @final
    async def stream(self, stimuli: Iterable[Stimulus] | AsyncIterable[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli one after another and yield their responses, in order.

        Use `contextlib.aclosing` around it when leaving early. With an adapter that keeps several stimuli in flight,
        stimuli beyond the last response seen may have been applied then. After one that is refused, none is applied.
        """
        under_way: deque[Stimulus] = deque()

        async def admitted() -> AsyncGenerator[Stimulus]:
            async with aclosing(asynchronous(stimuli)) as given:
                async for stimulus in given:
                    under_way.append(self._admitted(stimulus))
                    yield under_way[-1]

        async with aclosing(admitted()) as source, aclosing(self._stream(source)) as responses:
            async for response in responses:
                self.info.check_response(under_way.popleft(), response)
                yield response

    def _admitted(self, stimulus: Stimulus) -> Stimulus:
        """Give a stimulus that is within the limits as one that no one else holds and nothing can change."""
        if type(stimulus) is not Stimulus:
            stimulus = Stimulus(stimulus.drive, stimulus.step)
        frozen = object.__new__(Stimulus)
        object.__setattr__(frozen, "drive", immutable(stimulus.drive))
        object.__setattr__(frozen, "step", stimulus.step)
        try:
            self.info.admit(frozen)
        except StimulusRejected as rejected:
            self._note_refused(frozen, rejected)
            raise
        return frozen

    def _note_refused(self, stimulus: Stimulus, rejected: StimulusRejected) -> None:  # noqa: B027
        """Take note of a stimulus that was refused, which is never applied; for those who keep a record."""

    @abstractmethod
    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, which has been admitted, and return the response.

        Cancellation is a stop: bring the outputs to a safe level before it is passed on.
        """

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli, each of which has been admitted, and yield a response to each, in order."""
        async for stimulus in stimuli:
            yield await self._apply(stimulus)

    @abstractmethod
    async def reset(self) -> None:
        """Return to rest; raises `SubstrateError` if physics does not allow it (``info.resettable``)."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


_OWN = {"stimulate": "apply", "stream": "stream"}
"""Suffix of the method that an adapter implements in place of each final one."""


async def asynchronous(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item]:
    """Iterate over an iterable or an asynchronous iterable, asynchronously."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class Simulator(Protocol):
    """A simulated substrate: physics only, synchronous, seeded, without input or output."""

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate, and the limits of its stimuli."""

    def reset(self) -> None:
        """Return to rest, and set the clock to zero."""

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits; ``sequence`` counts from 0 after each reset."""
