"""Commands and exchanges under way over the line of a board, how far they are, and how long to wait for an answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from inmateria.adapters.boards.protocol import Status, StepsAnswer
from inmateria.substrate import SubstrateError

__all__ = ["LATEST", "SOONEST", "AnswerDelay", "Command", "Exchange", "signed_ticks", "with_extent"]

SOONEST = 5e-3
"""Shortest time after which a command is sent again, s."""
LATEST = 0.1
"""Longest time after which a command is sent again, beyond the duration of its steps, s."""
_TICKS = 1 << 32


@dataclass(slots=True, eq=False)
class Command:
    """Steps of one frame, and how far they are.

    Parameters
    ----------
    first, sample : bool
        Whether they begin a stimulus, and a sample for the readout on the board.
    period, steps : int
        Ticks of a step, and number of steps.
    drive : bytes

    Attributes
    ----------
    exchange : Exchange
        Whose steps they are.
    number : int
        Its number in the session; -1 until it is sent.
    order : int
        Count of frames when it was sent last.
    sent, patience : float
        When it was sent last, and how long to wait until it is sent again, s.
    expected : float
        Duration of its steps and of those before it when it was sent first, s.
    times : int
        How often it was sent again.
    resent : int
        How many commands had been sent again when it was sent first.
    """

    first: bool
    period: int
    steps: int
    drive: bytes
    sample: bool = False
    exchange: "Exchange | None" = None
    number: int = -1
    order: int = 0
    sent: float = 0.0
    patience: float = 0.0
    expected: float = 0.0
    times: int = 0
    resent: int = 0


@dataclass(slots=True)
class AnswerDelay:
    """How long answers take beyond the steps themselves, as TCP estimates it (RFC 6298).

    Only answers for which nothing had to be sent again count: commands are applied in order, so an answer also
    waits until the losses before it are mended, which says nothing about how long to wait for the next loss.
    """

    mean: float | None = None
    spread: float = 0.0

    def note(self, seconds: float) -> None:
        """Take how long an answer took."""
        if self.mean is None:
            self.mean, self.spread = seconds, seconds / 2
        else:
            self.spread += (abs(seconds - self.mean) - self.spread) / 4
            self.mean += (seconds - self.mean) / 8

    def was_too_short(self) -> None:
        """Take that something was sent again that was not lost: such answers do not count, and it would go on so."""
        self.spread = min(max(1.25 * self.spread, SOONEST / 4), LATEST / 4)

    def patience(self) -> float:
        """Return how long to wait before something is taken as lost, s."""
        return min(max(SOONEST, (self.mean or 0.0) + 4 * self.spread), LATEST)


@dataclass(slots=True, eq=False)
class Exchange:
    """One stimulus under way.

    Parameters
    ----------
    commands : sequence of Command
    begin : int
        Steps of the session before it.

    Attributes
    ----------
    answers : list of StepsAnswer
        As far as they have come, in order.
    applied : int
        Steps that are known to have been applied.
    perhaps : int
        Further steps of which it is not known.
    counted : bool
        Whether it has been given a number among the substrate's exchanges.
    """

    commands: Sequence[Command]
    begin: int
    answered: "asyncio.Future[list[StepsAnswer]]"
    answers: dict[int, StepsAnswer] = field(default_factory=dict)
    applied: int = 0
    perhaps: int = 0
    counted: bool = False

    @property
    def steps(self) -> int:
        """Number of its steps."""
        return sum(command.steps for command in self.commands)

    def note(self, status: Status | None, sent: int) -> None:
        """Note how far it came, from the state of the session's end, or from its answers and what was sent."""
        answered = sum(command.steps for number, command in enumerate(self.commands) if number in self.answers)
        if status is None or not 0 <= (status.begun - status.done) % _TICKS <= 1:
            self.applied, self.perhaps = answered, min(max(sent - self.begin, answered), self.steps) - answered
            return
        done, begun = (min(max(count - self.begin, 0), self.steps) for count in (status.done, status.begun))
        self.applied, self.perhaps = done, begun - done


def with_extent(error: SubstrateError, exchange: Exchange) -> SubstrateError:
    """Return the error with how many of the exchange's steps were applied."""
    extent = f"{exchange.applied} of its {exchange.steps} steps were applied"
    if exchange.perhaps:
        extent = (
            f"{exchange.applied} to {exchange.applied + exchange.perhaps} of its {exchange.steps} steps were applied"
        )
    return type(error)(f"{error.asked}; {extent}", error.allowed, error.remedy)


def signed_ticks(difference: int) -> int:
    """Return a difference of two counts that wrap at 2^32, as of -2^31 to 2^31."""
    return (difference + _TICKS // 2) % _TICKS - _TICKS // 2
