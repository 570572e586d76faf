"""Viewers of a source: each has a bounded queue, and what it is too slow for is dropped and counted."""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass

from inmateria.live.messages import (
    Columns,
    Dropped,
    Event,
    Hello,
    Message,
    encode_columns,
    encode_text,
)

__all__ = ["MOST_FRAMES", "UNACKNOWLEDGED", "Frame", "Stream", "Viewer"]

MOST_FRAMES = 8
"""Frames that wait for a viewer at most; before one more, the oldest is dropped."""
UNACKNOWLEDGED = 8
"""Frames that are sent before the first of them is acknowledged."""
_MOST_TEXTS = 256


@dataclass(frozen=True, eq=False)
class Frame:
    """A binary frame that is sent to all viewers, and what it holds."""

    number: int
    data: bytes
    columns: int
    spikes: int
    start: float
    end: float


class Viewer:
    """The queue of one viewer.

    Attributes
    ----------
    may_stop : bool
    dropped : int
        Columns that were dropped until now.
    """

    def __init__(self, *, may_stop: bool = False) -> None:
        self.may_stop = may_stop
        self.dropped = 0
        self._frames: deque[Frame] = deque()
        self._texts: OrderedDict[object, str] = OrderedDict()
        self._unacknowledged: deque[int] = deque()
        self._lost: Dropped | None = None
        self._news = asyncio.Event()

    def offer(self, message: Message, text: str) -> None:
        """Queue a text; it takes the place of an earlier one of its type, unless both are events."""
        if isinstance(message, Hello):
            self._frames.clear()
            self._texts.clear()
        key: object = object() if isinstance(message, Event) else type(message)
        self._texts[key] = text
        if len(self._texts) > _MOST_TEXTS:
            oldest = next(each for each in self._texts if not isinstance(each, type))
            del self._texts[oldest]
        self._news.set()

    def offer_frame(self, frame: Frame) -> None:
        """Queue a frame; drop the oldest if there are too many."""
        if len(self._frames) >= MOST_FRAMES:
            self._drop(self._frames.popleft())
        self._frames.append(frame)
        self._news.set()

    def acknowledge(self, number: int) -> None:
        """Note that frames up to that number have arrived."""
        while self._unacknowledged and self._unacknowledged[0] <= number:
            self._unacknowledged.popleft()
        self._news.set()

    @property
    def waits(self) -> bool:
        """Whether the viewer has frames to acknowledge before it is sent others."""
        return len(self._unacknowledged) >= UNACKNOWLEDGED

    async def next(self) -> str | bytes:
        """Wait for what is to be sent next."""
        while True:
            if self._texts:
                return self._texts.popitem(last=False)[1]
            if self._frames and not self.waits:
                if self._lost is not None:
                    lost, self._lost = self._lost, None
                    return encode_text(lost)
                frame = self._frames.popleft()
                self._unacknowledged.append(frame.number)
                return frame.data
            self._news.clear()
            await self._news.wait()

    def _drop(self, frame: Frame) -> None:
        self.dropped += frame.columns
        lost = self._lost
        self._lost = Dropped(
            columns=frame.columns + (lost.columns if lost else 0),
            spikes=frame.spikes + (lost.spikes if lost else 0),
            start=lost.start if lost else frame.start,
            end=frame.end,
        )


class Stream:
    """Everything that comes from a source, handed on to all viewers."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.viewers: set[Viewer] = set()
        self.number = 0
        self._latest: OrderedDict[type, tuple[Message, str]] = OrderedDict()
        self._recent: deque[Frame] = deque(maxlen=MOST_FRAMES)
        self.over = False
        self.joined = asyncio.Event()
        self.publish(hello)

    def join(self, viewer: Viewer) -> None:
        """Add a viewer, and send it the latest message of each type; once nothing more can come, the last frames."""
        for message, text in self._latest.values():
            viewer.offer(message, text)
        for frame in self._recent if self.over else ():
            viewer.offer_frame(frame)
        self.viewers.add(viewer)
        self.joined.set()

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        self.viewers.discard(viewer)

    def publish(self, message: Message | Columns) -> None:
        """Hand a message on; it is encoded once for all."""
        if isinstance(message, Columns):
            if self.viewers:
                starts, ends = message.starts, message.ends
                frame = Frame(
                    self.number, encode_columns(message, self.number), len(starts), len(message.times),
                    float(starts[0]), float(ends[-1]),
                )  # fmt: skip
                self._recent.append(frame)
                for viewer in self.viewers:
                    viewer.offer_frame(frame)
            else:
                self._recent.clear()  # the next viewer would see them before a gap
            self.number = (self.number + 1) & 0xFFFFFFFF
            return
        text = encode_text(message)
        if isinstance(message, Hello):
            self.hello = message
            self._latest.clear()
            self._recent.clear()
        if not isinstance(message, Event):
            self._latest[type(message)] = (message, text)
        for viewer in self.viewers:
            viewer.offer(message, text)
