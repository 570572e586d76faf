"""The report of a run: one self-contained HTML page, made from the run folder alone."""

import io
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from inmateria.protocols import figures
from inmateria.protocols.runs import RECORDING_FILE, REPORT_FILE, Run, Score, read_run
from inmateria.recording import Exchange, open_recording

_STRETCH = 3
"""Exchanges that the picture of stimulus and response shows."""


def write_report(folder: Path) -> Path:
    """Make report.html in a run folder from its run.json and recording, and return its path.

    Raises
    ------
    RunFolderError, RecordingError
        Where the folder is not a run's, or the recording cannot be read.
    """
    run = read_run(folder)
    page = render(run, stretch(folder / RECORDING_FILE))
    path = folder / REPORT_FILE
    draft = folder / f".{REPORT_FILE}"
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def stretch(recording_path: Path) -> list[Exchange]:
    """Read a few exchanges to show, from where the streaming begins."""
    with open_recording(recording_path) as recording:
        steps = recording.exchanges["steps"]
        first = int(np.argmax(steps > 1)) if len(steps) else 0
        return [recording.exchange(index) for index in islice(range(first, len(recording)), _STRETCH)]


def sentence(run: Run) -> str:
    """Say in one sentence what was run."""
    info, outcome = run.substrate, run.outcome
    way = "over MQTT, served from a process of its own" if run.over == "mqtt" else "in process"
    return (
        f"{outcome.trained + outcome.held_out:,} handwritten digits of 8 × 8 pixels were streamed, row by row, into "
        f"{info.id} ({info.kind}, {len(info.inputs)} inputs, {len(info.outputs)} outputs), reached {way}; two linear "
        f"readouts learned from {outcome.trained:,} of them and were scored on the other {outcome.held_out:,}."
    )


def render(run: Run, exchanges: list[Exchange]) -> str:
    """Write the page."""
    outcome = run.outcome
    pictures = [
        (
            "What the readouts confuse",
            "Held-out digits of the first split. Off the diagonal are the mistakes.",
            _svg(figures.confusion, outcome),
        ),
        (
            "Learning online, each digit once",
            "Before learning from a digit, the online readout names it. The first hundred digits set the scale of "
            "the features and are learned after that.",
            _svg(figures.learning_curve, outcome),
        ),
    ]
    if run.substrate.layout is not None:
        pictures.append(
            (
                "The substrate",
                f"{run.substrate.id}: where it is driven and where it is read.",
                _svg(figures.layout, run.substrate, run.substrate.layout),
            )
        )
    if exchanges:
        pictures.append(
            (
                "What went in and what came out",
                f"The first {len(exchanges)} digits that were streamed, with the rest between them. "
                f"Each digit is driven for {len(exchanges[0].stimulus.drive)} steps of "
                f"{1e3 * exchanges[0].stimulus.step:g} ms, rest included.",
                _svg(figures.traces, run.substrate, exchanges),
            )
        )
    pictures.append(
        (
            "What the readout listens to",
            "Weights of the batch readout, gathered by output channel.",
            _svg(figures.weights, run.substrate, outcome),
        )
    )
    environment = Environment(
        loader=PackageLoader("inmateria.protocols", "."), autoescape=select_autoescape(default=True)
    )
    exchanged = outcome.exchanges
    return environment.get_template("report.html.jinja").render(
        title=f"Handwritten digits on {run.substrate.id}"
        if run.task == "digits"
        else f"{run.task} on {run.substrate.id}",
        sentence=sentence(run),
        figures_of_merit=[
            *((f"{score.readout}", f"{100 * score.accuracy:.1f} %") for score in outcome.scores if not score.control),
            ("exchanges per second", f"{exchanged.per_second:.0f}"),
            ("round trip, median", f"{1e3 * exchanged.round_trip_p50:.2f} ms"),
            ("round trip, 99th percentile", f"{1e3 * exchanged.round_trip_p99:.2f} ms"),
        ],
        scores=[_row(score) for score in outcome.scores],
        splits=len(outcome.split_seeds),
        chance=f"{outcome.chance:.3f}",
        split_sentence=(
            f"Stratified splits, {outcome.trained:,} training and {outcome.held_out:,} held-out digits, seeds "
            f"{', '.join(map(str, outcome.split_seeds))}. The first was streamed in that order and learned online as "
            f"it came; the others were drawn again from the same features. The round trip is of "
            f"{exchanged.round_trips} single-step exchanges, one at a time."
        ),
        pictures=pictures,
        created=run.created,
        details=msgspec.json.format(
            msgspec.json.encode(
                {
                    "settings": run.settings,
                    "on": run.on,
                    "over": run.over,
                    "device": run.substrate.parameters,
                    "versions": run.versions,
                }
            ),
            indent=2,
        ).decode(),
    )


def _row(score: Score) -> dict[str, Any]:
    spread = f"{np.mean(score.splits):.3f} ± {np.std(score.splits):.3f}"
    return {
        "on": score.on,
        "readout": score.readout,
        "features": score.features,
        "accuracy": f"{score.accuracy:.3f}",
        "spread": spread,
        "control": score.control,
    }


def _svg(draw: Callable[..., Figure], *of: Any) -> Markup:
    """Draw a figure as inline SVG, its text as text."""
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": draw.__name__}):
        buffer = io.StringIO()
        draw(*of).savefig(buffer, format="svg", metadata={"Date": None})
    svg = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)
    # Several drawings share the page: their definitions must not share names.
    prefix = draw.__name__
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)([^")]+)', rf"\1{prefix}-\2", svg)
    return Markup(svg)  # our own drawing; every text in it was escaped by matplotlib
