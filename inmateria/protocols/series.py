"""Tasks on one series: what goes in, what is to be read out, and how both are presented and scored.

The series drives every input, each with a strength of its own. A task of this kind gives a `SeriesProblem` and its
settings, and `run_series` does the rest.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.outcome import Curves, Outcome
from inmateria.protocols.presenting import SIGNAL_CONTROLS, present_series
from inmateria.protocols.scoring import Comparison, score_regression
from inmateria.protocols.task import ProgressCallback
from inmateria.reservoir import InputMask
from inmateria.substrate import FloatArray, Substrate

__all__ = ["SeriesProblem", "SeriesSettings", "run_series"]

_ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.arange(-8, 5))
_SHOWN = 200


class SeriesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of every task on a series.

    Parameters
    ----------
    seed : int
        Seed of the input mask, and of the series if it is random.
    amplitude : float
        Largest drive for a value of 1 without bias, as a fraction of each input's range around its rest.
    bias : float
        Constant drive beside the series, in units of the amplitude. It holds a network about to switch, and breaks
        the symmetry between up and down.
    step : float
        Duration of a step on the device, s.
    samples : int
        Number of samples of every step that the readout uses.
    steps : int
        Length of the series, washout included.
    washout : int
        Number of steps at the beginning that are left out.
    round_trips : int
        Number of exchanges of a single step that are made first, to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.15
    bias: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    step: Annotated[float, Meta(gt=0.0)] = 0.05
    samples: Annotated[int, Meta(ge=1)] = 10
    steps: Annotated[int, Meta(ge=500)] = 4000
    washout: Annotated[int, Meta(ge=0)] = 200
    round_trips: Annotated[int, Meta(ge=1)] = 200

    def __post_init__(self) -> None:
        if self.washout > self.steps // 2:
            raise ValueError(f"washout is {self.washout} of {self.steps} steps; give at most half")


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
    mask = InputMask(amplitude=settings.amplitude, offset=settings.bias, kind="uniform", seed=settings.seed)
    presented = await present_series(
        problem.u,
        substrate,
        mask,
        settings.round_trips,
        on_progress,
        step=settings.step,
        samples=settings.samples,
    )
    score = partial(
        score_regression,
        washout=settings.washout,
        metric=problem.metric,
        total=problem.total,
        alphas=_ALPHAS,
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
        problem.title, presented.exchanges, presented.outputs, sentence=problem.sentence, curves=drawn
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
