"""The contract that every substrate, real or simulated, keeps.

A `Substrate` takes a `Stimulus` (a drive for its input channels) and gives a `Response` (the signal and spikes of
its output channels). `SubstrateInfo` describes the substrate and the stimuli that it accepts; `Substrate.stimulate` and
`Substrate.stream` check every stimulus and response against it, for all adapters. A `Simulator` is the synchronous
model inside a simulated substrate.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from functools import wraps
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
from inmateria.exchange import FLOAT, SPIKE, FloatArray, Response, SpikeArray, Stimulus, frozen
from inmateria.notebook_html import notebook_html
from inmateria.substrate_info import Channel, IdentitySource, Layout, Limits, SubstrateInfo

__all__ = [
    "FLOAT",
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
    """Base class of all substrates: an async context manager that must be entered before use.

    An adapter sets `info` and implements `_apply` and `reset`. If it opens a connection, it also implements
    `__aenter__` and `__aexit__`; `is_entered` is noted for every adapter. It may override `_stream` to keep several
    stimuli in flight. `stimulate` and `stream` cannot be overridden: they check every stimulus against `info`, pass it
    to the adapter as an immutable copy, and check every response.
    """

    _info: SubstrateInfo | None = None
    _is_entered = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("stimulate", "stream"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__name__} defines {name}, which checks the limits for every adapter; "
                    f"implement _{_OWN[name]} instead"
                )
        if "__aenter__" in cls.__dict__:
            cls.__aenter__ = _noting_entry(cls.__aenter__)  # type: ignore[method-assign]
        if "__aexit__" in cls.__dict__:
            cls.__aexit__ = _noting_exit(cls.__aexit__)  # type: ignore[method-assign]

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate, and the limits of its stimuli.

        Some adapters read it from the device; it is then available once the substrate has been entered.

        Raises
        ------
        SubstrateDisconnected
            If it is not available yet.
        """
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

    @property
    def is_entered(self) -> bool:
        """Whether it is being used: inside ``async with``."""
        return self._is_entered

    def __repr__(self) -> str:
        state = "entered" if self._is_entered else "not entered"
        try:
            known = self.info
        except Exception:  # a repr is always there, also of a device that does not say yet what it is
            return f"<{type(self).__name__}, {state}>"
        channels = f"{len(known.inputs)} inputs, {len(known.outputs)} outputs"
        return f"<{type(self).__name__} {known.id[:60]}, {channels}, {state}>"

    def _repr_html_(self) -> str:
        try:
            return self.info._repr_html_()
        except SubstrateDisconnected:
            return notebook_html(repr(self), {"": "its description is known once it has been entered by `async with`"})

    @final
    async def stimulate(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus and return its response.

        Raises
        ------
        StimulusRejected
            If the stimulus is outside the limits; nothing of it was applied.
        ResponseMismatch
            If the response is not of the form that `info` promises; the stimulus was applied.
        SubstrateDisconnected, SubstrateTimeout
            If the substrate, or the connection to it, is gone.
        """
        admitted = self._admitted(stimulus)
        response = await self._apply(admitted)
        (self._info or self.info).check_response(admitted, response)
        return response

    @final
    async def stream(self, stimuli: Iterable[Stimulus] | AsyncIterable[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli one after another and yield their responses, in order.

        Wrap it in `contextlib.aclosing` if you may leave the loop early. An adapter that keeps several stimuli in
        flight may then have applied stimuli whose responses were not yielded. After a stimulus that is rejected, no
        further one is applied.

        Parameters
        ----------
        stimuli : iterable or async iterable of Stimulus

        Yields
        ------
        Response

        Raises
        ------
        StimulusRejected, ResponseMismatch, SubstrateDisconnected, SubstrateTimeout
            As for `stimulate`.
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
        """Check a stimulus against the limits and return an immutable copy."""
        admitted = frozen(stimulus)
        try:
            (self._info or self.info).admit(admitted)
        except StimulusRejected as rejected:
            self._note_refused(admitted, rejected)
            raise
        return admitted

    def _note_refused(self, stimulus: Stimulus, rejected: StimulusRejected) -> None:  # noqa: B027
        """Handle a stimulus that was rejected, for instance to record it; it is never applied."""

    @abstractmethod
    async def _apply(self, stimulus: Stimulus) -> Response:
        """Apply one stimulus, which has passed `SubstrateInfo.admit`, and return the response.

        To stop the device, this call is cancelled: set the device's inputs to a safe level before `CancelledError`
        is raised again.
        """

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli that have passed `SubstrateInfo.admit`, and yield the response to each, in order."""
        async for stimulus in stimuli:
            yield await self._apply(stimulus)

    @abstractmethod
    async def reset(self) -> None:
        """Return to rest; what was random before goes on, since no device repeats its noise.

        To have the same noise in several trials, as a simulator can, make a substrate anew for each, or use the
        simulator itself: ``simulator.reset(noise="repeat")``.

        Raises
        ------
        SubstrateError
            If the substrate cannot return to rest on command; ``info.resettable`` is False then.
        """

    async def __aenter__(self) -> Self:
        self._is_entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_entered = False


def _noting_entry(enter: Callable[..., Any]) -> Callable[..., Any]:
    """Return an adapter's `__aenter__` that notes when it has succeeded."""

    @wraps(enter)
    async def noting(self: Substrate) -> Any:
        entered = await enter(self)
        self._is_entered = True
        return entered

    return noting


def _noting_exit(leave: Callable[..., Any]) -> Callable[..., Any]:
    """Return an adapter's `__aexit__` that notes that it was called."""

    @wraps(leave)
    async def noting(
        self: Substrate, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._is_entered = False
        return await leave(self, kind, error, trace)

    return noting


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
    """Interface of a simulator: a synchronous, seeded model of a substrate that does no input or output."""

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate, and the limits of its stimuli."""

    def reset(self) -> None:
        """Return to rest, and set the clock to zero.

        Noise, if there is any, goes on: trials with a reset before each are independent, and all together repeat
        with the seed of the simulator. Ours also take ``reset(noise="repeat")``.
        """

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits, and return its response.

        The ``sequence`` of responses counts from 0 after each reset.
        """
