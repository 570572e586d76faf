"""The report of a run: one self-contained HTML page, made from the run folder alone."""

import io
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from inmateria.adapters.uri import is_simulated
from inmateria.protocols import figures
from inmateria.protocols.circuits import learning_channels
from inmateria.protocols.gains import Gain, gains_of, shown_gain
from inmateria.protocols.outcome import Outcome, Score, shown_error
from inmateria.protocols.runs import RECORDING_FILE, REPORT_FILE, Run, read_run, shown_on
from inmateria.recording import Exchange, Recording, open_recording
from inmateria.substrate import Response, Stimulus

_STRETCH = 3
"""Exchanges that the figure of stimulus and response shows."""
_MOST_STEPS, _MOST_UPDATES = 1000, 40
"""Steps of an exchange that the figure shows at most; while matter is trained."""


def write_report(folder: Path) -> Path:
    """Make report.html in a run folder from its run.json and recording, and return its path.

    Raises
    ------
    RunFolderError, RecordingError
        If the folder is not a run's, or the recording cannot be read.
    """
    run = read_run(folder)
    if run.keep == "nothing":
        page = render(run, [], "Nothing that was measured was kept.")
    else:
        with open_recording(folder / RECORDING_FILE) as recording:
            page = render(run, stretch(recording), _kept(recording))
    path = folder / REPORT_FILE
    draft = folder / f".{REPORT_FILE}"
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def stretch(recording: Recording) -> list[Exchange]:
    """Read a few exchanges to show, from where the streaming, or the training of the matter, begins."""
    steps = recording.exchanges["steps"]
    first = int(np.argmax(steps > 1)) if len(steps) else 0
    channels = learning_channels(recording.info)
    if channels is None:
        return [_beginning(recording.exchange(k), _MOST_STEPS) for k in islice(range(first, len(recording)), _STRETCH)]
    for k in range(first, len(recording)):
        exchange = recording.exchange(k)
        if exchange.stimulus.drive[:, channels.learn].any():
            return [_beginning(exchange, _MOST_UPDATES)]
    return []


def _beginning(exchange: Exchange, steps: int) -> Exchange:
    """Return the first steps of an exchange that is too long to draw."""
    stimulus, response = exchange.stimulus, exchange.response
    if len(stimulus.drive) <= steps or response.spikes is not None or response.signal is None:
        return exchange
    return replace(
        exchange,
        stimulus=Stimulus(stimulus.drive[:steps], stimulus.step),
        response=Response(response.signal[:steps], None, response.start, response.sequence),
    )


def _kept(recording: Recording) -> str:
    """Describe what the recording holds."""
    kept = recording.kept
    if not kept:
        return "The recording holds everything that was sent and measured."
    each = f"{kept['samples']} sample{'' if kept['samples'] == 1 else 's'} of each step, which the readouts read"
    if kept["others"] == "left out":
        return f"The recording holds what was sent, and {each}; others were left out."
    return (
        f"The recording holds everything that was sent and measured: exactly {each}; others rounded to "
        f"{kept['significant_bits']} binary digits."
    )


def render(run: Run, exchanges: list[Exchange], kept: str = "") -> str:
    """Write the page; `kept` says what the recording holds."""
    info, outcome = run.substrate, run.outcome
    pictures = []
    if outcome.confusion:
        pictures.append(
            (
                "Confusion of the readouts",
                f"Held-out items{' of the first split' if _splits(outcome) > 1 else ''}. Entries off the diagonal are "
                "errors.",
                svg_of("confusion", figures.confusion(outcome)),
            )
        )
    if outcome.learning_curve:
        pictures.append(
            (
                "Learning online, each item once",
                "The online readout predicts every item before it learns from it.",
                svg_of("learning", figures.learning_curve(outcome)),
            )
        )
    pictures += [
        (curves.heading, curves.text, svg_of(f"curves{number}", figures.curves(curves)))
        for number, curves in enumerate(outcome.curves)
    ]
    pictures += [
        (each.heading, each.text, svg_of(f"surface{number}", figures.surface(each)))
        for number, each in enumerate(outcome.surfaces)
    ]
    pictures += [
        (each.heading, each.text, svg_of(f"network{number}", figures.network(each)))
        for number, each in enumerate(outcome.networks)
    ]
    if info.layout is not None:
        pictures.append(
            (
                "The substrate",
                f"{info.id}: places of its inputs and outputs.",
                svg_of("layout", figures.layout(info, info.layout)),
            )
        )
    if exchanges:
        pictures.append(
            (
                "Stimulus and response",
                _stimuli(exchanges),
                svg_of("traces", figures.traces(info, exchanges)),
            )
        )
    if outcome.weights:
        pictures.append(
            (
                "Weights of the readout",
                "Root mean square of the weights of a readout of the substrate, by output channel.",
                svg_of("weights", figures.weights(info, outcome)),
            )
        )
    environment = Environment(
        loader=PackageLoader("inmateria.protocols", "."), autoescape=select_autoescape(default=True)
    )
    exchanged = outcome.exchanges
    noise = any(score.noisy for score in outcome.scores)
    gains = {gain.readout: gain for gain in gains_of(outcome.scores)}
    return environment.get_template("report.html.jinja").render(
        title=f"{outcome.title} on {info.id}",
        sentence=f"{outcome.sentence} The task ran on {info.id}, a {info.kind} of {len(info.inputs)} inputs and "
        f"{len(info.outputs)} outputs, {_way(run)}.",
        figures_of_merit=[
            *(
                (f"{score.readout}: {outcome.metric}", f"{score.score:.3f}")
                for score in outcome.scores
                if not score.control
            ),
            *outcome.facts,
            ("exchanges per second", f"{exchanged.per_second:.0f}"),
            ("round trip, median", f"{1e3 * exchanged.round_trip_p50:.2f} ms"),
            ("round trip, 99th percentile", f"{1e3 * exchanged.round_trip_p99:.2f} ms"),
        ],
        scores=[_row(score, gains.get(score.readout)) for score in outcome.scores],
        verdict=outcome.verdict,
        noise=noise,
        splits=_splits(outcome),
        repeated=outcome.repeated,
        error_name=outcome.error_name,
        controls=any(score.control for score in outcome.scores),
        metric=f"{outcome.metric}, held out" if outcome.trained else outcome.metric,
        chance=f"{outcome.chance:.3f}",
        baseline=outcome.chance_description,
        split_sentence=" ".join(filter(None, (_part(run), _split(outcome), outcome.splitting, _round_trips(outcome)))),
        pictures=pictures,
        created=run.created,
        kept=kept,
        recorded=run.keep != "nothing",
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


def _way(run: Run) -> str:
    """Describe how the substrate was reached."""
    if run.over == "remote":
        return f"remote, reached over MQTT: {run.on}"
    if run.over == "mqtt":
        return f"reached over MQTT and served from a process of its own: {shown_on(run)}"
    scheme, mark, _ = run.on.partition("://")
    if scheme == "replay":
        return "replayed from a recording"
    if mark and not is_simulated(run.on):
        return f"reached through its adapter, {scheme}://"
    return f"in the same process: {shown_on(run)}" if "?" in run.on else "in the same process"


def _stimuli(exchanges: list[Exchange]) -> str:
    """Describe the exchanges that are drawn."""
    lengths = sorted({len(each.stimulus.drive) for each in exchanges})
    steps = sorted({each.stimulus.step for each in exchanges})
    count = f"The first {len(exchanges)} stimuli" if len(exchanges) > 1 else "A stimulus"
    of_several = " of several steps" if lengths[0] > 1 and len(exchanges) > 1 else ""
    length = f"{lengths[0]:,}" if len(lengths) == 1 else f"{lengths[0]:,} to {lengths[-1]:,}"
    duration = f" of {1e3 * steps[0]:g} ms" if len(steps) == 1 else ""
    long = " Of longer ones only the first steps are drawn." if lengths[-1] in (_MOST_STEPS, _MOST_UPDATES) else ""
    return f"{count}{of_several}: {length} step{'' if lengths == [1] else 's'}{duration} each.{long}"


def _splits(outcome: Outcome) -> int:
    return max(len(score.splits) for score in outcome.scores)


def _part(run: Run) -> str:
    if run.part == "test":
        return ""
    return "A run for choosing settings: its scores are of data that no reported run tests on."


def _split(outcome: Outcome) -> str:
    if outcome.trained:
        return f"{outcome.trained:,} items learned and {outcome.held_out:,} held out."
    return ""


def _round_trips(outcome: Outcome) -> str:
    return f"The round trip is that of {outcome.exchanges.round_trips} exchanges of a single step, one at a time."


def _row(score: Score, gain: Gain | None) -> dict[str, Any]:
    spread = f"{np.mean(score.splits):.3f} ± {np.std(score.splits):.3f}" if len(score.splits) > 1 else ""
    return {
        "on": score.on,
        "readout": score.readout,
        "features": score.features,
        "score": f"{score.score:.3f}",
        "spread": spread,
        "control": score.control,
        "error": shown_error(score),
        "noisy": f"{np.mean(score.noisy):.3f}" if score.noisy else "",
        "gain": "" if score.control or gain is None else shown_gain(gain),
    }


def svg_of(prefix: str, figure: Figure) -> Markup:
    """Write a figure as inline SVG, its text as text and its names beginning with a prefix."""
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": prefix}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)
    # Several drawings share the page: their definitions must not share names.
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)([^")]+)', rf"\1{prefix}-\2", svg)
    return Markup(svg)  # our own drawing; every text in it was escaped by matplotlib
