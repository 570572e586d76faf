"""Errors by the numbers of SCPI-99, volume 2, chapter 21.8, and the queue that an instrument keeps of them."""

from collections import deque

__all__ = ["ErrorQueue", "ScpiError"]

_TEXTS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -121: "Invalid character in number",
    -131: "Invalid suffix",
    -151: "Invalid string data",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -221: "Settings conflict",
    -222: "Parameter data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -230: "Data corrupt or stale",
    -300: "Device-specific error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    803: "Not permitted with output off",
}
_CLASSES = ((-100, 32), (-200, 16), (-300, 8), (-400, 4))


class ScpiError(Exception):
    """An error that an instrument puts into its queue.

    Parameters
    ----------
    code : int
        Number by SCPI-99; positive ones are the instrument's own.
    detail : str
        Added to the text of that number.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail

    @property
    def text(self) -> str:
        """Text of the number, with the detail after a semicolon."""
        return f"{_TEXTS[self.code]}; {self.detail}" if self.detail else _TEXTS[self.code]

    @property
    def event(self) -> int:
        """Bit that the error sets in the standard event status register (IEEE 488.2, 11.5.1)."""
        return next((bit for first, bit in _CLASSES if first >= self.code > first - 100), 8)


class ErrorQueue:
    """Errors not read yet, oldest first; if it is full, the newest is replaced by "Queue overflow" (-350).

    Parameters
    ----------
    size : int
        Number of errors that it holds.
    """

    def __init__(self, size: int = 10) -> None:
        self._size = size
        self._errors: deque[ScpiError] = deque()

    def __len__(self) -> int:
        return len(self._errors)

    def put(self, error: ScpiError) -> None:
        """Add an error."""
        if len(self._errors) < self._size:
            self._errors.append(error)
        else:
            self._errors[-1] = ScpiError(-350)

    def take(self) -> str:
        """Return the oldest error as ``number,"text"`` and remove it; ``0,"No error"`` if there is none."""
        error = self._errors.popleft() if self._errors else ScpiError(0)
        text = error.text.replace('"', "'")[:255]
        return f'{error.code},"{text}"'

    def clear(self) -> None:
        """Remove all errors."""
        self._errors.clear()
