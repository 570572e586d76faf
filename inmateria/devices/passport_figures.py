"""The picture of a passport: how far a device has drifted, and what it scored meanwhile."""

from datetime import datetime
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inmateria.devices.fingerprints import noise_of
from inmateria.devices.passports import Passport
from inmateria.figure_style import BLUE, GREEN, GREY, PAPER, RED, SERIES, style_axes


@rc_context({"date.converter": "concise"})
def drift(passport: Passport, alpha: float = 0.01, width: float = 7.2) -> Figure:
    """Draw the distance of each calibration to the first over time, and the scores of the runs below it.

    Parameters
    ----------
    passport : Passport
    alpha : float
        Calibrations whose p-value is at most that are drawn filled.
    width : float
        Width of the figure, inches.
    """
    scored = [score for score in passport.scores if not score.control]
    figure = Figure(figsize=(width, 5.6 if scored else 3.4), layout="constrained")
    axes = figure.subplots(2 if scored else 1, 1, squeeze=False, sharex=True).ravel().tolist()
    for ax in axes:
        style_axes(ax)
    _draw_drift(axes[0], passport, alpha)
    if scored:
        for number, name in enumerate(dict.fromkeys(f"{score.task}, {score.readout}" for score in scored)):
            rows = [score for score in scored if f"{score.task}, {score.readout}" == name]
            axes[1].plot(
                [_day(row.taken) for row in rows], [row.score for row in rows], ".-", label=name,
                color=SERIES[number % len(SERIES)],
            )  # fmt: skip
        axes[1].set(ylabel="score of the run", title="Scores")
        axes[1].legend(fontsize=7.5, frameon=False)
    return figure


def _draw_drift(ax: Axes, passport: Passport, alpha: float) -> None:
    compared = passport.drift()
    ax.set(
        title=f"Drift of {passport.info.id}",
        ylabel="distance to the first calibration\n(standard deviations of the response)",
    )
    if passport.calibrations:
        ax.axhline(
            noise_of(passport.calibrations[0]), color=GREY, lw=0.8, ls=":", label="between two single repeats (noise)"
        )
    if compared:
        days = [_day(now.taken) for now, _ in compared]
        ax.fill_between(
            days, 0, [found.null_95 for _, found in compared], color=GREY, alpha=0.25, lw=0,
            label="by chance, 95 % of the time",
        )  # fmt: skip
        ax.plot(days, [found.distance for _, found in compared], color=BLUE, lw=1.2)
        for drifted, face in ((True, RED), (False, PAPER)):
            shown = [pair for pair in zip(days, compared, strict=True) if (pair[1][1].p_value <= alpha) == drifted]
            label = f"{'changed' if drifted else 'not shown to have changed'} (p {'≤' if drifted else '>'} {alpha:g})"
            if shown:
                ax.plot(
                    [day for day, _ in shown], [found.distance for _, (_, found) in shown], "o", ms=5, color=face,
                    mec=RED if drifted else BLUE, label=label,
                )  # fmt: skip
    for readout in passport.readouts:
        day = _day(readout.taken)
        ax.axvline(day, color=GREEN, lw=0.8, ls="--")
        ax.annotate(
            readout.name, (day, 0), (3, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=7.5, color=GREEN,
        )  # fmt: skip
    bounds = sorted({readout.bound for readout in passport.readouts})
    for bound in bounds:
        ax.axhline(bound, color=GREEN, lw=0.8, label=f"readouts refuse beyond {bound:g}")
    ax.set_ylim(0, 1.5 * ax.get_ylim()[1])  # room for the legend
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7.5, frameon=False, loc="upper left")


def _day(taken: str) -> Any:  # matplotlib draws dates, but its types say only numbers
    return datetime.fromisoformat(taken)
