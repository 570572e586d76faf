"""Tasks on one series: what goes in, what is to be read out, and how both are presented and scored.

The series drives every input, each with a strength of its own, beside a constant. A task of this kind gives its
settings and a `SeriesProblem`, whose targets are numbers, for `run_series`, or a `LabelledSeries` for
`run_labelled_series`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.closed_loop import Feedback, present_in_closed_loop
from inmateria.protocols.outcome import Curves, Outcome
from inmateria.protocols.presenting import SIGNAL_CONTROLS, Presented, present_series
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import (
    BLOCKS_OF_TIME,
    Comparison,
    Labels,
    blocks_of_time,
    score_classification,
    score_regression,
)
from inmateria.protocols.task import ProgressCallback
from inmateria.reservoir import InputMask
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

__all__ = [
    "ALPHAS",
    "MIXING_NETWORK",
    "DriveSettings",
    "LabelledSeries",
    "SeriesProblem",
    "SeriesSettings",
    "mask_of",
    "run_labelled_series",
    "run_series",
    "unused_in_drive",
    "unused_in_series",
]

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-8, 5))
"""Candidates for the regularisation. The smallest let a readout use features that differ by 1e-4 of their spread, which
simulators without noise have."""
_SHOWN = 200

MIXING_NETWORK = "nanowire://?model=rate-balance&wires=115&inputs=20&electrodes=100"
"""Network on which the default settings of most of these tasks were chosen: 20 inputs, and 100 values that are read."""


class DriveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of every task that drives all inputs through a mask, beside a constant.

    Parameters
    ----------
    seed : int
        Seed of the input mask, and of the data if they are random.
    amplitude : float
        Largest drive for a value of 1 without bias, as a fraction of each input's range around its rest.
    bias : float
        Constant drive beside the values, in units of the amplitude. It holds a network about to switch, and breaks
        the symmetry between up and down.
    bias_spread : float
        Inputs differ in their biases, by up to this fraction of `bias`.
    bias_sign : {"same", "random"}
        Whether all biases are positive, or of random sign, so that junctions between two inputs feel a voltage, too.
        An input that rests at an end of its range is always biased away from that end.
    step : float
        Duration of a step on the device, s.
    samples : int
        Number of samples of every step that the readout uses.
    round_trips : int
        Number of exchanges of a single step that are made first, to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.15
    bias: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.0
    bias_spread: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    bias_sign: Literal["same", "random"] = "same"
    step: Annotated[float, Meta(gt=0.0)] = 0.05
    samples: Annotated[int, Meta(ge=1)] = 10
    round_trips: Annotated[int, Meta(ge=1)] = 200


class SeriesSettings(DriveSettings, frozen=True, kw_only=True):
    """Settings of every task on a series, beside those of every drive through a mask.

    Parameters
    ----------
    steps : int
        Length of the series, washout included.
    washout : int
        Number of steps at the beginning that are left out.
    feedback : float
        Gain with which outputs are fed back to the inputs in the next step, as fractions of their ranges, through a
        random mask; 0 for none. The task then runs step by step, one exchange each.
    fed_back : int
        Number of outputs that are fed back, the first ones.
    """

    steps: Annotated[int, Meta(ge=500)] = 4000
    washout: Annotated[int, Meta(ge=0)] = 200
    feedback: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    fed_back: Annotated[int, Meta(ge=1)] = 16

    def __post_init__(self) -> None:
        if self.washout > self.steps // 2:
            raise ValueError(f"washout is {self.washout} of {self.steps} steps; give at most half")


def unused_in_drive(settings: DriveSettings, info: SubstrateInfo) -> dict[str, str]:
    """Return the settings of the drive that have no effect together with the others, each with the reason."""
    if settings.bias == 0:
        return dict.fromkeys(("bias_spread", "bias_sign"), "the bias is 0")
    return {}


def unused_in_series(settings: SeriesSettings, info: SubstrateInfo) -> dict[str, str]:
    """Return the settings of a series that have no effect together with the others, or on a substrate.

    Parameters
    ----------
    settings : SeriesSettings
    info : SubstrateInfo

    Returns
    -------
    dict of str to str
        Name of each to the reason.
    """
    unused = unused_in_drive(settings, info)
    if info.sampling_rate is None:
        unused |= dict.fromkeys(("feedback", "fed_back"), "this substrate gives spikes, and a signal is fed back")
    elif settings.feedback == 0:
        unused["fed_back"] = "the feedback is 0"
    elif settings.fed_back > len(info.outputs):
        unused["fed_back"] = f"there are {len(info.outputs)} outputs"
    return unused


def mask_of(settings: DriveSettings, features: int = 1) -> InputMask:
    """Return the mask through which values drive the inputs.

    Parameters
    ----------
    settings : DriveSettings
    features : int
        Number of values from -1 to 1 that a step may have at once; inputs are driven with their mean through the mask.
    """
    return InputMask(
        amplitude=settings.amplitude,
        scale=1.0 / features,
        offset=settings.bias,
        offset_spread=settings.bias_spread,
        offset_sign=settings.bias_sign,
        kind="uniform",
        seed=settings.seed,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class SeriesProblem:
    """A series, and what is to be read out of the substrate that it drives.

    Parameters
    ----------
    title, sentence : str
        The problem in a few words, and in one sentence.
    u : ndarray of float, shape (steps,)
        From -1 to 1.
    targets : dict of str to ndarray of float, shape (steps,)
        NaN for steps without a target.
    metric : {"1 - NRMSE", "r²"}
        As of `score_regression`.
    total : str, optional
        Score the sum over the targets under this name.
    """

    title: str
    sentence: str
    u: FloatArray
    targets: dict[str, FloatArray]
    metric: Literal["1 - NRMSE", "r²"] = "1 - NRMSE"
    total: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledSeries:
    """A series, and classes that are to be read out of the substrate that it drives.

    Parameters
    ----------
    title, sentence : str
        The problem in a few words, and in one sentence.
    u : ndarray of float, shape (steps,) or (steps, features)
        From -1 to 1, and so are sums over the features.
    labels : ndarray of int, shape (steps,)
        Class at each step; -1 at steps without one.
    readout : str
        Name of what the classes are.
    """

    title: str
    sentence: str
    u: FloatArray
    labels: Labels
    readout: str


async def run_series(
    problem: SeriesProblem,
    substrate: Substrate,
    settings: SeriesSettings,
    on_progress: ProgressCallback,
    curves: Callable[[Comparison], tuple[Curves, ...]] | None = None,
) -> Outcome:
    """Drive the substrate with a problem's series, read the targets out, and score them beside the controls.

    Parameters
    ----------
    problem : SeriesProblem
        What goes in, and what is to be read out.
    substrate : Substrate
        Entered and left here.
    settings : SeriesSettings
        Of the task.
    on_progress : ProgressCallback
        Called with the progress.
    curves : callable, optional
        Draws the figures of the report; by default, each target beside its predictions.
    """
    targets = Targets.of_numbers(problem.targets, washout=settings.washout, metric=problem.metric)
    presented = await _present(problem.u, substrate, settings, on_progress, targets)
    score = partial(
        score_regression,
        washout=settings.washout,
        metric=problem.metric,
        total=problem.total,
        alphas=ALPHAS,
        seed=settings.seed,
        on_progress=on_progress,
    )
    compared = await asyncio.to_thread(score, presented.by_step(seed=settings.seed), problem.targets)
    if curves is None:
        drawn = tuple(
            _curve(name, column, problem, compared, settings.step) for column, name in enumerate(problem.targets)
        )
    else:
        drawn = curves(compared)
    return compared.outcome(
        problem.title, presented.exchanges, presented.outputs, sentence=problem.sentence, curves=drawn, items="steps"
    )


async def run_labelled_series(
    problem: LabelledSeries, substrate: Substrate, settings: SeriesSettings, on_progress: ProgressCallback
) -> Outcome:
    """Drive the substrate with a problem's series, name the classes, and score them beside the controls.

    Parameters
    ----------
    problem : LabelledSeries
        What goes in, and the classes.
    substrate : Substrate
        Entered and left here.
    settings : SeriesSettings
        Of the task.
    on_progress : ProgressCallback
        Called with the progress.
    """
    targets = Targets.of_classes(problem.labels, problem.readout, row="step", washout=settings.washout)
    presented = await _present(problem.u, substrate, settings, on_progress, targets)
    rows = np.flatnonzero(problem.labels >= 0)
    rows = rows[rows >= settings.washout]
    score = partial(
        score_classification,
        folds=blocks_of_time(len(rows)),
        readout=problem.readout,
        splitting=BLOCKS_OF_TIME,
        alphas=ALPHAS,
        seed=settings.seed,
        on_progress=on_progress,
    )
    feature_sets = {on: X[rows] for on, X in presented.by_step(seed=settings.seed).items()}
    compared = await asyncio.to_thread(score, feature_sets, problem.labels[rows])
    return compared.outcome(
        problem.title, presented.exchanges, presented.outputs, sentence=problem.sentence, items="steps"
    )


async def _present(
    u: FloatArray, substrate: Substrate, settings: SeriesSettings, on_progress: ProgressCallback, targets: Targets
) -> Presented:
    """Present a series, step by step if outputs are fed back."""
    gain, outputs = settings.feedback, settings.fed_back
    present = present_series
    if gain > 0:
        present = partial(present_in_closed_loop, feedback=Feedback(gain=gain, outputs=outputs, seed=settings.seed))
    return await present(
        u,
        substrate,
        mask_of(settings),
        settings.round_trips,
        on_progress,
        step=settings.step,
        samples=settings.samples,
        targets=targets,
    )


def _curve(name: str, column: int, problem: SeriesProblem, compared: Comparison, step: float) -> Curves:
    shown = compared.held_out_rows[:_SHOWN]
    _, bare = SIGNAL_CONTROLS
    return Curves(
        heading=f"Target and predictions: {name}",
        text="The beginning of the last block, which the readout has not seen.",
        x_label="time on the device's clock (s)",
        y_label="value (no unit)",
        x=tuple((step * shown).tolist()),
        lines={
            "target": tuple(problem.targets[name][shown].tolist()),
            "substrate": tuple(compared.predicted["substrate"][: len(shown), column].tolist()),
            bare: tuple(compared.predicted[bare][: len(shown), column].tolist()),
        },
    )
