"""Which pulses a controller gave, read back from the stimulation band of its data."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Confirmation", "GivenPulse", "PulseOnsets"]

_CURRENT, _NEGATIVE = 0xFF, 1 << 8


class PulseOnsets:
    """Finds where stimulation begins, in blocks of the stimulation band that follow each other.

    Parameters
    ----------
    electrodes : int
    """

    def __init__(self, electrodes: int) -> None:
        self._on = np.zeros(electrodes, dtype=bool)

    def find(self, words: npt.NDArray[np.uint16]) -> list[tuple[int, int, bool]]:
        """Return the row, the electrode, and whether the current is negative, of each beginning.

        Parameters
        ----------
        words : ndarray of uint16, shape (samples, electrodes)
        """
        on = (words & _CURRENT) != 0
        began = on.copy()
        began[1:] &= ~on[:-1]
        began[0] &= ~self._on
        self._on = on[-1]
        rows, electrodes = np.nonzero(began)
        negative = (words[rows, electrodes] & _NEGATIVE) != 0
        return list(zip(rows.tolist(), electrodes.tolist(), negative.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class GivenPulse:
    """A pulse that was triggered, with the sample at which it began; None if it did not."""

    electrode: int
    triggered: int
    began: int | None


class Confirmation:
    """Triggered pulses, and the beginnings that are found in the data.

    Parameters
    ----------
    patience : int
        Samples after the trigger within which a pulse has to begin.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._triggered: dict[int, deque[int]] = {}
        self._found: list[GivenPulse] = []
        self._strange: list[tuple[int, int]] = []

    def triggered(self, electrodes: list[int], clock: int) -> None:
        """Note triggers, with the first sample that has not arrived."""
        for electrode in electrodes:
            self._triggered.setdefault(electrode, deque()).append(clock)

    def began(self, electrode: int, sample: int) -> None:
        """Note a beginning; those of one electrode in order."""
        self._expire(electrode, sample)
        waiting = self._triggered.get(electrode)
        if waiting and waiting[0] <= sample:
            self._found.append(GivenPulse(electrode, waiting.popleft(), sample))
        else:
            self._strange.append((electrode, sample))

    def take(self, clock: int) -> tuple[list[GivenPulse], list[tuple[int, int]]]:
        """Return what was found out since the last call, with the data up to a sample.

        Returns
        -------
        pulses : list of GivenPulse
        others : list of (int, int)
            Electrode and sample of pulses that were not triggered from here.
        """
        for electrode in self._triggered:
            self._expire(electrode, clock)
        found, self._found = self._found, []
        strange, self._strange = self._strange, []
        return found, strange

    def _expire(self, electrode: int, sample: int) -> None:
        waiting = self._triggered.get(electrode)
        while waiting and waiting[0] + self._patience < sample:
            self._found.append(GivenPulse(electrode, waiting.popleft(), None))
