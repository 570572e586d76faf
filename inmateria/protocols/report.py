"""The report of a run: one self-contained HTML page, made from the run folder alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from inmateria.pages.page_figures import PageFigure
from inmateria.pages.rendering import render_page
from inmateria.protocols.gains import Gain, gains_of, shown_gain
from inmateria.protocols.outcome import Outcome, Score, shown_error
from inmateria.protocols.outcome_figures import figures_of_outcome
from inmateria.protocols.recording_figures import figures_of_recording
from inmateria.protocols.report_sentences import (
    data_sentence,
    device_sentence,
    has_gains,
    kept_sentence,
    len_of_splits,
    no_recording_sentence,
    shown_mean,
    tiles,
    title,
)
from inmateria.protocols.runs import RECORDING_FILE, REPORT_FILE, Run, read_run
from inmateria.recording import open_recording

__all__ = ["render", "write_report"]


def write_report(folder: Path) -> Path:
    """Make report.html in a run folder from its run.json and recording, and return its path.

    Raises
    ------
    RunFolderError, RecordingError
        If the folder is not a run's, or the recording cannot be read.
    """
    run = read_run(folder)
    recorded = folder / RECORDING_FILE
    if run.keep == "nothing" or not recorded.exists():
        page = render(run, [], no_recording_sentence(run))
    else:
        with open_recording(recorded) as recording:
            page = render(run, figures_of_recording(recording), kept_sentence(recording), recorded=True)
    path = folder / REPORT_FILE
    draft = folder / f".{REPORT_FILE}"
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def render(run: Run, of_recording: Sequence[PageFigure], kept: str, *, recorded: bool = False) -> str:
    """Write the page.

    Parameters
    ----------
    run : Run
    of_recording : sequence of PageFigure
        Figures of what was measured.
    kept : str
        Description of what the recording holds.
    recorded : bool
        Whether there is a recording beside the page.
    """
    outcome = run.outcome
    heading, numbers = _heading(outcome)
    gains = {gain.readout: gain for gain in gains_of(outcome.scores)}
    rows = [_row(outcome, score, gains.get(score.readout)) for score in outcome.scores]
    if outcome.chance_description:
        rows.append(["baseline", outcome.chance_description, "", f"{outcome.chance:.3f}", *[""] * (len(heading) - 4)])
    substrates = ""
    if run.substrates > 1:
        substrates = (
            f" It is of the first of {run.substrates} substrates; those of the others are recording-2.h5 and so on."
        )
    return render_page(
        "inmateria.protocols",
        "report.html.jinja",
        title=title(run),
        sentence=" ".join(filter(None, (outcome.sentence, device_sentence(run)))),
        verdict=outcome.verdict,
        tiles=tiles(run),
        scores_heading="Scores beside their controls" if any(s.control for s in outcome.scores) else "Scores",
        heading=heading,
        numbers=numbers,
        rows=rows,
        chief=[k for k, score in enumerate(outcome.scores) if not score.control],
        split_sentence=data_sentence(run),
        figures=[*of_recording, *figures_of_outcome(run.substrate, outcome)],
        created=run.created,
        kept=kept + (substrates if recorded else ""),
        recorded=recorded,
        details=msgspec.json.format(msgspec.json.encode(_details(run)), indent=2).decode(),
    )


def _details(run: Run) -> dict[str, Any]:
    return {
        "task": run.task,
        "settings": run.settings,
        "on": run.on,
        "over": run.over,
        "device": run.substrate.parameters,
        "cost": run.cost,
        "versions": run.versions,
    }


def _heading(outcome: Outcome) -> tuple[list[str], list[str]]:
    """Return the heading of the table of scores, and those columns that are numbers."""
    # A row whose score is another one says so in the name of its readout.
    metric = "score" if any(score.metric for score in outcome.scores) else outcome.metric
    metric = f"{metric}, held out" if outcome.trained else metric
    numbers = ["features", metric]
    if len_of_splits(outcome) > 1:
        numbers.append(f"mean ± sd over {len_of_splits(outcome)} {outcome.repeated}")
    if any(score.noisy for score in outcome.scores):
        numbers.append("mean with 1 % noise of reading")
    if has_gains(outcome):
        numbers.append("gain over the best control")
    if outcome.error_name:
        numbers.append(outcome.error_name)
    return ["read from", "readout", *numbers], numbers


def _row(outcome: Outcome, score: Score, gain: Gain | None) -> list[str]:
    readout = score.readout if score.metric in ("", *_own_words(score)) else f"{score.readout}: {score.metric}"
    row = [score.on, readout, f"{score.features:,}", f"{score.score:.3f}"]
    if len_of_splits(outcome) > 1:
        row.append(shown_mean(score) if len(score.splits) > 1 else "")
    if any(each.noisy for each in outcome.scores):
        row.append(f"{sum(score.noisy) / len(score.noisy):.3f}" if score.noisy else "")
    if has_gains(outcome):
        row.append("" if score.control or gain is None else shown_gain(gain))
    if outcome.error_name:
        row.append(shown_error(score))
    return row


def _own_words(score: Score) -> tuple[str, ...]:
    """Return the metric of a score if its readout is already named after it."""
    return (score.metric,) if score.metric in score.readout else ()
