"""Checks of the contract of `Substrate`, for any adapter, whatever stands behind it.

They give the substrate small stimuli within its limits, about a hundred in all. With living tissue, run them on the
adapter's twin.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial

import msgspec
import numpy as np

from inmateria.substrate import (
    FloatArray,
    Response,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateError,
    SubstrateInfo,
)
from inmateria.testing.checks import Check
from inmateria.testing.leaks import assert_no_leaked_tasks

__all__ = ["check_entered_substrate", "check_substrate", "small_stimuli", "substrate_checks"]

_MOST_AWAITS = 25
"""Points of an exchange at which it is cancelled; a device in real time has thousands of them, most alike."""

_Promise = Callable[[Substrate, int], Awaitable[None]]


def substrate_checks(window: int = 8) -> tuple[Check, ...]:
    """Return all checks of a substrate; each is called with a function that makes a substrate.

    Parameters
    ----------
    window : int
        Largest number of stimuli that the substrate keeps in flight in a stream.
    """
    entered = [Check(partial(_on_a_new_one, promise=each, window=window), each.__name__) for each in _PROMISES]
    return (*entered, Check(_can_be_left_and_entered_again, "can_be_left_and_entered_again"))


def check_substrate(make: Callable[[], Substrate], *, window: int = 8) -> None:
    """Run every check of a substrate, each on a new one.

    Parameters
    ----------
    make : callable
        Makes a substrate that has not been entered.
    window : int
        Largest number of stimuli that it keeps in flight in a stream.

    Raises
    ------
    AssertionError
        If a check fails.
    """
    for check in substrate_checks(window):
        check(make)


async def check_entered_substrate(substrate: Substrate, *, window: int = 8) -> None:
    """Run all checks one after another on one substrate that has been entered, for one that is slow to open.

    Parameters
    ----------
    substrate : Substrate
        Substrate that has been entered.
    window : int
        Largest number of stimuli that it keeps in flight in a stream.

    Raises
    ------
    AssertionError
        If a check fails.
    """
    for promise in _PROMISES:
        await promise(substrate, window)


def _on_a_new_one(make: Callable[[], Substrate], promise: _Promise, window: int) -> None:
    async def run() -> None:
        async with assert_no_leaked_tasks(), make() as substrate:
            await promise(substrate, window)

    asyncio.run(run())


def _can_be_left_and_entered_again(make: Callable[[], Substrate]) -> None:
    async def run() -> None:
        substrate = make()
        async with assert_no_leaked_tasks():
            for _ in range(2):
                async with substrate:
                    await substrate.stimulate(small_stimuli(substrate, 1)[0])
            with suppress(RuntimeError):
                async with substrate:
                    raise RuntimeError("left with an error")

    asyncio.run(run())


def small_stimuli(substrate: Substrate, count: int) -> list[Stimulus]:
    """Return small stimuli of one to three steps, in which few inputs differ from rest."""
    generator, info = np.random.default_rng(0), substrate.info
    return [info.stimulus(_drive(info, generator, 1 + k % 3)) for k in range(count)]


def _drive(info: SubstrateInfo, generator: np.random.Generator, steps: int) -> FloatArray:
    drive = info.rest_drive(steps)
    active = generator.random(drive.shape) < 0.1
    top = np.array([max(channel.levels) if channel.levels else channel.high for channel in info.inputs])
    return np.where(active, top, drive)


async def _next_sequence(substrate: Substrate) -> int:
    return (await substrate.stimulate(small_stimuli(substrate, 1)[0])).sequence + 1


async def _collect(got: list[Response], responses: AsyncIterator[Response]) -> None:
    """Collect responses one by one, so that those before a failure are kept."""
    async for response in responses:
        got.append(response)  # noqa: PERF401


async def info_survives_json_and_rest_is_admitted(substrate: Substrate, window: int) -> None:
    """The info is complete as text, and the substrate accepts its own rest."""
    info = substrate.info
    assert msgspec.json.decode(msgspec.json.encode(info), type=SubstrateInfo) == info
    assert len(info.rest) == len(info.inputs)
    await substrate.stimulate(info.stimulus(info.rest_drive(2)))


async def responses_are_as_the_info_says(substrate: Substrate, window: int) -> None:
    """Shapes, ranges, spikes and their times are those that the info promises."""
    info = substrate.info
    for stimulus in small_stimuli(substrate, 3):
        response = await substrate.stimulate(stimulus)
        info.check_response(stimulus, response)
        if response.signal is not None:
            known = np.where(np.isnan(response.signal), 0.0, response.signal)
            assert (known <= [max(0.0, channel.high) for channel in info.outputs]).all(), "above an output's range"
            assert (known >= [min(0.0, channel.low) for channel in info.outputs]).all(), "below an output's range"
        if response.spikes is not None:
            time = response.spikes["time"]
            assert (time >= response.start - 1e-9).all(), "a spike before the stimulus"
            assert (time < response.start + stimulus.duration + 1e-9).all(), "a spike after the stimulus"
            assert (np.diff(time) >= 0).all(), "spikes are not in order of time"


async def a_drive_cannot_be_changed_once_it_is_made(substrate: Substrate, window: int) -> None:
    """Neither the array that was given nor the stimulus itself changes what is applied."""
    given = substrate.info.rest_drive(2)
    stimulus = substrate.info.stimulus(given)
    kept = stimulus.drive.copy()
    given[:] = np.nan
    try:
        stimulus.drive.flags.writeable = True
    except ValueError:
        pass
    else:
        raise AssertionError("the drive of a stimulus can be made writeable")
    assert np.array_equal(stimulus.drive, kept)
    await substrate.stimulate(stimulus)


async def a_stream_is_in_order_and_a_slow_consumer_slows_it(substrate: Substrate, window: int) -> None:
    """Responses come in order, steps never overlap, and at most a window of stimuli is taken ahead."""
    taken = seen = 0
    given = small_stimuli(substrate, 2 * window)

    def source() -> Iterator[Stimulus]:
        nonlocal taken
        for stimulus in given:
            taken += 1
            yield stimulus

    first, end = await _next_sequence(substrate), 0.0
    async with aclosing(substrate.stream(source())) as responses:
        async for response in responses:
            assert response.sequence == first + seen, "responses are out of order"
            assert response.start >= end - 1e-6, (
                f"steps overlap: response {response.sequence} starts at {response.start:.6g} s, before the end of the "
                f"stimulus before it at {end:.6g} s; hold each value for stimulus.step on the clock that gives start"
            )
            end = response.start + given[seen].duration
            seen += 1
            for _ in range(20):  # give a producer that does not wait every chance to run ahead
                await asyncio.sleep(0)
            assert taken <= seen + window + 1, "a slow consumer does not slow the producer"
    assert seen == taken == len(given)


async def what_is_outside_the_limits_is_refused_and_nothing_of_it_applied(substrate: Substrate, window: int) -> None:
    """Too high, too low, too long, too many columns: refused, and the next exchange has the next number."""
    info = substrate.info
    first = await _next_sequence(substrate)
    high, low = info.rest_drive(1), info.rest_drive(1)
    high[0, -1] = info.inputs[-1].high + (info.inputs[-1].high - info.inputs[-1].low)
    low[0, 0] = info.inputs[0].low - (info.inputs[0].high - info.inputs[0].low)
    wide = np.zeros((1, len(info.inputs) + 1))
    wrong = [
        *(Stimulus(drive, info.step) for drive in (high, low, wide)),
        Stimulus(info.rest_drive(), 2 * info.limits.longest_step),
        Stimulus(info.rest_drive(), 0.5 * info.limits.shortest_step),
    ]
    for stimulus in wrong:
        try:
            await substrate.stimulate(stimulus)
        except StimulusRejected:
            continue
        raise AssertionError(f"a stimulus outside the limits was applied: {stimulus}")
    assert (await substrate.stimulate(small_stimuli(substrate, 1)[0])).sequence == first


async def after_a_refusal_in_a_stream_nothing_is_applied_until_it_was_seen(substrate: Substrate, window: int) -> None:
    """A stream ends at the stimulus that was refused, and the substrate can be used again."""
    good, first, info = small_stimuli(substrate, 1)[0], await _next_sequence(substrate), substrate.info
    wrong = Stimulus(info.rest_drive() + [channel.high - channel.low + 1 for channel in info.inputs], info.step)
    got: list[Response] = []
    try:
        await _collect(got, substrate.stream([good, wrong, good]))
    except StimulusRejected:
        pass
    else:
        raise AssertionError("a stream accepted a stimulus outside the limits")
    assert [response.sequence for response in got] == [first]
    assert (await substrate.stimulate(good)).sequence == first + 1


async def a_stream_that_is_left_early_can_be_followed_by_another(substrate: Substrate, window: int) -> None:
    """At most a window of stimuli beyond the last response seen has been applied."""
    first = await _next_sequence(substrate)
    async with aclosing(substrate.stream(small_stimuli(substrate, 20))) as responses:
        async for response in responses:
            if response.sequence == first + 1:
                break
    following = (await substrate.stimulate(small_stimuli(substrate, 1)[0])).sequence
    assert first + 2 <= following <= first + 2 + window


async def an_error_of_the_source_comes_after_the_responses_before_it(substrate: Substrate, window: int) -> None:
    """A source of stimuli that fails loses none of the responses to those it gave."""

    def source() -> Iterator[Stimulus]:
        yield from small_stimuli(substrate, 2)
        raise RuntimeError("the source of stimuli failed")

    got: list[Response] = []
    try:
        await _collect(got, substrate.stream(source()))
    except RuntimeError:
        pass
    else:
        raise AssertionError("the error of the source of stimuli was lost")
    assert len(got) == 2


async def exchanges_asked_for_at_once_are_each_applied_once(substrate: Substrate, window: int) -> None:
    """Several exchanges at a time take turns; each has a number of its own."""
    first = await _next_sequence(substrate)
    got = await asyncio.gather(*(substrate.stimulate(stimulus) for stimulus in small_stimuli(substrate, 5)))
    assert sorted(response.sequence for response in got) == list(range(first, first + 5))


async def it_returns_to_rest_or_says_that_it_cannot(substrate: Substrate, window: int) -> None:
    """After a return to rest, clock and numbers begin at zero; if it is not resettable, that is said."""
    await substrate.stimulate(small_stimuli(substrate, 1)[0])
    if substrate.info.resettable:
        await substrate.reset()
        again = await substrate.stimulate(small_stimuli(substrate, 1)[0])
        assert (again.start, again.sequence) == (0.0, 0)
        return
    try:
        await substrate.reset()
    except SubstrateError:
        return
    raise AssertionError("a substrate that is not resettable accepted a reset")


async def cancelling_a_stream_ends_it_cleanly(substrate: Substrate, window: int) -> None:
    """A stream that is cancelled ends, and the substrate can be used again."""
    for later in range(4):
        first = await _next_sequence(substrate)
        await _cancel_in_a_stream(substrate, first + 2, later)
        assert (await substrate.stimulate(small_stimuli(substrate, 1)[0])).sequence >= first + 3


async def _cancel_in_a_stream(substrate: Substrate, sequence: int, later: int) -> None:
    """Cancel a stream so many turns of the event loop after the response of that number."""
    reached = asyncio.Event()

    async def work() -> None:
        async with aclosing(substrate.stream(small_stimuli(substrate, 1)[0] for _ in range(10_000))) as responses:
            async for response in responses:
                if response.sequence == sequence:
                    reached.set()
                await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await reached.wait()
    for _ in range(later):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
    raise AssertionError("a cancellation was swallowed")


async def an_exchange_may_be_cancelled_at_any_moment(substrate: Substrate, window: int) -> None:
    """Cancelled at its first await, its second and so on, an exchange leaves a substrate that goes on in step."""
    stimulus, before = small_stimuli(substrate, 1)[0], await _next_sequence(substrate)
    for awaits in range(_MOST_AWAITS):
        exchange = asyncio.ensure_future(substrate.stimulate(stimulus))
        for _ in range(awaits):
            await asyncio.sleep(0)
        whole = exchange.done()
        exchange.cancel()
        with suppress(asyncio.CancelledError):
            await exchange
        following = (await substrate.stimulate(stimulus)).sequence
        assert before <= following <= before + 1, "a cancelled exchange was applied more than once, or never counted"
        before = following + 1
        if whole:
            return


_PROMISES: tuple[_Promise, ...] = (
    info_survives_json_and_rest_is_admitted,
    responses_are_as_the_info_says,
    a_drive_cannot_be_changed_once_it_is_made,
    a_stream_is_in_order_and_a_slow_consumer_slows_it,
    what_is_outside_the_limits_is_refused_and_nothing_of_it_applied,
    after_a_refusal_in_a_stream_nothing_is_applied_until_it_was_seen,
    a_stream_that_is_left_early_can_be_followed_by_another,
    an_error_of_the_source_comes_after_the_responses_before_it,
    exchanges_asked_for_at_once_are_each_applied_once,
    it_returns_to_rest_or_says_that_it_cannot,
    cancelling_a_stream_ends_it_cleanly,
    an_exchange_may_be_cancelled_at_any_moment,
)
