"""Any instrument with a driver in Python as a substrate: channels, and the functions that set and read them.

`Instrument` sets and reads single values, such as a source meter; `BufferedInstrument` plays and records blocks of
samples, such as a converter card. Calls of the driver are made in one thread for each instrument.
"""

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.adapters.call_thread import CallThread
from inmateria.adapters.measured_range import nan_outside_range
from inmateria.substrate import (
    Channel,
    FloatArray,
    Limits,
    Response,
    ResponseMismatch,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
)

__all__ = ["BufferedInstrument", "Instrument"]

_logger = logging.getLogger("inmateria")
Setter = Callable[[float], object]
Reader = Callable[[], float]


class _Driven(Substrate):
    """Base of both kinds of instruments: the thread, entering and leaving, and rest after every exchange."""

    _thread: CallThread | None = None
    _calls: CallThread

    def __init__(
        self,
        inputs: Sequence[Channel],
        outputs: Sequence[Channel],
        *,
        step: float,
        sampling_rate: float,
        shortest_step: float,
        open: Callable[[], object] | None,  # noqa: A002
        close: Callable[[], object] | None,
        timeout: float,
        id: str,  # noqa: A002
        kind: str,
    ) -> None:
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout is {timeout} s; give a finite time of more than 0")
        floating = [channel.name for channel in inputs if channel.floats]
        if floating:
            raise ValueError(
                f"inputs {', '.join(floating)} float; a function that sets a value cannot leave it undriven"
            )
        self.info = SubstrateInfo(
            id=id or kind,
            identity="user" if id else "none",
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            step=step,
            sampling_rate=sampling_rate,
            limits=Limits(shortest_step=min(shortest_step, step), longest_step=max(3600.0, step)),
        )
        self._open, self._close, self._timeout = open, close, timeout
        self._count = 0
        self.overflows = 0

    async def __aenter__(self) -> Self:
        self._thread = self._calls = CallThread(self.info.id, self._timeout)
        self._count = self.overflows = 0
        try:
            await self._thread.do(self._enter)
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave(error)

    async def reset(self) -> None:
        """Raise an error: what is behind an instrument does not return to rest on command."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest",
            f"a {self.info.kind} does not do so on command",
            "let it rest with its inputs at rest instead",
        )

    async def _apply(self, stimulus: Stimulus) -> Response:
        return await self._exchange(stimulus, rest=True)

    async def _exchange(self, stimulus: Stimulus, rest: bool) -> Response:
        self._check(stimulus)
        return await self._entered().do(lambda cancelled: self._applied(stimulus, cancelled, rest))

    def _check(self, stimulus: Stimulus) -> None:
        """Refuse what the limits do not show."""

    @abstractmethod
    def _play(self, stimulus: Stimulus, cancelled: threading.Event) -> tuple[FloatArray, float]:
        """Apply a stimulus, in the thread; return the signal and the time of the start, s."""

    @abstractmethod
    def _rest(self) -> None:
        """Set every input to its rest, in the thread."""

    def _entered(self) -> CallThread:
        if self._thread is None:
            raise SubstrateDisconnected(
                f"{self.info.id} is not open", "an instrument that has been entered", "use it inside `async with`"
            )
        return self._thread

    def _enter(self, cancelled: threading.Event) -> None:
        if self._open is not None:
            self._called("opening", self._open)
        self._rest()

    def _applied(self, stimulus: Stimulus, cancelled: threading.Event, rest: bool) -> Response:
        sequence, whole = self._count, False
        self._count += 1
        try:
            signal, start = self._play(stimulus, cancelled)
            whole = not cancelled.is_set()
        finally:
            if rest or not whole:
                self._rest()
        signal, outside = nan_outside_range(self.info, signal)
        self.overflows += outside
        return Response(signal, None, start, sequence)

    def _called(self, what: str, function: Callable[..., Any], *given: object, seconds: float = 0.0) -> Any:
        """Call the driver; an error says which call it was."""
        try:
            with self._calls.call(what, seconds):  # also after leaving, should a call have hung
                return function(*given)
        except Exception as error:
            raise SubstrateError(
                f"{self.info.id}: {what} failed ({type(error).__name__}: {error})", "", "see to the instrument"
            ) from error

    def _shut(self, cancelled: threading.Event) -> None:
        try:
            self._rest()
        finally:
            if self._close is not None:
                self._called("closing", self._close)

    async def _leave(self, error: BaseException | None) -> None:
        """Set the inputs to rest, close the instrument and end the thread; a failure beside an error is logged."""
        thread = self._thread
        if thread is None:
            return
        try:
            await thread.do(self._shut)
        except SubstrateError as failed:
            if error is None:
                raise
            _logger.error("%s", failed)
        finally:
            thread.end()
            self._thread = None


class Instrument(_Driven):
    """An instrument whose driver sets and reads single values, as a substrate.

    In each step the inputs whose value changes are set, in the order given; after the settle time all outputs are read,
    in the order given, once for each sample. Inputs are at rest after entering, after each exchange or stream, after an
    error or a cancellation, and on leaving.

    Parameters
    ----------
    inputs : dict of Channel to callable
        The channels that stimulate, with the function that sets each: called with a value in the channel's unit, within
        its limits.
    outputs : dict of Channel to callable
        The channels that are read, with the function that reads each; it returns a value in the channel's unit.
    step : float
        Default duration of a step, s.
    sampling_rate : float, optional
        Number of readings of each output per second, Hz; by default one in a step of the default duration.
    settle : float
        Time from setting the inputs to the first reading of a step, s.
    rest : sequence of float, optional
        Value of each input at rest; by default 0, or the allowed value nearest to it.
    open, close : callable, optional
        Called first on entering and last on leaving.
    timeout : float
        Longest time that one call of the driver may take, s.
    id : str
        Identity of what is behind the instrument; without one it cannot have a passport.
    kind : str

    Attributes
    ----------
    late_steps : int
        Steps that lasted longer than was asked for, because the driver's calls took longer.
    overflows : int
        Values read that were outside the range of their output; they are NaN in the responses.

    Raises
    ------
    ValueError
        If a parameter or a channel is not valid.

    Examples
    --------
    >>> voltage = Channel(name="bias", unit="V", low=-1, high=1)
    >>> current = Channel(name="current", unit="A", low=-1e-3, high=1e-3)
    >>> level = [0.0]
    >>> substrate = Instrument(
    ...     inputs={voltage: lambda volts: level.__setitem__(0, volts)},
    ...     outputs={current: lambda: level[0] / 10e3},
    ...     step=0.01,
    ... )
    """

    def __init__(
        self,
        inputs: Mapping[Channel, Setter],
        outputs: Mapping[Channel, Reader],
        *,
        step: float = 0.1,
        sampling_rate: float | None = None,
        settle: float = 0.0,
        rest: Sequence[float] | None = None,
        open: Callable[[], object] | None = None,  # noqa: A002
        close: Callable[[], object] | None = None,
        timeout: float = 10.0,
        id: str = "",  # noqa: A002
        kind: str = "instrument",
    ) -> None:
        if not 0 <= settle < step:
            raise ValueError(f"settle is {settle} s and step {step} s; give a settle time of 0 to less than a step")
        super().__init__(
            tuple(inputs), tuple(outputs), step=step, sampling_rate=sampling_rate or 1 / step,
            shortest_step=max(1e-6, settle * (1 + 1e-9)), open=open, close=close, timeout=timeout, id=id, kind=kind,
        )  # fmt: skip
        if rest is not None:
            self.info = _with_rest(self.info, rest)
        self._setters, self._readers = tuple(inputs.values()), tuple(outputs.values())
        self._settle = settle
        self._levels: list[float | None] = [None] * len(self._setters)
        self._epoch = 0.0
        self.late_steps = 0

    def _enter(self, cancelled: threading.Event) -> None:
        self._levels = [None] * len(self._setters)
        self._epoch, self.late_steps = time.monotonic(), 0
        super()._enter(cancelled)

    async def _stream(self, stimuli: AsyncIterator[Stimulus]) -> AsyncGenerator[Response]:
        """Apply stimuli one after another; the inputs are at rest after the last, not between them."""
        try:
            async for stimulus in stimuli:
                yield await self._exchange(stimulus, rest=False)
        except BaseException:
            with suppress(SubstrateError):  # the error that ended the stream is the one to tell
                await self._end_stream()
            raise
        await self._end_stream()

    async def _end_stream(self) -> None:
        if self._thread is not None:
            await self._thread.do(lambda cancelled: self._rest())

    def _play(self, stimulus: Stimulus, cancelled: threading.Event) -> tuple[FloatArray, float]:
        step, samples = stimulus.step, self.info.samples(stimulus.step)
        signal = np.full((len(stimulus.drive), samples, len(self._readers)), np.nan)
        due = start = time.monotonic()
        for k, row in enumerate(stimulus.drive.tolist()):
            if cancelled.is_set():
                break
            for index, value in enumerate(row):
                self._set(index, value)
            for sample in range(samples):
                _wait_until(due + self._settle + sample * (step - self._settle) / samples, cancelled)
                if cancelled.is_set():
                    break
                signal[k, sample] = [self._read(index) for index in range(len(self._readers))]
            due += step
            if (now := time.monotonic()) > due:
                self._note_late(now - due)
                due = now  # the next step is not shortened for it
            else:
                _wait_until(due, cancelled)
        return signal, start - self._epoch

    def _note_late(self, seconds: float) -> None:
        self.late_steps += 1
        if self.late_steps == 1:
            _logger.warning(
                "%s: a step lasted %.3g s longer than was asked for, because the driver's calls took that long; "
                "further ones are counted in late_steps", self.info.id, seconds,
            )  # fmt: skip

    def _set(self, index: int, value: float) -> None:
        """Set an input, unless it has that value."""
        if self._levels[index] == value:
            return
        channel = self.info.inputs[index]
        self._levels[index] = None  # not known, should the call fail
        self._called(f"setting {channel.name} to {value:g} {channel.unit}", self._setters[index], value)
        self._levels[index] = value

    def _read(self, index: int) -> float:
        channel = self.info.outputs[index]
        value = self._called(f"reading {channel.name}", self._readers[index])
        try:
            return float(value)
        except (TypeError, ValueError):
            raise SubstrateError(
                f"{self.info.id}: reading {channel.name} returned {value!r:.80}",
                f"a number in {channel.unit}",
                "let the function return one",
            ) from None

    def _rest(self) -> None:
        failed: list[SubstrateError] = []
        for index, value in enumerate(self.info.rest):
            try:
                self._set(index, value)
            except SubstrateError as error:
                failed.append(error)
        if failed:
            raise SubstrateError(
                f"{failed[0].asked}, so that the input may not be at rest", "", "see to the instrument"
            ) from failed[0]


class BufferedInstrument(_Driven):
    """An instrument whose driver plays and records blocks of samples, such as a converter or a sound card.

    Each exchange is one call of the driver. The last row that is played is the inputs' rest, since a converter keeps
    its last value; it is not part of the response. Times are on the clock of the card: played samples over the rate.

    Parameters
    ----------
    inputs, outputs : sequence of Channel
        Channels that are played and recorded, in the order of the columns.
    play : callable
        Called with an array of shape (samples, inputs), in the channels' units; returns an array of shape
        (samples, outputs) that was recorded meanwhile.
    sampling_rate : float
        Of both, Hz.
    step : float
        Default duration of a step, s; a step is a whole number of samples.
    rest : sequence of float, optional
        Value of each input at rest; by default 0, or the allowed value nearest to it.
    open, close : callable, optional
        Called first on entering and last on leaving.
    timeout : float
        Longest time that a call may take in addition to the duration of what is played, s.
    id : str
        Identity of what is behind the instrument; without one it cannot have a passport.
    kind : str

    Raises
    ------
    ValueError
        If a parameter or a channel is not valid.
    """

    def __init__(
        self,
        inputs: Sequence[Channel],
        outputs: Sequence[Channel],
        play: Callable[[FloatArray], npt.ArrayLike],
        *,
        sampling_rate: float,
        step: float = 0.01,
        rest: Sequence[float] | None = None,
        open: Callable[[], object] | None = None,  # noqa: A002
        close: Callable[[], object] | None = None,
        timeout: float = 10.0,
        id: str = "",  # noqa: A002
        kind: str = "buffered-instrument",
    ) -> None:
        super().__init__(
            inputs, outputs, step=step, sampling_rate=sampling_rate, shortest_step=1 / sampling_rate,
            open=open, close=close, timeout=timeout, id=id, kind=kind,
        )  # fmt: skip
        if rest is not None:
            self.info = _with_rest(self.info, rest)
        self._whole(step)
        self._player = play
        self._played = 0
        self._at_rest = False

    def _whole(self, step: float) -> int:
        """Return the number of samples of a step."""
        rate = self.info.sampling_rate or 1.0
        if abs(step * rate - round(step * rate)) > 1e-6 * max(1.0, step * rate):
            raise StimulusRejected(
                f"the step is {step:g} s, {step * rate:g} samples",
                f"a step is a whole number of samples at {rate:g} Hz",
                f"give {max(1, round(step * rate)) / rate:.9g} s, for instance",
            )
        return round(step * rate)

    def _check(self, stimulus: Stimulus) -> None:
        self._whole(stimulus.step)

    def _enter(self, cancelled: threading.Event) -> None:
        self._played, self._at_rest = 0, False
        super()._enter(cancelled)

    def _play(self, stimulus: Stimulus, cancelled: threading.Event) -> tuple[FloatArray, float]:
        samples = self._whole(stimulus.step)
        if cancelled.is_set():
            return np.full((len(stimulus.drive), samples, len(self.info.outputs)), np.nan), 0.0
        rows = np.concatenate((np.repeat(stimulus.drive, samples, axis=0), self.info.rest_drive()))
        start = self._played / (self.info.sampling_rate or 1.0)
        self._at_rest = False
        recorded = self._recorded(rows, f"playing {len(rows)} samples")
        self._played += len(rows)
        self._at_rest = True
        return recorded[:-1].reshape(len(stimulus.drive), samples, -1), start

    def _recorded(self, rows: FloatArray, what: str) -> FloatArray:
        seconds = len(rows) / (self.info.sampling_rate or 1.0)
        recorded = np.asarray(self._called(what, self._player, rows, seconds=seconds), dtype=np.float64)
        if recorded.ndim == 1 and len(self.info.outputs) == 1:
            recorded = recorded[:, np.newaxis]
        if recorded.shape != (len(rows), len(self.info.outputs)):
            raise ResponseMismatch(
                f"{self.info.id}: what was recorded has shape {recorded.shape}",
                f"(samples, outputs) = {(len(rows), len(self.info.outputs))}",
                "let the function return as many samples as it is given",
            )
        return recorded

    def _rest(self) -> None:
        if not self._at_rest:
            self._recorded(self.info.rest_drive(), "playing rest")
            self._at_rest = True


def _with_rest(info: SubstrateInfo, rest: Sequence[float]) -> SubstrateInfo:
    return SubstrateInfo(**{name: getattr(info, name) for name in info.__struct_fields__} | {"rest": tuple(rest)})


def _wait_until(moment: float, cancelled: threading.Event) -> None:
    left = moment - time.monotonic()
    if left > 0:
        cancelled.wait(left)
