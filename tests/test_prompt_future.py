"""A `PromptFuture` has its task go on within `give`, and is an `asyncio.Future` in all else."""

import asyncio
from contextlib import suppress
from contextvars import ContextVar

import pytest

from inmateria.concurrency import PromptFuture

NAME: ContextVar[str] = ContextVar("NAME", default="outside")


async def called_by_the_loop(*calls) -> None:  # type: ignore[no-untyped-def]
    """Have each called by the event loop and not by this task."""
    done = asyncio.Event()
    for each in calls:
        asyncio.get_running_loop().call_soon(each)
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()


async def test_the_task_that_waits_goes_on_before_give_returns_and_in_its_own_context() -> None:
    answer: PromptFuture[int] = PromptFuture()
    seen: list[object] = []

    async def waits() -> None:
        NAME.set("inside")
        got = await answer
        seen.append((got, NAME.get(), asyncio.current_task()))

    def gives() -> None:
        answer.give(7)
        seen.append((NAME.get(), asyncio.current_task()))

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    await called_by_the_loop(gives)
    assert seen == [(7, "inside", task), ("outside", None)]


async def test_given_by_a_task_it_goes_on_in_the_next_turn() -> None:
    answer: PromptFuture[int] = PromptFuture()
    task = asyncio.create_task(_value_of(answer))
    await asyncio.sleep(0)
    answer.give(7)
    assert not task.done()
    assert await task == 7


async def _value_of(answer: PromptFuture[int]) -> int:
    return await answer


@pytest.mark.parametrize("gives", [lambda each: each.give(7), lambda each: each.set_result(7)])
async def test_several_that_wait_all_get_the_result(gives) -> None:  # type: ignore[no-untyped-def]
    answer: PromptFuture[int] = PromptFuture()
    tasks = [asyncio.create_task(_value_of(answer)) for _ in range(3)]
    called: list[object] = []
    answer.add_done_callback(called.append)
    await asyncio.sleep(0)
    await called_by_the_loop(lambda: gives(answer))
    assert await asyncio.gather(*tasks) == [7, 7, 7]
    assert called == [answer]
    assert await answer == 7


async def test_an_error_and_a_cancellation_come_out_where_it_is_waited_for() -> None:
    for fails, error in ((lambda each: each.set_exception(ValueError("no")), ValueError),
                         (lambda each: each.cancel(), asyncio.CancelledError)):  # fmt: skip
        answer: PromptFuture[int] = PromptFuture()
        task = asyncio.create_task(_value_of(answer))
        await asyncio.sleep(0)
        fails(answer)
        with pytest.raises(error):
            await task


@pytest.mark.parametrize("begun", [False, True])
async def test_a_task_that_waits_can_be_cancelled_at_any_time(begun: bool) -> None:
    answer: PromptFuture[int] = PromptFuture()
    task = asyncio.create_task(_value_of(answer))
    if begun:
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert answer.done() == begun


async def test_a_cancelled_task_that_was_given_the_result_first_is_done_or_goes_on_to_be_cancelled() -> None:
    answer: PromptFuture[int] = PromptFuture()

    async def waits_again() -> None:
        await answer
        await asyncio.Event().wait()

    task = asyncio.create_task(waits_again())
    await asyncio.sleep(0)
    await called_by_the_loop(lambda: answer.give(7), task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_ends_it_and_a_late_result_is_dropped() -> None:
    answer: PromptFuture[int] = PromptFuture()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(answer, 0.01)
    answer.give(7)
    assert answer.cancelled()


async def test_a_second_result_is_refused_as_by_any_future() -> None:
    answer: PromptFuture[int] = PromptFuture()
    answer.give(7)
    with pytest.raises(asyncio.InvalidStateError):
        answer.give(8)
    assert await answer == 7


async def test_what_a_task_raises_stays_in_the_task() -> None:
    answer: PromptFuture[int] = PromptFuture()

    async def fails() -> None:
        raise ValueError(await answer)

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await called_by_the_loop(lambda: answer.give(7))
    with pytest.raises(ValueError, match="7"):
        await task


async def test_a_callback_that_was_removed_is_not_called() -> None:
    answer: PromptFuture[int] = PromptFuture()
    task = asyncio.create_task(_value_of(answer))
    called: list[object] = []
    await asyncio.sleep(0)
    answer.add_done_callback(called.append)
    assert answer.remove_done_callback(called.append) == 1
    await called_by_the_loop(lambda: answer.give(7))
    assert await task == 7
    assert not called


def test_an_interruption_of_a_task_that_goes_on_ends_the_program() -> None:
    async def ended() -> None:
        answer: PromptFuture[int] = PromptFuture()

        async def interrupted() -> None:
            raise SystemExit(await answer)

        task = asyncio.create_task(interrupted())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(answer.give, 7)
        await task

    with pytest.raises(SystemExit, match="7"):
        asyncio.run(ended())
