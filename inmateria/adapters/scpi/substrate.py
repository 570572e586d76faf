"""An instrument that speaks SCPI over TCP, described by a profile: ``scpi://host:port?profile=keithley-2400``."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import suppress
from inspect import signature
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import numpy as np

from inmateria.adapters.measured_range import nan_outside_range
from inmateria.adapters.scpi.link import ScpiLink
from inmateria.adapters.scpi.messages import NAN, OVERFLOW
from inmateria.adapters.scpi.profile import Profile, ProfileError, load_profile
from inmateria.adapters.uri import parameters_for, query_of, shown
from inmateria.concurrency import wait_to_completion
from inmateria.substrate import (
    FloatArray,
    IdentitySource,
    Limits,
    Response,
    Stimulus,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateInfo,
    UnknownSubstrate,
)

__all__ = ["ScpiSubstrate", "scpi_from_uri"]

_logger = logging.getLogger("inmateria")
Result = TypeVar("Result")
_PORT = 5025
_MOST_ERRORS = 50


class ScpiSubstrate(Substrate):
    """An instrument that speaks SCPI over TCP.

    In each step the inputs whose value changes are set, in the order of the profile; after the settle time all outputs
    are read. After each exchange the instrument's errors are read. Inputs are at rest after entering, after each
    exchange or stream, after an error or a cancellation, and on leaving.

    If the connection is lost or an answer does not come in time, the exchange fails and nothing of it is sent again.
    The next exchange connects anew, to the same instrument only, and begins from rest.

    Parameters
    ----------
    host : str
    port : int
    profile : str
        Name of a profile that comes with the package (``keithley-2400``, ``keithley-2400-current``, ``power-supply``),
        or path of a TOML file.
    limit : float, optional
        Largest absolute value of every input, in its unit, if less than in the profile.
    step : float, optional
        Default duration of a step, s; that of the profile by default.
    settle : float, optional
        Time from setting the inputs to the first reading of a step, s; that of the profile by default.
    timeout : float
        Longest wait for an answer, s.
    id : str
        Identity of what is connected to the instrument; by default the instrument's own model and serial number.
    settings : dict of str to float, optional
        Numbers of the profile's settings, such as ``compliance``; in a URI simply ``compliance=1e-3``.

    Attributes
    ----------
    overflows : int
        Values read that were outside the range of their output; they are NaN in the responses.
    late_steps : int
        Steps that lasted longer than was asked for, because answers took longer.

    Raises
    ------
    ValueError
        If the profile or a parameter is not right.
    SubstrateDisconnected, SubstrateTimeout, SubstrateError
        On entering, if the instrument cannot be reached, is another one, or refuses a command.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = _PORT,
        *,
        profile: str = "keithley-2400",
        limit: float | None = None,
        step: float | None = None,
        settle: float | None = None,
        timeout: float = 10.0,
        id: str = "",  # noqa: A002
        settings: dict[str, float] | None = None,
    ) -> None:
        self._profile: Profile = load_profile(profile)
        given = settings or {}
        strange = sorted(set(given) - set(self._profile.settings))
        if strange:
            raise ProfileError(
                f"{', '.join(strange)} is no setting of profile {profile!r}; it has "
                f"{', '.join(self._profile.settings) or 'none'}"
            )
        if limit is not None and not limit > 0:
            raise ValueError(f"limit is {limit}; give more than 0")
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout is {timeout} s; give a finite time of more than 0")
        self._opening = self._profile.opening(given)
        self._host, self._port, self._limit, self._timeout, self._id = host, port, limit, timeout, id
        self._step = self._profile.step if step is None else step
        self._settle = self._profile.settle if settle is None else settle
        if not 0 <= self._settle < self._step:
            raise ValueError(f"settle is {self._settle} s and step {self._step} s; give 0 to less than a step")
        self._description("unknown", "none")  # so that a wrong profile is told before anything is opened
        self._link: ScpiLink | None = None
        self._identity = ""
        self._turn = asyncio.Lock()
        self._entered = False
        self.overflows = self.late_steps = 0

    def _description(self, name: str, identity: IdentitySource) -> SubstrateInfo:
        profile = self._profile
        return SubstrateInfo(
            id=name,
            identity=identity,
            kind=profile.kind,
            inputs=tuple(each.channel(self._limit) for each in profile.inputs),
            outputs=tuple(each.channel for each in profile.outputs),
            rest=tuple(each.rest for each in profile.inputs),
            step=self._step,
            sampling_rate=1 / self._step,
            limits=Limits(shortest_step=min(self._step, max(1e-6, self._settle * (1 + 1e-9)))),
        )

    async def __aenter__(self) -> Self:
        self._turn = asyncio.Lock()
        self._identity, self._count = "", 0
        self.overflows = self.late_steps = 0
        self._epoch = asyncio.get_running_loop().time()
        self._entered = True
        try:
            await self._connected()
        except BaseException:
            self._entered = False
            await self._dropped()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        try:
            await wait_to_completion(asyncio.ensure_future(self._leave()))
        except SubstrateError as failed:
            if error is None:
                raise
            _logger.error("%s", failed)

    async def reset(self) -> None:
        """Raise an error: what is behind an instrument does not return to rest on command."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest",
            f"a {self.info.kind} does not do so on command",
            "let it rest with its inputs at rest instead",
        )

    async def _apply(self, stimulus: Stimulus) -> Response:
        return await self._exchange(stimulus, rest=True)

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
        if self._link is not None:
            async with self._turn:
                await wait_to_completion(asyncio.ensure_future(self._rest()))

    async def _exchange(self, stimulus: Stimulus, rest: bool) -> Response:
        if not self._entered:
            raise SubstrateDisconnected(
                f"the instrument at {self._host}:{self._port} is not open",
                "an instrument that has been entered",
                "use it inside `async with`",
            )
        async with self._turn:
            stop = asyncio.Event()
            exchange = asyncio.ensure_future(self._applied(stimulus, stop, rest))
            try:
                return await asyncio.shield(exchange)
            except asyncio.CancelledError:
                stop.set()
                with suppress(SubstrateError):
                    await wait_to_completion(exchange)
                raise

    async def _applied(self, stimulus: Stimulus, stop: asyncio.Event, rest: bool) -> Response:
        """Apply a stimulus, or its first steps if told to stop; then the inputs are at rest."""
        await self._connected()
        sequence, done = self._count, False
        self._count += 1
        try:
            try:
                signal, start = await self._play(stimulus, stop)
                done = not stop.is_set()
            finally:
                if (rest or not done) and self._link is not None:
                    await self._rest()
            await self._check_errors("the stimulus")
        except SubstrateError as error:
            if self._link is None:
                raise type(error)(
                    f"{error.asked}; exchange {sequence} was applied in part",
                    error.allowed or "nothing of it is sent again",
                    error.remedy or "the next exchange connects anew and begins from rest",
                ) from error
            await self._rest()
            with suppress(SubstrateError):
                await self._check_errors("it")  # its answer says that the inputs have been set
            raise
        signal, outside = nan_outside_range(self.info, signal)
        self.overflows += outside
        return Response(signal, None, start, sequence)

    async def _play(self, stimulus: Stimulus, stop: asyncio.Event) -> tuple[FloatArray, float]:
        """Set and read, step by step; return the signal and the start on this machine's clock."""
        loop, step, samples = asyncio.get_running_loop(), stimulus.step, self.info.samples(stimulus.step)
        signal = np.full((len(stimulus.drive), samples, len(self._profile.outputs)), np.nan)
        due = start = loop.time()
        for k, row in enumerate(stimulus.drive.tolist()):
            await self._set(row)
            for sample in range(samples):
                await _sleep_until(due + self._settle + sample * (step - self._settle) / samples, stop)
                if stop.is_set():
                    return signal, start - self._epoch
                signal[k, sample] = await self._read()
            due += step
            if (now := loop.time()) > due:
                self.late_steps += 1
                if self.late_steps == 1:
                    _logger.warning(
                        "%s: a step lasted %.3g s longer than was asked for, because the answers took that long; "
                        "further ones are counted in late_steps", self.info.id, now - due,
                    )  # fmt: skip
                due = now  # the next step is not shortened for it
            else:
                await _sleep_until(due, stop)
        return signal, start - self._epoch

    async def _set(self, row: list[float]) -> None:
        for index, (value, given) in enumerate(zip(row, self._profile.inputs, strict=True)):
            if self._levels[index] != value:
                self._levels[index] = None  # not known, should it fail
                await self._told(given.set.format(value=value))
                self._levels[index] = value

    async def _read(self) -> list[float]:
        answers: dict[str, list[str]] = {}
        values = []
        for output in self._profile.outputs:
            if output.query not in answers:
                answers[output.query] = (await self._asked(output.query)).split(",")
            words = answers[output.query]
            try:
                value = float(words[output.field])
            except (IndexError, ValueError):
                raise SubstrateError(
                    f"{self.info.id} answered {output.query!r} with {','.join(words)[:120]!r}",
                    f"number {output.field} of it is {output.name}",
                    "see query and field in the profile",
                ) from None
            values.append(np.nan if abs(value) in (NAN, OVERFLOW) else value)
        return values

    async def _rest(self) -> None:
        await self._set(list(self.info.rest))

    async def _check_errors(self, what: str) -> None:
        """Read the instrument's errors.

        Raises
        ------
        SubstrateError
            If there are any.
        """
        found: list[str] = []
        while self._profile.errors and len(found) < _MOST_ERRORS:
            answer = await self._asked(self._profile.errors)
            if re.match(r"[+-]?0+(\D|$)", answer):
                break
            found.append(answer)
        if found:
            raise SubstrateError(
                f"the instrument at {self._host}:{self._port} reports {' and '.join(found[:5])} after {what}",
                "it has no errors otherwise",
                "see the limits in the profile, and the instrument's manual",
            )

    async def _connected(self) -> None:
        """Connect if there is no connection, and bring the instrument to its opening state, with inputs at rest."""
        if self._link is not None and not self._link.closed:
            return
        if self._link is not None:
            await self._dropped()
        self._link = await ScpiLink.open(self._host, self._port, self._timeout)
        identity = await self._asked("*IDN?")
        if self._identity and identity != self._identity:
            await self._dropped()
            raise SubstrateDisconnected(
                f"the instrument at {self._host}:{self._port} is now {identity!r}", f"it was {self._identity!r}"
            )
        if not re.search(self._profile.identity, identity):
            await self._dropped()
            raise SubstrateError(
                f"the instrument at {self._host}:{self._port} is {identity!r}",
                f"profile {self._profile.name!r} is for {self._profile.identity!r}",
                "give the profile of this instrument",
            )
        self._levels: list[float | None] = [None] * len(self._profile.inputs)
        self.info = self._description(*self._named(identity))
        for line in self._opening:
            await self._told(line)
        await self._rest()
        await self._check_errors("opening it")
        self._identity = identity

    def _named(self, identity: str) -> tuple[str, IdentitySource]:
        if self._id:
            return self._id, "user"
        words = [re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-._") for word in identity.split(",")]
        model, serial = [*words, "", "", ""][1:3]
        if serial and serial != "0":
            return f"{model}-{serial}".strip("-"), "serial"
        return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self._host}-{self._port}").strip("-._"), "host"

    async def _told(self, line: str) -> None:
        await self._through(self._needed().send(line))

    async def _asked(self, line: str) -> str:
        return await self._through(self._needed().ask(line))

    def _needed(self) -> ScpiLink:
        if self._link is None:
            raise SubstrateDisconnected(f"there is no connection to {self._host}:{self._port}")
        return self._link

    async def _through(self, work: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await work
        except BaseException:
            self._link = None  # it has been closed
            raise

    async def _leave(self) -> None:
        """Set the inputs to rest and send the closing commands; connect once more for it if the connection was lost."""
        try:
            if self._link is None or self._link.closed:
                await self._connected()
            await self._rest()
            for line in self._profile.close:
                await self._told(line)
            await self._check_errors("closing it")
        except SubstrateError as error:
            raise type(error)(
                f"{error.asked}; the inputs of {self.info.id} may not be at rest", error.allowed, error.remedy
            ) from error
        finally:
            await self._dropped()

    async def _dropped(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def scpi_from_uri(uri: str) -> ScpiSubstrate:
    """Read ``scpi://host[:port]?profile=keithley-2400&compliance=1e-3``; settings of the profile are in the query, too.

    Raises
    ------
    UnknownSubstrate
        If no host is named, or a parameter or the profile is not right.
    """
    parts = urlsplit(uri)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} has no valid port ({error})", "a port is 1 to 65535") from None
    if not host or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{shown(uri)!r} does not name a host",
            "allowed is scpi://host:port, such as scpi://192.168.0.5:5025?profile=keithley-2400",
        )
    query = query_of(uri)
    known = set(signature(ScpiSubstrate.__init__).parameters) - {"self", "host", "port", "settings"}
    try:
        defined = load_profile(query.get("profile", "keithley-2400")).settings
        numbers = {name: float(query.pop(name)) for name in list(query) if name in defined and name not in known}
        given = parameters_for(ScpiSubstrate, query, "scpi")
        if "settings" in given or "host" in given or "port" in given:
            raise ValueError("host, port and settings are not parameters of the query")
        return ScpiSubstrate(host, port or _PORT, settings=numbers, **given)
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} cannot be opened: {error}") from None


async def _sleep_until(moment: float, stop: asyncio.Event) -> None:
    """Sleep until a time of the event loop's clock, or until told to stop."""
    left = moment - asyncio.get_running_loop().time()
    if left > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await stop.wait()
