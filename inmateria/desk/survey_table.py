"""A survey as a table: a row for each task and substrate, with gains over controls, and the cost to the device."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inmateria.desk.summaries import RunSummary

__all__ = ["HEADING", "Row", "as_csv", "as_markdown", "row_of_runs"]

HEADING = (
    "task", "substrate", "seeds", "score", "1 % noise", "without memory or linear", "gain over it", "best control",
    "gain", "matter", "stimuli", "device time", "energy",
)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """Runs of one task on one substrate that differ in seeds only; spreads are standard deviations over them.

    Parameters
    ----------
    task, substrate : str
    runs : int
    score : (float, float)
        Mean and spread of the main score.
    noisy : float, optional
        Mean of it with 1 % noise of reading.
    simple, control : str
        The control that is best most often: of those that lack memory, nonlinearity or both, and of all.
    simple_gain, gain : (float, float), optional
        Mean and spread of the gain over the best control of each run.
    stimuli : float
        Mean number of stimuli; NaN if it was not noted.
    device_seconds : float
        Mean time on the device's clock, s.
    joules : float, optional
        Mean energy, J.
    """

    task: str
    substrate: str
    runs: int
    score: tuple[float, float]
    noisy: float | None
    simple: str
    simple_gain: tuple[float, float] | None
    control: str
    gain: tuple[float, float] | None
    stimuli: float
    device_seconds: float
    joules: float | None

    @property
    def verdict(self) -> str:
        """Whether the matter helps, by more than two standard errors over seeds."""
        if self.gain is None:
            return "no controls"
        if self.runs < 2:
            return "one seed only"
        if _is_more(self.gain, self.runs):
            return "helps"
        if self.simple_gain is not None and _is_more(self.simple_gain, self.runs):
            return "not beyond digital memory"
        return "does not help"

    def cells(self) -> list[str]:
        """Return the row as text, a cell for each of `HEADING`."""
        return [
            self.task,
            self.substrate,
            str(self.runs),
            _spread(self.score),
            "" if self.noisy is None else f"{self.noisy:.3f}",
            self.simple,
            "" if self.simple_gain is None else _spread(self.simple_gain, sign="+"),
            self.control,
            "" if self.gain is None else _spread(self.gain, sign="+"),
            self.verdict,
            "" if np.isnan(self.stimuli) else f"{self.stimuli:,.0f}",
            "" if np.isnan(self.device_seconds) else _seconds(self.device_seconds),
            "" if self.joules is None else f"{self.joules:.2g} J",
        ]


def row_of_runs(task: str, substrate: str, runs: Sequence[RunSummary]) -> Row:
    """Put runs of one task on one substrate together."""
    gains = [run.gain for run in runs]
    costs = [run.cost for run in runs if run.cost is not None]
    joules = [cost.joules for cost in costs if cost.joules is not None]
    noisy = [run.noisy for run in runs if run.noisy is not None]
    simple = [gain.simple_gain for gain in gains if gain.simple_gain is not None]
    over_all = [gain.gain for gain in gains if gain.gain is not None]
    return Row(
        task=task,
        substrate=substrate,
        runs=len(runs),
        score=_mean([gain.score for gain in gains]),
        noisy=float(np.mean(noisy)) if len(noisy) == len(runs) else None,
        simple=_most_often([gain.simple_control for gain in gains]),
        simple_gain=_mean(simple) if len(simple) == len(runs) else None,
        control=_most_often([gain.control for gain in gains]),
        gain=_mean(over_all) if len(over_all) == len(runs) else None,
        stimuli=float(np.mean([cost.stimuli for cost in costs])) if costs else float("nan"),
        device_seconds=float(np.mean([cost.device_seconds for cost in costs])) if costs else float("nan"),
        joules=float(np.mean(joules)) if joules and len(joules) == len(runs) else None,
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [HEADING, ("---",) * len(HEADING), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def as_csv(rows: Sequence[Row]) -> str:
    """Return the table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text).writerows([HEADING, *(row.cells() for row in rows)])
    return text.getvalue()


def _mean(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _is_more(gain: tuple[float, float], count: int) -> bool:
    return bool(gain[0] > 2.0 * gain[1] / np.sqrt(count))


def _spread(value: tuple[float, float], sign: str = "") -> str:
    mean, spread = value
    return f"{mean:{sign}.3f}" + ("" if np.isnan(spread) else f" ± {spread:.3f}")


def _most_often(names: Sequence[str]) -> str:
    return max(dict.fromkeys(names), key=names.count)


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
