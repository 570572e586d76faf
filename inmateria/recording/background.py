"""A thread that writes a recording, fed by a bounded queue."""

import asyncio
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from inmateria.concurrency import settle, wait_to_completion
from inmateria.recording.format import Exchange, Note, RecordingError
from inmateria.recording.writing import RecordingWriter

_PERIOD = 0.1
_SYNC_PERIOD = 0.5
_MOST_BYTES = 64_000_000
_MOST_ITEMS = 8192
_OLDEST = 0.5


class BackgroundWriter:
    """Writes queued items ten times a second, and syncs the file to the disk twice a second.

    The queue is full when it holds 64 MB, 8,192 items, or an item that has waited for half a second. So an item that
    was accepted more than a second ago is on the disk, unless the disk itself hangs.

    Parameters
    ----------
    writer : RecordingWriter
        Used and closed by the thread.
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self.path: Path = writer.path
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._queue: deque[Exchange | Note] = deque()
        self._bytes = 0
        self._items = 0
        self._oldest: float | None = None  # when the oldest queued item was put
        self._being_written: float | None = None  # the same for items being written
        self._closing = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"recording {self.path.name}", daemon=True)
        self._thread.start()

    def put(self, item: Exchange | Note, *, even_if_full: bool = False) -> bool:
        """Queue an item; return False if the queue is full.

        Raises
        ------
        RecordingError
            If the file can no longer be written.
        """
        size = 0 if isinstance(item, Note) else _size_of(item)
        with self._lock:
            self._check()
            if self._is_full():
                self._wake.set()
                if not even_if_full:
                    return False
                if self._items >= 2 * _MOST_ITEMS:
                    raise RecordingError(
                        f"{self._items} exchanges and notes wait for {self.path}; its disk does not respond"
                    )
            self._queue.append(item)
            self._items += 1
            self._bytes += size
            if self._oldest is None:
                self._oldest = time.monotonic()
            if self._bytes > _MOST_BYTES // 4 or self._items > _MOST_ITEMS // 4:
                self._wake.set()
            return True

    async def wait_for_room(self) -> None:
        """Wait until items were written, so that the queue may have room."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._failure is not None or not self._is_full():
                return
            self._waiting.append((loop, room))
        self._wake.set()
        await room

    async def close(self) -> None:
        """Write all queued items and the end note, close the file, and wait for it, also when cancelled.

        Raises
        ------
        RecordingError
            If not everything could be written.
        """
        with self._lock:
            self._closing = True
        self._wake.set()
        await wait_to_completion(asyncio.get_running_loop().run_in_executor(None, self._thread.join))
        self._check()

    def _is_full(self) -> bool:
        since = self._oldest if self._being_written is None else self._being_written
        late = since is not None and time.monotonic() - since > _OLDEST
        return late or self._bytes >= _MOST_BYTES or self._items >= _MOST_ITEMS

    def _check(self) -> None:
        if isinstance(self._failure, RecordingError):
            raise self._failure
        if self._failure is not None:
            number = getattr(self._failure, "errno", None)
            why = os.strerror(number) if number else " ".join(str(self._failure).split())
            raise RecordingError(
                f"{self.path} cannot be written ({why}); is the disk full? `inmateria recover` reports what is intact"
            ) from self._failure

    def _run(self) -> None:
        """Write until closed or until writing fails."""
        try:
            self._write_until_closed()
        except BaseException as error:  # raised by the next put or close
            with self._lock:
                self._failure = error
                self._queue.clear()
            self._release()
            with suppress(OSError, RuntimeError):  # HDF5 would try to write more and fail
                self._writer.close()

    def _write_until_closed(self) -> None:
        synced, pending = time.monotonic(), False
        while True:
            self._wake.wait(_PERIOD)
            self._wake.clear()
            with self._lock:
                batch = list(self._queue)
                self._queue.clear()
                size, closing = self._bytes, self._closing
                self._being_written, self._oldest = self._oldest, None
            if batch:
                self._writer.append(batch)
                pending = True
            else:
                self._writer.check_file()
            if pending and time.monotonic() - synced > _SYNC_PERIOD:
                self._writer.sync()
                synced, pending = time.monotonic(), False
            with self._lock:
                self._bytes -= size
                self._items -= len(batch)
                self._being_written = None
                finished = closing and not self._queue
            self._release()
            if finished:
                self._writer.end()
                return

    def _release(self) -> None:
        """Wake all callers of `wait_for_room`."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, room in waiting:
            try:
                loop.call_soon_threadsafe(settle, room, None)
            except RuntimeError:  # that loop has been closed meanwhile
                continue


def _size_of(exchange: Exchange) -> int:
    response = exchange.response
    return (
        exchange.stimulus.drive.nbytes
        + (0 if response.signal is None else response.signal.nbytes)
        + (0 if response.spikes is None else response.spikes.nbytes)
        + 200
    )
