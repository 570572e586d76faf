"""A reservoir made of matter: encoding -> substrate -> features, ready for a readout.

`PhysicalReservoir` is the async form; `PhysicalReservoir.blocking()` is the same for scripts and
notebooks that do not want to know of event loops.
"""

import atexit
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Generator, Iterable
from contextlib import ExitStack, aclosing
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from anyio.from_thread import BlockingPortal, start_blocking_portal

from inmateria.adapters import connect
from inmateria.notebook_html import notebook_html
from inmateria.reservoir.encoding import Encoding, OneToOne
from inmateria.reservoir.features import Features, VirtualNodes
from inmateria.substrate import (
    FloatArray,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateInfo,
    asynchronous,
)

# A long series goes out in stimuli whose responses have about this many values (8 MB) at most.
_CHUNK_VALUES = 1_000_000


class PhysicalReservoir:
    """A substrate with an encoding of its input and features of its responses; an async context manager.

    It is used inside ``async with``, which enters the substrate, or around a substrate that has been entered. Elsewhere
    `run` and its like are refused at once. `blocking` is the same without ``await``.

    Parameters
    ----------
    substrate : Substrate or str
        Substrate, entered and left with the reservoir; a string is a URI for `connect`.
    encoding : Encoding, optional
        Turns a series into a drive; `OneToOne` by default.
    features : Features, optional
        Turns a response into features; every sample of every output by default.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    washout : int
        Number of steps at the start of each series whose features are left out, because they depend on what was sent
        before.
    rest : float
        Time at rest after each series of a `stream`, for the substrate to forget it, s.

    Examples
    --------
    >>> async with PhysicalReservoir("nanowire://?wires=100&seed=1") as reservoir:  # doctest: +SKIP
    ...     X = await reservoir.run(u)
    """

    def __init__(
        self,
        substrate: Substrate | str,
        encoding: Encoding | None = None,
        features: Features | None = None,
        *,
        step: float | None = None,
        washout: int = 0,
        rest: float = 0.0,
    ) -> None:
        if washout < 0 or not 0 <= rest < float("inf"):
            raise ValueError(f"washout is {washout} steps and rest {rest} s; neither may be negative")
        self.substrate = connect(substrate) if isinstance(substrate, str) else substrate
        self.encoding: Encoding = OneToOne() if encoding is None else encoding
        self.features: Features = VirtualNodes() if features is None else features
        self.washout = washout
        self.rest = rest
        self._step = step

    async def __aenter__(self) -> Self:
        await self.substrate.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.substrate.__aexit__(kind, error, trace)

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate, and the limits of its stimuli."""
        return self.substrate.info

    @property
    def duration_of_step(self) -> float:
        """Duration of a substrate step, s."""
        return self.info.step if self._step is None else self._step

    @property
    def feature_names(self) -> list[str]:
        """Name of each feature, in the order of the columns of the features."""
        return self.features.names(self.info, self.duration_of_step, self.encoding.positions)

    def steps_of(self, u: npt.ArrayLike) -> int:
        """Return the number of substrate steps of one series of a `stream`, its rest included."""
        return (len(_series(u)) + self._resting) * self.encoding.positions

    @property
    def _resting(self) -> int:
        """Steps of the series' own length that fit into the rest."""
        return round(self.rest / self.duration_of_step / self.encoding.positions)

    def encode(self, u: npt.ArrayLike) -> FloatArray:
        """Encode a series as a drive (steps x positions, inputs), without sending it.

        A readout on this drive is the control without the physics.
        """
        series = _series(u)
        drive = self.encoding.drive(series, self.info)
        expected = (len(series) * self.encoding.positions, len(self.info.inputs))
        if drive.shape != expected:
            raise ValueError(f"the encoding made a drive of shape {drive.shape}; it must be {expected}")
        return drive

    def check(self, u: npt.ArrayLike) -> FloatArray:
        """Check a series of a `stream` against the limits and return its drive, without sending it.

        Raises
        ------
        StimulusRejected
            If the series is outside the limits.
        """
        drive = self.encode(u)
        self._stimulus(drive)
        self._admit_length(u)
        return drive

    def _admit_length(self, u: npt.ArrayLike) -> None:
        """Refuse a series that is too long with its rest, before room is made for it."""
        steps, most = self.steps_of(u), self.info.limits.steps
        if steps > most:
            raise StimulusRejected(
                f"a series takes {steps} steps, its rest of {self.rest:g} s included",
                f"{self.info.id} takes at most {most} at once",
                "send shorter series, or rest for less",
            )

    def run(self, u: npt.ArrayLike) -> Coroutine[Any, Any, FloatArray]:
        """Drive the substrate with one series and return its features, to be awaited.

        Parameters
        ----------
        u : array_like of float, shape (steps, features) or (steps,)

        Returns
        -------
        ndarray of float, shape (steps - washout, features)

        Raises
        ------
        SubstrateDisconnected
            If the substrate has not been entered; raised by the call, before anything is awaited.
        """
        self._require_entered("run")
        return self._run(u)

    async def _run(self, u: npt.ArrayLike) -> FloatArray:
        drive = self.encode(u)
        positions = self.encoding.positions
        of_one = self.info.samples(self.duration_of_step) * len(self.info.outputs)
        most = max(1, min(self.info.limits.steps, _CHUNK_VALUES // max(1, of_one)) // positions) * positions
        stimuli = [self._stimulus(drive[begin : begin + most]) for begin in range(0, len(drive), most)]
        parts: list[FloatArray] = []
        async with aclosing(self.substrate.stream(stimuli)) as responses:
            async for response in responses:
                parts.append(self.features.extract(response, stimuli[len(parts)], self.info, positions))
        return np.concatenate(parts)[self.washout :]

    def step(self, u: npt.ArrayLike) -> Coroutine[Any, Any, FloatArray]:
        """Drive the substrate with one step of a series, shape (features,), and return its features, to be awaited.

        This is one exchange, for closed loops; there is no washout.
        """
        self._require_entered("step")
        return self._one_step(u)

    async def _one_step(self, u: npt.ArrayLike) -> FloatArray:
        stimulus = self._stimulus(self.encode(np.atleast_1d(np.asarray(u, dtype=np.float64))[np.newaxis]))
        response = await self.substrate.stimulate(stimulus)
        X = self.features.extract(response, stimulus, self.info, self.encoding.positions)
        return X.reshape(-1)

    def stream(self, series: Iterable[npt.ArrayLike] | AsyncIterable[npt.ArrayLike]) -> AsyncGenerator[FloatArray]:
        """Drive the substrate with many series, pipelined, and yield the features of each in order.

        Each series is one stimulus, followed by `rest` seconds in which the inputs are at rest.

        Yields
        ------
        ndarray of float, shape (steps - washout, features)
        """
        self._require_entered("stream")
        return self._stream(series)

    async def _stream(
        self, series: Iterable[npt.ArrayLike] | AsyncIterable[npt.ArrayLike]
    ) -> AsyncGenerator[FloatArray]:
        sent: deque[Stimulus] = deque()
        resting = self._resting

        async def stimuli() -> AsyncGenerator[Stimulus]:
            async with aclosing(asynchronous(series)) as given:
                async for u in given:
                    drive = self.encode(u)
                    self._admit_length(u)
                    pause = self.info.rest_drive(resting * self.encoding.positions)
                    stimulus = self._stimulus(np.concatenate([drive, pause]))
                    sent.append(stimulus)
                    yield stimulus

        async with aclosing(stimuli()) as source, aclosing(self.substrate.stream(source)) as responses:
            async for response in responses:
                X = self.features.extract(response, sent.popleft(), self.info, self.encoding.positions)
                yield X[self.washout : len(X) - resting]

    def reset(self) -> Coroutine[Any, Any, None]:
        """Return the substrate to rest; raises `SubstrateError` if it is not resettable."""
        self._require_entered("reset")
        return self.substrate.reset()

    def relax(self) -> Coroutine[Any, Any, None]:
        """Keep the inputs at rest for `rest` seconds, for the substrate to forget."""
        self._require_entered("relax")
        return self._relax()

    async def _relax(self) -> None:
        if steps := self._resting * self.encoding.positions:
            await self.substrate.stimulate(self._stimulus(self.info.rest_drive(steps)))

    def blocking(self) -> "BlockingReservoir":
        """Return a synchronous interface to the reservoir: ``with reservoir.blocking() as r: r.run(u)``."""
        return BlockingReservoir(self)

    def _require_entered(self, called: str) -> None:
        """Refuse a call while the substrate is not entered, before there is a coroutine that may never be awaited."""
        if not self.substrate.is_entered:
            raise SubstrateDisconnected(
                f"{called} was called and the substrate has not been entered",
                f"`async with reservoir: await reservoir.{called}(...)` in async code and in a notebook",
                f"without await, `with reservoir.blocking() as r: r.{called}(...)`",
            )

    def __repr__(self) -> str:
        encoding, features = type(self.encoding).__name__, type(self.features).__name__
        return f"<PhysicalReservoir: {encoding} -> {self.substrate!r} -> {features}>"

    def _repr_html_(self) -> str:
        encoded, read = repr(self.encoding), repr(self.features)
        facts = {
            "encoding": encoded,
            "substrate": repr(self.substrate),
            "features": read,
            "washout": self.washout or None,
        }
        return notebook_html("PhysicalReservoir", facts)

    def _stimulus(self, drive: FloatArray) -> Stimulus:
        return self.info.stimulus(drive, self._step)


class BlockingReservoir:
    """A `PhysicalReservoir` for code without ``await``; a context manager.

    Its event loop runs in a separate thread, so that it also works if an event loop is running, as in a notebook. A
    ``with`` cannot last from one cell of a notebook to the next: use `open` and `close` there.

    Examples
    --------
    >>> reservoir = PhysicalReservoir("nanowire://?wires=100&seed=1").blocking().open()  # doctest: +SKIP
    >>> X = reservoir.run(u)  # doctest: +SKIP
    >>> reservoir.close()  # doctest: +SKIP
    """

    def __init__(self, reservoir: PhysicalReservoir) -> None:
        self.reservoir = reservoir
        self._exits = ExitStack()
        self._portal: BlockingPortal | None = None

    def open(self) -> Self:
        """Enter the substrate and return self, to be closed by `close`; otherwise it is left as the program ends."""
        if self._portal is not None:
            raise RuntimeError("the reservoir is open already; use it, or close it first")
        self.__enter__()
        atexit.register(self.close)
        return self

    def close(self) -> None:
        """Leave the substrate; nothing is done if it is not open."""
        atexit.unregister(self.close)
        if self._portal is not None:
            self.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<BlockingReservoir, {'closed' if self._portal is None else 'open'}: {self.reservoir!r}>"

    def _repr_html_(self) -> str:
        return self.reservoir._repr_html_()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            portal = exits.enter_context(start_blocking_portal())
            exits.enter_context(portal.wrap_async_context_manager(self.reservoir))
            self._exits = exits.pop_all()
        self._portal = portal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._portal = None
        self._exits.__exit__(kind, error, trace)

    @property
    def info(self) -> SubstrateInfo:
        """Description of the substrate, and the limits of its stimuli."""
        return self.reservoir.info

    @property
    def feature_names(self) -> list[str]:
        """Name of each feature."""
        return self.reservoir.feature_names

    def encode(self, u: npt.ArrayLike) -> FloatArray:
        """Encode a series as a drive (steps x positions, inputs), without sending it."""
        return self.reservoir.encode(u)

    def run(self, u: npt.ArrayLike) -> FloatArray:
        """Drive the substrate with one series and return its features (steps - washout, features)."""
        return self._open.call(self.reservoir.run, u)

    def step(self, u: npt.ArrayLike) -> FloatArray:
        """Drive the substrate with one step of a series and return its features (features,)."""
        return self._open.call(self.reservoir.step, u)

    def stream(self, series: Iterable[npt.ArrayLike]) -> Generator[FloatArray]:
        """Drive the substrate with many series, pipelined, and yield the features of each in order."""
        portal, features = self._open, self.reservoir.stream(series)
        try:
            while (X := portal.call(_next, features)) is not None:
                yield X
        finally:
            portal.call(features.aclose)

    def reset(self) -> None:
        """Return the substrate to rest; raises `SubstrateError` if it is not resettable."""
        self._open.call(self.reservoir.reset)

    def relax(self) -> None:
        """Keep the inputs at rest for the reservoir's `rest`, for the substrate to forget."""
        self._open.call(self.reservoir.relax)

    @property
    def _open(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError(
                "the reservoir is not open; use it inside `with reservoir.blocking() as r:`, or open() it first"
            )
        return self._portal


def _series(u: npt.ArrayLike) -> FloatArray:
    """Take a series as (steps, features); a single feature may come as (steps,)."""
    series = np.asarray(u, dtype=np.float64)
    if series.ndim == 1:
        series = series[:, np.newaxis]
    if series.ndim != 2 or 0 in series.shape:
        raise ValueError(f"a series has shape {series.shape}; it must be (steps, features) with at least one of each")
    return series


async def _next(features: AsyncGenerator[FloatArray]) -> FloatArray | None:
    return await anext(features, None)
