"""Ctrl-C at every instruction of what hands results over: work is cancelled, and nothing hangs or fails otherwise."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from interrupting import interrupted_at

from inmateria import concurrency
from inmateria.concurrency import PromptFuture, settle, settle_with_error
from inmateria.interruption import run_interruptibly

FILE = Path(concurrency.__file__)
HANDED_OVER: dict[str, Callable[[PromptFuture[int]], object]] = {
    "give": lambda answer: answer.give(7),
    "settle": lambda answer: settle(answer, 7),
    "settle_with_error": lambda answer: settle_with_error(answer, ValueError("no")),
}


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in jobs of a shell
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("runs", [asyncio.run, run_interruptibly])
@pytest.mark.parametrize("how", HANDED_OVER)
def test_ctrl_c_between_any_two_instructions_cancels_what_waits(how: str, runs: Callable[..., Any]) -> None:
    places: set[int] = set()
    for count in range(10_000):
        failures: list[dict[str, Any]] = []
        with interrupted_at(FILE, count) as sent:
            try:
                runs(_waits(how, sent, failures))
            except (KeyboardInterrupt, ValueError) as error:
                ended: BaseException | None = error
            else:
                ended = None
        assert not failures
        if not sent:
            break
        # An error that was there first may end the work before the cancellation does.
        assert isinstance(ended, KeyboardInterrupt) or (how == "settle_with_error" and ended is not None), sent
        places.update(sent)
    assert len(places) > 10


async def _waits(how: str, sent: list[int], failures: list[dict[str, Any]]) -> None:
    """Wait for what is handed over; after an interruption, for ever, since it is to be cancelled."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    answer: PromptFuture[int] = PromptFuture()
    loop.call_soon(HANDED_OVER[how], answer)
    async with asyncio.timeout(10):
        await answer
        if sent:
            await asyncio.Event().wait()


@pytest.mark.parametrize("runs", [asyncio.run, run_interruptibly])
def test_ctrl_c_while_a_task_begins_to_wait_cancels_it(runs: Callable[..., Any]) -> None:
    async def waits() -> None:
        async with asyncio.timeout(10):
            await PromptFuture()

    async def main() -> None:
        task = asyncio.create_task(waits())
        asyncio.get_running_loop().call_later(0.01, task.cancel)  # where no signal comes
        await task

    for count in range(10_000):
        with interrupted_at(FILE, count) as sent, pytest.raises((KeyboardInterrupt, asyncio.CancelledError)):
            runs(main())
        if not sent:
            break
    assert count > 10


@pytest.mark.parametrize("cancelled_by_itself", [False, True])
def test_a_future_that_is_done_before_it_is_waited_for_wakes_its_task(cancelled_by_itself: bool) -> None:
    """Between a look at it and the note of what to call it is cancelled: by hand, since that moment is short."""

    class Cancelled(PromptFuture[int]):
        def done(self) -> bool:
            done = super().done()
            if not done:
                asyncio.Future.cancel(self)
            return done

    async def main() -> None:
        answer: PromptFuture[int] = Cancelled() if cancelled_by_itself else PromptFuture()
        if not cancelled_by_itself:
            answer.cancel()
        async with asyncio.timeout(10):
            await answer

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@pytest.mark.parametrize("runs", [asyncio.run, run_interruptibly])
def test_a_result_that_is_not_given_any_more_is_none(runs: Callable[..., Any]) -> None:
    async def main() -> list[int]:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(_cancelled(), 5)
        return [1]

    async def _cancelled() -> None:
        answer: PromptFuture[int] = PromptFuture()
        answer.cancel()
        for each in HANDED_OVER.values():
            each(answer)
        await answer

    assert runs(main()) == [1]


PROGRAM = """
import asyncio, signal, sys
from inmateria.interruption import run_interruptibly

async def main():
    try:
        print("begun", flush=True)
        await asyncio.sleep(60)
    finally:
        print("cleaning up", flush=True)
        await asyncio.sleep({cleans})
        print("cleaned up", flush=True)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
try:
    run_interruptibly(main(), signals=(signal.SIGINT, signal.SIGTERM))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_work_clean_up(number: signal.Signals) -> None:
    with _program(cleans=0.05) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        running.send_signal(number)
        assert running.stdout.read() == "cleaning up\ncleaned up\ninterrupted\n"


def test_the_same_signal_again_ends_it_at_once() -> None:
    with _program(cleans=60) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        for said in ("cleaning up\n", "interrupted\n"):
            running.send_signal(signal.SIGINT)
            assert running.stdout.readline() == said


def test_sigterm_after_ctrl_c_does_not_cut_the_cleaning_up_short() -> None:
    with _program(cleans=0.3) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "cleaning up\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.read() == "cleaned up\ninterrupted\n"


def test_a_signal_is_not_lost_where_the_work_waits_no_more() -> None:
    async def ends() -> int:
        signal.raise_signal(signal.SIGINT)
        return 7

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(ends())


def test_an_error_while_interrupted_work_cleans_up_is_the_cause() -> None:
    async def fails_to_clean_up() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            raise ValueError("no answer")

    with pytest.raises(KeyboardInterrupt) as interrupted:
        run_interruptibly(fails_to_clean_up())
    assert str(interrupted.value.__cause__) == "no answer"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_can_run_it_without_signals() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: run_interruptibly(asyncio.sleep(0, 7))).result() == 7


def _program(cleans: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(cleans=cleans)], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_signal_that_the_process_ignores_stays_ignored_and_handlers_come_back() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def main() -> Any:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)
        return signal.getsignal(signal.SIGTERM)

    def handler(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, handler)
    try:
        assert run_interruptibly(main(), signals=(signal.SIGINT, signal.SIGTERM)) is not handler
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_the_work_returns_and_raises_comes_out() -> None:
    async def fails() -> None:
        raise ValueError("seven")

    async def cancels() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="seven"):
        run_interruptibly(fails())
    with pytest.raises(asyncio.CancelledError):
        run_interruptibly(cancels())
    assert run_interruptibly(asyncio.sleep(0, 7)) == 7
