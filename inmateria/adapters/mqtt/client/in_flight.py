"""Commands of a client: those in flight and how many there may be, and what is known of each."""

import asyncio
import time
from collections import deque

from inmateria.adapters.mqtt.wire.frames import Frame
from inmateria.concurrency import PromptFuture, settle_with_error

__all__ = ["FlowWindow", "PendingCommand", "SentCommands"]

_RESEND = 0.25
_REFUSALS = 1000
_LISTED = 8


class FlowWindow:
    """Flow control of a stream: stimuli, steps and bytes in flight at most."""

    def __init__(self, window: tuple[int, int, int]) -> None:
        self._count, self._steps, self._size = window
        self._taken: deque[tuple[int, int]] = deque()
        self._steps_taken = self._size_taken = 0
        self._freed = asyncio.Event()

    async def take(self, steps: int, size: int) -> None:
        """Wait until there is room for one more of that size; a single one always has room."""
        while self._taken and (
            len(self._taken) >= self._count
            or self._steps_taken + steps > self._steps
            or self._size_taken + size > self._size
        ):
            self._freed.clear()
            await self._freed.wait()
        self._taken.append((steps, size))
        self._steps_taken, self._size_taken = self._steps_taken + steps, self._size_taken + size

    def give_back(self) -> None:
        """Free the room of the oldest one."""
        steps, size = self._taken.popleft()
        self._steps_taken, self._size_taken = self._steps_taken - steps, self._size_taken - size
        self._freed.set()


class PendingCommand:
    """A command that is kept until it is answered."""

    __slots__ = (
        "answer", "counted_from", "data", "duration", "patience", "published", "sending", "sent", "sequence", "tried",
        "tries",
    )  # fmt: skip

    def __init__(self, sequence: int, data: bytes, duration: float) -> None:
        self.sequence = sequence
        self.data = data
        self.duration = duration
        self.sent = self.tried = self.counted_from = time.monotonic()
        self.tries = 0
        self.sending = False
        self.published = False
        """Whether it was given to a connection, so that the device may have received it."""
        self.patience = _RESEND
        self.answer: PromptFuture[Frame] = PromptFuture()

    def fail(self, error: Exception) -> None:
        """Raise an error where the answer is waited for; where it is not any more (a stream left early), it is none."""
        settle_with_error(self.answer, error)


class SentCommands:
    """The numbered commands of one session, and what is known of each.

    Attributes
    ----------
    next : int
        Number of the next command.
    waiting : dict of int to PendingCommand
        Those not answered yet, in order.
    """

    def __init__(self) -> None:
        self.next = 0
        self.waiting: dict[int, PendingCommand] = {}
        self._applied = -1
        self._refused: deque[tuple[int, int]] = deque(maxlen=_REFUSALS)

    def add(self, data: bytes, duration: float) -> PendingCommand:
        """Assign the next number to a command."""
        number = self.next
        self.waiting[number] = command = PendingCommand(number, data, duration)
        self.next = number + 1
        return command

    def answered(self, number: int, *, refused: bool) -> PendingCommand | None:
        """Take note of an answer; gives the command, or None where it was answered before."""
        command = self.waiting.pop(number, None)
        if command is None:
            return None
        if not refused:
            if number > self._applied:
                self._applied = number
        elif self._refused and self._refused[-1][1] == number - 1:
            self._refused[-1] = (self._refused[-1][0], number)
        else:
            self._refused.append((number, number))
        return command

    def known(self) -> str:
        """Describe which numbers were applied, which were not, and which may have been."""
        published = [number for number, command in self.waiting.items() if command.published]
        unknown = [each for each in _ranges(published) if not self._certain(*each)]
        last = [each for each in unknown if each[0] > self._applied]
        first = last[0][0] if last else min((n for n in self.waiting if n > self._applied), default=self.next)
        parts = [f"everything before number {first} was applied"]
        if refused := [each for each in self._refused if each[0] < first]:
            parts[0] += f" but what was refused: {_numbers(refused)}"
        if unknown:
            parts.append(f"{_numbers(unknown)} may or may not be applied, having been sent and never answered")
        if refused := [each for each in self._refused if each[0] >= first]:
            parts.append(f"{_numbers(refused)} refused")
        return "; ".join([*parts, "nothing else was sent"])

    def refused(self) -> str:
        """Describe which numbers were refused; empty where none was."""
        return f"refused: {_numbers(list(self._refused))}" if self._refused else ""

    def _certain(self, first: int, last: int) -> bool:
        """Return whether numbers were applied whose answers were lost.

        The device applies commands in order, and after a refusal none until the client has seen that. So they were
        where the answers before and after them are there and are no refusals.
        """
        return last < self._applied and not any(
            low <= n <= high for low, high in self._refused for n in (first - 1, last + 1)
        )


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive numbers."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def _numbers(ranges: list[tuple[int, int]]) -> str:
    earlier = f" and {len(ranges) - _LISTED} times before" if len(ranges) > _LISTED else ""
    return (
        ", ".join(f"number {low}" if low == high else f"number {low} to {high}" for low, high in ranges[-_LISTED:])
        + earlier
    )
