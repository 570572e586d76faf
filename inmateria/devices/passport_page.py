"""A passport as one self-contained HTML page: drift, scores beside their controls, readouts."""

from collections.abc import Sequence

import msgspec

from inmateria.devices.fingerprints import noise_of
from inmateria.devices.passport_figures import drift
from inmateria.devices.passports import Passport, ScoreRecord
from inmateria.figure_style import WIDTH
from inmateria.pages.page_figures import PageFigure, csv_of
from inmateria.pages.rendering import render_page

__all__ = ["SOURCES", "passport_page"]

SOURCES = {
    "serial": "a serial number or name that it states",
    "host": "the address it is reached at",
    "user": "a name that the user gave",
    "parameters": "the parameters of the simulation",
    "unstated": "not stated by its adapter",
}
"""Where the id of a device comes from, in words."""


def passport_page(passport: Passport, alpha: float = 0.01) -> str:
    """Return the page of a passport.

    Parameters
    ----------
    passport : Passport
    alpha : float
        Calibrations whose p-value is at most that have changed.
    """
    info, compared = passport.info, passport.drift()
    return render_page(
        "inmateria.devices",
        "passport.html.jinja",
        title=f"Passport of {info.id}",
        sentence=_sentence(passport, alpha),
        drifts=[
            [
                _minute(now.taken), f"{found.distance:.3f}", f"{found.null_95:.3f}", f"{found.p_value:.2g}",
                "has changed" if found.drifted(alpha) else "is not shown to have changed",
            ]
            for now, found in compared
        ],
        changed=[k for k, (_, found) in enumerate(compared) if found.drifted(alpha)],
        scores=[_score_row(score, passport.scores) for score in passport.scores if not score.control],
        readouts=[[each.name, _minute(each.taken), f"{each.bound:g}"] for each in passport.readouts],
        figures=[_figure(passport, alpha)] if passport.calibrations or passport.scores else [],
        details=msgspec.json.format(
            msgspec.json.encode({"parameters": info.parameters, "inputs": info.inputs, "outputs": info.outputs}),
            indent=2,
        ).decode(),
    )  # fmt: skip


def _sentence(passport: Passport, alpha: float) -> str:
    info, count, compared = passport.info, len(passport.calibrations), passport.drift()
    channels = f"{_plural(len(info.inputs), 'input')} and {_plural(len(info.outputs), 'output')}"
    stated = "" if passport.identity_source == "unstated" else "comes from "
    said = [
        f"{info.kind}, {channels}; its id {stated or 'is '}{SOURCES[passport.identity_source]}.",
        f"First seen {passport.first_seen}.",
    ]
    if not count:
        said.append("It has never been calibrated, so that nothing is known of its drift.")
    elif not compared:
        said.append(f"{_plural(count, 'calibration')}: none can be compared with the first; its drift is not known.")
    else:
        now, found = compared[-1]
        verdict = "has changed" if found.drifted(alpha) else "is not shown to have changed"
        said.append(
            f"{count} calibrations; by the last one, of {_minute(now.taken)}, it {verdict} since the first: distance "
            f"{found.distance:.3g}, p = {found.p_value:.2g}."
        )
    return " ".join(said)


def _score_row(score: ScoreRecord, every: Sequence[ScoreRecord]) -> list[str]:
    controls = [
        each
        for each in every
        if each.control and (each.taken, each.task, each.folder) == (score.taken, score.task, score.folder)
    ]
    controls = [each for each in controls if each.readout == score.readout] or controls
    best = max(controls, key=lambda each: each.score, default=None)
    row = [_minute(score.taken), score.task, score.readout, score.metric, f"{score.score:.3f}"]
    return [*row, *(("none", "") if best is None else (best.read_from, f"{best.score:.3f}"))]


def _figure(passport: Passport, alpha: float) -> PageFigure:
    compared = passport.drift()
    shown = [score for score in passport.scores if not score.control]
    alt = [f"Distance of {len(compared)} calibration{'s' * (len(compared) != 1)} to the first"]
    if compared:
        distances = [found.distance for _, found in compared]
        changed = sum(found.drifted(alpha) for _, found in compared)
        alt[0] += f", {min(distances):.3g} to {max(distances):.3g}; {changed} of them changed"
    alt[0] += "."
    if passport.calibrations:
        alt.append(f"Two single repeats of the first differ by {noise_of(passport.calibrations[0]):.3g}.")
    if shown:
        alt.append(
            f"{len(shown)} scores of runs, {min(s.score for s in shown):.3f} to {max(s.score for s in shown):.3f}."
        )
    tables = {
        "drift": csv_of(
            ["taken", "distance", "by chance, 95 %", "p"],
            ([now.taken, found.distance, found.null_95, found.p_value] for now, found in compared),
        )
    }
    if shown:
        tables["scores"] = csv_of(
            ["taken", "task", "readout", "metric", "score"],
            ([score.taken, score.task, score.readout, score.metric, score.score] for score in shown),
        )
    return PageFigure(
        name="drift",
        heading="Drift and scores over time" if shown else "Drift over time",
        caption="Distance of each calibration to the first, in standard deviations of the response"
        + (", and the scores of runs below it." if shown else "."),
        alt=" ".join(alt),
        drawing=drift(passport, alpha, width=WIDTH),
        tables=tables,
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _minute(taken: str) -> str:
    return taken[:16].replace("T", " ")
