"""A served device as a source of the live page: observed without a lease, and stopped by the emergency stop."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import numpy as np

from inmateria.adapters.mqtt.operator.emergency import emergency_stop
from inmateria.adapters.mqtt.operator.observer import Observation, observe
from inmateria.adapters.mqtt.wire.frames import Frame, response_of, stimulus_of
from inmateria.adapters.uri import shown
from inmateria.errors import SubstrateDisconnected
from inmateria.live.columns import ColumnMaker, compile_columns
from inmateria.live.maps import map_of
from inmateria.live.messages import Columns, Event, Hello, Message, Status, hello_of
from inmateria.substrate import SubstrateInfo

__all__ = ["WatchedDevice"]

_EVERY = 0.04
_STATUS_EVERY = 0.25
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


class WatchedDevice:
    """What passes between a device that is served and its controllers.

    If it is lost, or its broker, it is connected to again until the source is closed.

    Parameters
    ----------
    uri : str
        ``mqtt://host:port/group/device``, ``unix:///path`` or ``tcp://host:port``.
    timeout : float
        Seconds to wait for the broker at first.
    """

    def __init__(self, uri: str, *, timeout: float = 5.0) -> None:
        self._uri, self._timeout = uri, timeout
        self.hello = Hello(title=shown(uri).partition("?")[0], kind="device", stops=True)
        self._info: SubstrateInfo | None = None
        self._maker: ColumnMaker | None = None
        self._seen = Observation()
        self._looks: Any = None
        self._announced = False

    async def __aenter__(self) -> Self:
        """Connect to the broker or the socket; raises `SubstrateDisconnected` if there is none."""
        await asyncio.to_thread(compile_columns)
        self._looks = self._observe()
        try:
            self._seen = await anext(self._looks)
        except BaseException:
            await self._looks.aclose()
            raise
        self._learn()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._looks.aclose()

    async def stop(self) -> None:
        """Stop the device; see `emergency_stop`."""
        await emergency_stop(self._uri, timeout=self._timeout)

    async def messages(self) -> AsyncIterator[Message | Columns]:
        """Yield what passes, and the device's state."""
        pause = _PAUSE
        while True:
            try:
                async with aclosing(self._news()) as news:  # type: ignore[type-var]  # it is a generator
                    async for message in news:
                        pause = _PAUSE
                        yield message
            except SubstrateDisconnected as error:
                yield self._status(Status(state="not reached", error=str(error)))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            await self._looks.aclose()
            self._looks = self._observe()

    def _observe(self) -> Any:
        return observe(self._uri, every=_EVERY, timeout=self._timeout, on_exchange=self._take)

    async def _news(self) -> AsyncIterator[Message | Columns]:
        """Yield messages until it or its broker is lost."""
        last: Status | None = None
        due = 0.0
        async for seen in self._looks:
            self._seen = seen
            self._learn()
            if not self._announced:
                self._announced = True
                yield self.hello
            if self._maker is not None and (columns := self._maker.fetch()) is not None:
                yield columns
            status = self._status()
            changed = last is None or (status.state, status.holder, status.error) != (
                last.state, last.holder, last.error,
            )  # fmt: skip
            if changed and last is not None:
                for event in self._events(last, status):
                    yield event
            if changed or time.monotonic() >= due:
                due = time.monotonic() + _STATUS_EVERY
                last = status
                yield status

    def _learn(self) -> None:
        """Take over the info of a device that has announced itself, if it is new."""
        info = self._seen.info
        if info is None or info == self._info:
            return
        self._info, self._announced = info, False
        self._maker = ColumnMaker(len(info.inputs), len(info.outputs), info.sampling_rate)
        self.hello = hello_of(info, title=self.hello.title, kind="device", drawn=map_of(info), stops=True)

    def _take(self, stimulus: Frame | None, answer: Frame) -> None:
        """Reduce an exchange; integers are converted into units after that."""
        self._learn()  # its Hello goes out with the next look
        info, maker, header, signal = self._info, self._maker, answer.header, answer.array
        if info is None or maker is None:
            return
        if stimulus is not None:
            given = stimulus_of(stimulus, info.floats)
            drive, step = given.drive, given.step
        else:  # not heard: the broker may deny observers that topic
            steps = 1 if signal is None else len(signal)
            step = info.step if signal is None or not info.sampling_rate else signal.shape[1] / info.sampling_rate
            drive = np.full((steps, len(info.inputs)), np.nan)
        scale, offset = header.scale or (1.0,), header.offset or (0.0,)
        if signal is not None and header.units:
            signal = response_of(answer, info).signal
        maker.add(header.start, step, drive, signal, answer.spikes, scale=scale, offset=offset)

    def _status(self, given: Status | None = None) -> Status:
        seen = self._seen
        if given is not None:
            state, holder, error = given.state, "", given.error
        else:
            state = seen.status.state if seen.status else "not announced"
            holder = seen.status.holder if seen.status else ""
            error = (seen.status.error if seen.status else "") or seen.refusal
        trip = seen.round_trip
        return Status(
            state=state, holder=holder, error=error, rate=seen.rate if given is None else 0.0,
            round_trip=None if np.isnan(trip) else trip, exchanges=seen.responses, steps=seen.steps,
            spikes=seen.spikes, errors=seen.refused,
        )  # fmt: skip

    def _events(self, before: Status, now: Status) -> list[Event]:
        """Return what has changed in words, at the present end of the time axis."""
        at = 0.0 if self._maker is None or not np.isfinite(self._maker.end) else self._maker.end
        found = []
        if now.state != before.state:
            found.append(now.state)
        if now.holder != before.holder:
            found.append(f"lease of {now.holder}" if now.holder else "lease ended")
        if now.error != before.error and now.error:
            found.append(now.error)
        return [Event(time=at, label=label) for label in found]
