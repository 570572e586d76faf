"""Send a signal between two instructions, to find what a handler that runs there breaks."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


@contextmanager
def interrupted_at(file: Path, count: int) -> Iterator[list[int]]:
    """Send SIGINT before the count-th instruction, from 0, that runs in a file; the list gets the line of it."""
    sent: list[int] = []
    left = count

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != str(file):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not sent:
            if left == 0:
                sent.append(frame.f_lineno)
                signal.raise_signal(signal.SIGINT)
            left -= 1
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # of any frame: Python 3.12 looks for it when tracing begins
    sys.settrace(trace)
    try:
        yield sent
    finally:
        sys.settrace(before)
