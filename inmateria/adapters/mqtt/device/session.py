"""The session of a controller at a device: holder of the lease, its end, and the answers given."""

from collections import deque
from uuid import uuid4

from inmateria.adapters.mqtt.wire.frames import Frame
from inmateria.adapters.mqtt.wire.parts import PartAssembler

__all__ = ["Session"]

_RING = 256
_RING_BYTES = 64_000_000


class Session:
    """A giving of the lease, and a ring of the last 256 answers, or 64 MB of them.

    Parameters
    ----------
    holder : str
        ``user/session``; empty if the lease is free.
    until : float
        On the monotonic clock, s.
    """

    def __init__(self, holder: str = "", until: float = 0.0) -> None:
        self.holder = holder
        self.name = holder.rpartition("/")[2]
        self.until = until
        self.grant = uuid4().hex
        self.next = 0
        self.refused: int | None = None
        self.parts = PartAssembler()
        self.takes = 0
        """Bytes of a message that the controller takes in one piece; 0 where it knows no parts."""
        self.early: dict[int, tuple[Frame, int]] = {}
        """Commands whose turn has not come, because one before them was lost, and their sizes in bytes."""
        self.answers: deque[bytes] = deque(maxlen=_RING)
        """Answers to the numbers before `next`, in their order."""
        self._bytes = 0

    def keep(self, answer: bytes) -> None:
        """Keep the answer to the number before `next` for a resend; let the oldest go where there are too many."""
        answers = self.answers
        if len(answers) == _RING:
            self._bytes -= len(answers[0])
        answers.append(answer)
        self._bytes += len(answer)
        while self._bytes > _RING_BYTES and len(answers) > 1:
            self._bytes -= len(answers.popleft())

    def answer(self, number: int) -> bytes | None:
        """Return the answer to a number that was dealt with; None where it is no longer kept."""
        at = number - self.next + len(self.answers)
        return self.answers[at] if at >= 0 else None
