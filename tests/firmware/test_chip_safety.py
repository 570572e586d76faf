"""The emulated chip's outputs rest when its host is silent, whatever is broken or sent meanwhile; its clock is right.

All times are the chip's own, and what must come close together is sent at once, so that a busy machine makes these
tests slow and no more.
"""

import os
import select
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from chip_tools import skip_without_tools

from inmateria.adapters.boards.emulator import EmulatedBoard
from inmateria.adapters.boards.protocol import (
    End,
    Frame,
    FrameParser,
    FrameType,
    Status,
    StepsAnswer,
    encode_close,
    encode_describe,
    encode_open,
    encode_status,
    encode_steps,
)

skip_without_tools()

WATCHDOG = 0.2
"""Silence after which the outputs rest, s."""
WRAP = 65536 / 2e6
"""Longest time between two looks at that silence, s: a wrap of the timer."""
RESET = 32768 / 128e3
"""Time after which the chip's own watchdog resets it: 32,768 periods of its own 128 kHz clock, s."""
LINE = 0.005
"""Time in which the line carries the first frames and the chip takes them, s; more than enough."""
TIMSK1, OCIE1A, TOIE1 = 0x6F, 2, 1
ON = bytes((200, 100, 1, 1, 50, 60))
REST = [0] * 6


def step(number: int, base: int = 0, period: int = 2000, steps: int = 1) -> bytes:
    return encode_steps(7, number % 65536, base % 65536, number == base, period, ON * steps)


class RawHost:
    """Says to an emulated board just what it is told to, in session 7."""

    def __init__(self, board: EmulatedBoard) -> None:
        self._board, self._parser = board, FrameParser()
        self._inbox: deque[Frame] = deque()
        self._fd = os.open(board.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self._fd)

    def say(self, data: bytes) -> None:
        """Write all of it, and take what comes meanwhile."""
        while data:
            readable, writable, _ = select.select([self._fd], [self._fd], [])
            if readable:
                self._inbox.extend(self._parser.feed(os.read(self._fd, 4096)))
            if writable:
                data = data[os.write(self._fd, data) :]

    def ask(self, frame: bytes, kind: int, number: int, again: float | None = 0.5) -> Frame:
        """Say a frame, and again after some seconds, until an answer of that kind and number comes."""
        while True:
            self.say(b"\0" + frame)
            while True:
                while self._inbox:
                    answer = self._inbox.popleft()
                    if (answer.type, answer.number) == (kind, number):
                        return answer
                if not select.select([self._fd], [], [], again)[0]:
                    break
                self._inbox.extend(self._parser.feed(os.read(self._fd, 4096)))

    def status(self, base: int) -> Status:
        frame = encode_status(7, 60_000, base % 65536)
        return Status.decode(self.ask(frame, FrameType.STATUS | FrameType.ANSWER, 60_000).payload)

    def turn_on(self, watchdog: float, and_then: bytes = b"") -> int:
        """Open a session and apply one step, and return which of the board's changes it was."""
        self.say(encode_open(7, 1, round(1000 * watchdog)) + step(0) + and_then)
        while True:
            applied = self._board.steps_applied()[0].tolist()
            if list(ON) in applied:
                return applied.index(list(ON))

    def end(self) -> tuple[int, Status]:
        """Return which session ended, and how."""
        answer = self.ask(encode_status(7, 60_000, 0), FrameType.NO_SESSION, 60_000)
        return answer.session, Status.decode(answer.payload)


@contextmanager
def raw_board(speed: float = 0) -> Iterator[tuple[EmulatedBoard, RawHost]]:
    with EmulatedBoard(speed=speed, log_steps=10_000) as board:
        host = RawHost(board)
        try:
            yield board, host
        finally:
            host.close()


def on_from_to(board: EmulatedBoard, change: int) -> tuple[float, float]:
    """Return when the outputs were turned on by one of their changes and when they rested; endless if not after 2 s."""
    since = board.seconds
    while True:
        ended = board.seconds > since + 2
        levels, times = board.steps_applied(change)
        assert levels[0].tolist() == list(ON)
        rested = np.flatnonzero(~levels.any(axis=1))
        if len(rested):
            return float(times[0]), float(times[rested[0]])
        if ended:
            return float(times[0]), float("inf")


def on_for(board: EmulatedBoard, change: int) -> float:
    """Return for how long the outputs stayed on after one of their changes."""
    began, ended = on_from_to(board, change)
    return ended - began


def test_outputs_rest_within_a_wrap_after_the_watchdogs_time_and_not_before() -> None:
    with raw_board() as (board, host):
        change = host.turn_on(WATCHDOG)
        assert WATCHDOG - LINE < on_for(board, change) < WATCHDOG + WRAP + LINE
        assert (host.end()[1].end, board.resets) == (End.WATCHDOG, 0)


def test_without_a_match_of_the_timer_the_outputs_rest_as_with_one() -> None:
    with raw_board() as (board, host):
        board.hold_low(TIMSK1, OCIE1A)
        change = host.turn_on(WATCHDOG)
        assert WATCHDOG - LINE < on_for(board, change) < WATCHDOG + WRAP + LINE
        assert (host.end()[1].end, board.resets) == (End.WATCHDOG, 0)


def test_a_lost_match_makes_a_step_late_and_not_endless() -> None:
    """The wrap of the timer looks again at what a match should have begun."""
    with raw_board(speed=1) as (board, host):
        host.turn_on(60)
        board.hold_low(TIMSK1, OCIE1A)
        for number in range(1, 4):
            host.ask(step(number, number), FrameType.STEPS | FrameType.ANSWER, number)
        assert host.status(4).done == 4
        assert board.resets == 0


def test_without_any_interrupt_of_the_timer_the_chip_resets_itself() -> None:
    """Also while its host speaks, which keeps the main loop busy."""
    with raw_board(speed=1) as (board, host):
        change = host.turn_on(60)
        board.hold_low(TIMSK1, OCIE1A | TOIE1)
        broken = board.seconds
        while not board.resets and board.seconds < broken + 1:
            host.say(encode_status(7, 3, 1))
        assert on_from_to(board, change)[1] < broken + RESET + LINE
        assert board.levels() == REST
        session, status = host.end()
        assert (session, status.end, board.resets) == (7, End.RESET, 1)


def test_a_main_loop_that_hangs_does_not_keep_the_outputs_on() -> None:
    with raw_board(speed=1) as (board, host):
        change = host.turn_on(60)
        board.hang()
        broken = board.seconds
        assert on_from_to(board, change)[1] < broken + RESET + LINE
        assert (host.end()[1].end, board.resets) == (End.RESET, 1)


NOISE = np.random.default_rng(0).bytes(1 << 16)
FOREIGN = encode_steps(8, 0, 0, True, 2000, ON) + encode_status(8, 3, 0) + encode_close(8, 1) + encode_describe(1, 255)


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(NOISE, id="noise"),
        pytest.param(NOISE.replace(b"\0", b"\1"), id="noise that ends no frame"),
        pytest.param(bytes(1 << 16), id="zeros"),
        pytest.param(FOREIGN * 700, id="another session"),
    ],
)
def test_a_flood_on_the_line_does_not_keep_the_outputs_on(flood: bytes) -> None:
    """As many bytes as the line takes for longer than the watchdog's time, none of them from the session's host."""
    with raw_board() as (board, host):
        change = host.turn_on(WATCHDOG, and_then=flood)
        assert WATCHDOG - LINE < on_for(board, change) < WATCHDOG + WRAP + LINE
        assert (host.end()[1].end, board.resets) == (End.WATCHDOG, 0)


def test_no_wrap_of_the_timer_is_lost_whenever_its_match_is_set() -> None:
    """Each wrap that is lost makes the chip's clock 33 ms slow; the emulation counts cycles beside it.

    Steps end from 50 us before a wrap until just at it, so that the next match is set before, at and after the wrap.
    """
    edges, ahead, longest = list(range(-100, 1, 4)), 7, 600_000
    with raw_board(speed=1) as (board, host):
        host.say(encode_open(7, 1, 60_000) + step(0, 0, 60_000) + step(1, 0, longest))
        first = host.ask(encode_status(7, 60_000, 0), FrameType.STEPS | FrameType.ANSWER, 0)
        at = StepsAnswer.decode(first.payload).start + 60_000 + longest
        for number, edge in enumerate(edges, start=2):
            end = ((at + 2000) // 65536 + 1) * 65536 + edge
            answered = max(0, number - ahead)
            frame = encode_steps(7, number, answered, False, end - at, ON)
            if answered:  # it is taken while that one is answered
                host.ask(frame, FrameType.STEPS | FrameType.ANSWER, answered)
            else:
                host.say(frame)
            at = end
        host.ask(encode_status(7, 60_000, len(edges)), FrameType.STEPS | FrameType.ANSWER, len(edges) + 1)
        before = board.seconds
        status = host.status(len(edges) + 2)
        assert before - LINE < status.ticks / 2e6 < board.seconds
        assert status.done == len(edges) + 2


def test_a_stimulus_of_one_frame_is_not_late_of_itself() -> None:
    """Neither the frame that begins it nor a pause before makes a step late, and the answers come as the steps do."""
    with raw_board(speed=1) as (board, host):
        host.say(encode_open(7, 1, 60_000))
        for number in range(20):
            # Said once, since what comes while a step begins may make it late.
            host.ask(step(number, number, 4000, 5), FrameType.STEPS | FrameType.ANSWER, number, again=None)
        status = host.status(20)
        assert (status.done, status.late) == (100, 0)
        assert board.resets == 0
