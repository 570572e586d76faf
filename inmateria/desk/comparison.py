"""Runs side by side: what differs in what they were run with, their scores with the controls, their curves."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from inmateria.desk.run_tables import differing, row_of
from inmateria.desk.summaries import summary_of
from inmateria.one_line import one_line
from inmateria.protocols.gains import gain_of
from inmateria.protocols.runs import RUN_FILE, Run, RunFolderError, read_run

__all__ = ["Comparison", "compare_runs"]

_ORIGINS = ("settings.", "on.", "parameters.", "versions.", "device", "over", "keep", "part", "task", "calibrated")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs side by side.

    Parameters
    ----------
    names : list of str
        A name for each run.
    runs : list of Run
    differences : dict of str to list
        What they were run with and differ in: name to the value of each run, None where a run has none.
    scores : dict of (str, str) to list of tuple
        Source and readout to mean and standard deviation over splits in each run; None where a run has none.
    gains : list of tuple
        Gain over the best control in each run, its standard deviation and the control; None where there is no control.
    metrics : list of str
        Metric of each run.
    """

    names: list[str]
    runs: list[Run]
    differences: dict[str, list[Any]]
    scores: dict[tuple[str, str], list[tuple[float, float] | None]]
    gains: list[tuple[float, float, str] | None]
    metrics: list[str]

    __repr__ = one_line

    def rows(self) -> list[list[str]]:
        """Return the comparison as a table of text: a heading, then a row for each difference, score and gain."""
        table = [["", *self.names]]
        table += [[name, *(_text(value) for value in values)] for name, values in self.differences.items()]
        for (source, readout), values in self.scores.items():
            each = ["" if value is None else f"{value[0]:.4g} ± {round(value[1], 9):.2g}" for value in values]
            table.append([f"{source}: {readout}", *each])
        gains = [
            "" if gain is None else f"{gain[0]:+.4g} ± {round(gain[1], 9):.2g} over {gain[2]}" for gain in self.gains
        ]
        table.append(["gain", *gains])
        return table

    def csv(self) -> str:
        """Return the table as comma-separated values."""
        text = io.StringIO()
        csv.writer(text).writerows(self.rows())
        return text.getvalue()


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    folders : sequence of Path
        Run folders, at least two.

    Returns
    -------
    Comparison

    Raises
    ------
    RunFolderError
        If one cannot be read, or fewer than two are given.
    """
    if len(folders) < 2:
        raise RunFolderError(f"{len(folders)} run given; a comparison takes two or more")
    runs = [read_run(folder) for folder in folders]
    names = [folder.resolve().name for folder in folders]
    rows = [
        row_of(summary_of(name, (folder / RUN_FILE).read_bytes())) for name, folder in zip(names, folders, strict=True)
    ]
    for row, run, folder in zip(rows, runs, folders, strict=True):
        if calibrated := _calibrated(folder, run):
            row["calibrated"] = calibrated
    names_differing = differing(rows, _ORIGINS)
    told = {name.removeprefix("on.") for name in names_differing if name.startswith("on.")}
    differences = {
        name: [row.get(name) for row in rows]
        for name in names_differing
        if name.removeprefix("parameters.") not in told  # the URI says it already
    }
    sources = dict.fromkeys((score.on, score.readout) for run in runs for score in run.outcome.scores)
    scores = {source: [_score(run, source) for run in runs] for source in sources}
    gains = [gain_of(run.outcome.scores) for run in runs]
    return Comparison(
        names,
        runs,
        differences,
        scores,
        [None if g.gain is None or g.gain_sd is None else (g.gain, g.gain_sd, g.control) for g in gains],
        [run.outcome.metric for run in runs],
    )


def _score(run: Run, source: tuple[str, str]) -> tuple[float, float] | None:
    for score in run.outcome.scores:
        if (score.on, score.readout) == source:
            return fmean(score.splits), pstdev(score.splits)
    return None


def _calibrated(folder: Path, run: Run) -> str | None:
    """Return when the device was last calibrated before a run, by the passports beside it; None if never."""
    from inmateria.devices.errors import PassportError
    from inmateria.devices.passports import Passports, passports_url

    try:
        with Passports(passports_url(folder.resolve().parent), create=False) as passports:
            taken = [each.taken for each in passports.passport(run.substrate.id).calibrations]
    except PassportError:
        return None
    from datetime import datetime

    begun = datetime.fromisoformat(run.created)
    before = [moment for moment in taken if datetime.fromisoformat(moment) <= begun]
    return max(before, key=datetime.fromisoformat, default=None)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
