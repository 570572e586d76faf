"""An online readout of a run that is watched: each row is predicted before it is learned, in the watcher's process.

The readout is recursive least squares on the same features as the run's own readouts, taken from its recording. It
costs the run nothing and is not the run's readout: that one is fitted to all rows at the end, with its regularisation
chosen, and scored on rows that were held out.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inmateria.protocols.run_progress import Reading
from inmateria.recording import Exchange
from inmateria.reservoir import FilteredRates, FirstSpikeLatency, RecursiveLeastSquares
from inmateria.reservoir.contrastive.learning_channels import LearningChannels, learning_channels
from inmateria.reservoir.features import Features, SignalOrCounts, SpikeCounts, VirtualNodes
from inmateria.substrate import FloatArray, SubstrateError, SubstrateInfo

__all__ = ["OnlineReading", "Read", "features_of"]

_MOST_FEATURES = 256
_TO_STANDARDISE = 50
"""Rows by which features are standardised, at least, before anything is learned."""
_LAST_NUMBERS, _LAST_CLASSES = 200, 100
"""Rows of the running score."""
_ALPHA = 1e-3
"""Regularisation, in units of the squared standardised features."""
_EVERY = 10
"""Rows between two running scores."""
_KNOWN = {each.__name__: each for each in (FilteredRates, FirstSpikeLatency, SignalOrCounts, SpikeCounts, VirtualNodes)}


@dataclass(frozen=True, eq=False)
class Read:
    """Rows that were read.

    Parameters
    ----------
    times : ndarray of float, shape (rows,)
        End of each row by the device's clock, s, moved as the exchange was.
    target, output : ndarray of float, shape (rows, outputs)
        NaN where there is none. A class is its number.
    scored : ndarray of float, shape (scores,)
        Times of the running score.
    score : ndarray of float, shape (scores,)
    """

    times: FloatArray
    target: FloatArray
    output: FloatArray
    scored: FloatArray
    score: FloatArray


def features_of(described: dict[str, Any]) -> Features | None:
    """Return features that `inmateria.protocols.run_progress.described` described; None if they are not known here."""
    kind = _KNOWN.get(str(described.get("type")))
    if kind is None:
        return None
    try:
        own = {name: tuple(v) if isinstance(v, list) else v for name, v in described.items() if name != "type"}
        made: Features = kind(**own)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return made


class OnlineReading:
    """Reads the exchanges of a run as they come.

    Parameters
    ----------
    reading : Reading
    info : SubstrateInfo
        Of the recording.

    Attributes
    ----------
    words : str
        What reads what, in one sentence.
    metric : str
        Name of the running score.
    higher_is_better : bool

    Raises
    ------
    ValueError
        If the outputs cannot be read here.
    """

    def __init__(self, reading: Reading, info: SubstrateInfo) -> None:
        self._reading, self._info = reading, info
        self._targets: FloatArray = np.empty((0, len(reading.names)))
        self._row = 0
        self.higher_is_better = True
        self._channels: LearningChannels | None = None
        self._features: Features | None = None
        if reading.row == "learned step":
            try:
                self._channels = learning_channels(info)
            except SubstrateError as error:
                raise ValueError(str(error)) from None
            self.metric, self.higher_is_better = f"error of the last {_LAST_NUMBERS} steps (V)", False
            self.words = "The outputs of the matter itself in the free state, before each step from which it learns."
        else:
            self._features = features_of(reading.features)
            if self._features is None:
                raise ValueError(f"features of the type {reading.features.get('type')!r} are not known here")
            last = _LAST_CLASSES if reading.classes else _LAST_NUMBERS
            self.metric = f"{reading.metric or '1 - NRMSE'} of the last {last}"
            self.words = "An online readout (recursive least squares), which predicts each row before it learns it."
        self._last: deque[tuple[FloatArray, FloatArray]] = deque(
            maxlen=_LAST_CLASSES if reading.classes else _LAST_NUMBERS
        )
        self._since_scored = 0
        self._readout = RecursiveLeastSquares(alpha=_ALPHA)
        self._chosen: np.ndarray[Any, np.dtype[np.intp]] | None = None
        self._waiting: list[tuple[FloatArray, FloatArray]] = []
        self._scale: tuple[FloatArray, FloatArray] | None = None

    def add_targets(self, first: int, values: bytes) -> None:
        """Take in some rows of targets."""
        names = len(self._reading.names)
        rows = np.frombuffer(values[: len(values) // (4 * names) * 4 * names], "<f4").reshape(-1, names)
        if first + len(rows) > len(self._targets):
            grown = np.full((first + len(rows), names), np.nan)
            grown[: len(self._targets)] = self._targets
            self._targets = grown
        self._targets[first : first + len(rows)] = rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self._reading.names

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty if outputs are numbers."""
        return self._reading.classes

    def read(self, exchanges: Sequence[Exchange], starts: Sequence[float]) -> Read:
        """Read exchanges that follow one another, each of which starts at a time of the page's axis, s."""
        parts: list[Read] = []
        for exchange, start in zip(exchanges, starts, strict=True):
            if self._channels is not None:
                parts.append(self._learned(exchange, start, self._channels))
            else:
                parts.append(self._predicted(exchange, start))
        count = len(self._reading.names)
        fields = ("times", "target", "output", "scored", "score")
        empty = (np.empty(0), np.empty((0, count)), np.empty((0, count)), np.empty(0), np.empty(0))
        return Read(*(
            np.concatenate([getattr(part, name) for part in parts]) if parts else none
            for name, none in zip(fields, empty, strict=True)
        ))  # fmt: skip

    def _predicted(self, exchange: Exchange, start: float) -> Read:
        reading = self._reading
        assert self._features is not None
        X = self._features.extract(exchange.response, exchange.stimulus, self._info, reading.positions)
        X = X[: len(X) - reading.resting]
        ends = np.asarray(start + exchange.stimulus.step * reading.positions * (1.0 + np.arange(len(X))), np.float64)
        if reading.row == "trial":
            X, ends = X.reshape(1, -1), ends[-1:]
        elif reading.row == "last step":
            X, ends = X[-1:], ends[-1:]
        target = np.full((len(X), len(reading.names)), np.nan)
        known = self._targets[self._row : self._row + len(X)]
        target[: len(known)] = known
        output = self._learn(X, target)
        self._row += len(X)
        return self._scored(ends, target, output)

    def _learn(self, X: FloatArray, target: FloatArray) -> FloatArray:
        """Predict rows, then learn them; rows of the washout and those without all targets are only predicted."""
        reading = self._reading
        if self._chosen is None:
            count = X.shape[1]
            self._chosen = np.unique(np.linspace(0, count - 1, min(count, _MOST_FEATURES)).astype(np.intp))
            of = f"{len(self._chosen):,} of {count:,}" if len(self._chosen) < count else f"{count:,}"
            self.words = self.words.removesuffix(".") + f"; it reads {of} features. It is not the readout of the run."
        X = X[:, self._chosen]
        learned = target.copy()
        learned[~np.isfinite(learned).all(axis=1)] = np.nan
        learned[: max(0, reading.washout - self._row)] = np.nan
        if self._scale is None:
            self._waiting.append((X, learned))
            if sum(len(rows) for rows, _ in self._waiting) < _TO_STANDARDISE:
                return np.full(learned.shape, np.nan)
            X, learned = (np.concatenate(each) for each in zip(*self._waiting, strict=True))
            self._waiting = []
            spread = X.std(axis=0)
            self._scale = X.mean(axis=0), np.where(spread > 0, spread, 1.0)
        mean, spread = self._scale
        rows = np.clip(np.nan_to_num((X - mean) / spread), -1e6, 1e6)
        if reading.classes:
            ones = np.where(learned == np.arange(len(reading.classes)), 1.0, -1.0)
            ones[np.isnan(learned[:, 0])] = np.nan
            said = self._readout.learn(rows, ones)
            output: FloatArray = said.argmax(axis=1).astype(np.float64)[:, np.newaxis]
        else:
            said = self._readout.learn(rows, learned)
            output = said.copy()
        output[~said.any(axis=1)] = np.nan  # nothing was learned yet
        return output[len(output) - len(target) :]

    def _learned(self, exchange: Exchange, start: float, channels: LearningChannels) -> Read:
        """Return the labels and the outputs of the steps from which the matter learned."""
        drive, signal = exchange.stimulus.drive, exchange.response.signal
        names = len(self._reading.names)
        steps = np.flatnonzero(drive[:, channels.learn] > 0)
        if signal is None or not len(steps):
            return Read(np.empty(0), np.empty((0, names)), np.empty((0, names)), np.empty(0), np.empty(0))
        target = drive[steps][:, channels.labels[:names]]
        output = channels.outputs(signal[steps, 0])[:, :names]
        times = np.asarray(start + exchange.stimulus.step * (1.0 + steps), np.float64)
        return self._scored(times, target, output)

    def _scored(self, times: FloatArray, target: FloatArray, output: FloatArray) -> Read:
        scored: list[float] = []
        score: list[float] = []
        rows = np.flatnonzero(np.isfinite(target).all(axis=1) & np.isfinite(output).all(axis=1))
        # Scores of rows whose window the later ones of the same exchange replace are not all worth computing.
        every = max(_EVERY, len(rows) // 50)
        for row in rows.tolist():
            self._last.append((target[row], output[row]))
            self._since_scored += 1
            if self._since_scored >= every and len(self._last) >= _EVERY:
                self._since_scored = 0
                scored.append(float(times[row]))
                score.append(self._score())
        return Read(times, target, output, np.array(scored), np.array(score))

    def _score(self) -> float:
        """Score the last rows; NaN where a target does not vary."""
        wanted, said = (np.array(each) for each in zip(*self._last, strict=True))
        if self._reading.classes:
            return float(np.mean(wanted[:, 0] == said[:, 0]))
        squared = ((wanted - said) ** 2).mean(axis=0)
        if self._channels is not None:
            return float(np.sqrt(squared.mean()))
        variance = wanted.var(axis=0)
        if not (variance > 0).all():
            return float("nan")
        if self._reading.metric == "r²":
            centred = said - said.mean(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                r = (centred * (wanted - wanted.mean(axis=0))).mean(axis=0) / np.sqrt(variance * said.var(axis=0))
            return float(np.mean(np.nan_to_num(r**2)))
        return float(np.mean(1.0 - np.sqrt(squared / variance)))
