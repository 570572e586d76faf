"""Time since a stimulus, read from spikes: which of two places was stimulated, and how long ago.

The memory of several 100 ms that Sumi et al., PNAS 120, e2217008120 (2023), measured. Beside the neurons stand the
same readouts of the pulses, of which nothing is left after the first window: no readout of the present window,
linear or not, does better there than chance, .5. A delay line, which is linear and has memory, reaches 1.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.controls import Control, controls_by_step
from inmateria.protocols.outcome import Curves, Outcome, Score
from inmateria.protocols.presenting import present_trials
from inmateria.protocols.pulses import PulseSettings, steps_within, unused_by_levels
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.scoring import (
    Comparison,
    Labels,
    score_classification,
    score_regression,
)
from inmateria.protocols.task import ProgressCallback, Task
from inmateria.reservoir import PhysicalReservoir, PulseAmplitude
from inmateria.reservoir.spike_features import spike_counts
from inmateria.substrate import FloatArray, Substrate

_PULSES = "pulses alone"
_SCORED = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Times after the pulses whose scores are in the table, s; the first window is too."""


class TimerSettings(PulseSettings, frozen=True, kw_only=True):
    """Settings of `timer`, beside those of every task of pulses.

    Parameters
    ----------
    seed : int
        Of the order and the folds.
    trials : int
        In all, half at each of two places.
    electrodes : int
        At each place.
    duration : float
        Longest time after the pulses, s.
    bin : float
        Window in which spikes are counted, s; one step if that is longer.
    rest : float
        Seconds without pulses after each trial.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    trials: Annotated[int, Meta(ge=50)] = 300
    electrodes: Annotated[int, Meta(ge=1)] = 6
    duration: Annotated[float, Meta(gt=0.0)] = 1.0
    bin: Annotated[float, Meta(gt=0.0)] = 0.05
    rest: Annotated[float, Meta(ge=0.0)] = 0.5


async def tell_time(substrate: Substrate, settings: TimerSettings, on_progress: ProgressCallback) -> Outcome:
    """Stimulate one of two places, then read window by window which it was and how long ago."""
    labels = np.random.default_rng(settings.seed).permutation(np.arange(settings.trials) % 2)
    reservoir = PhysicalReservoir(substrate, step=settings.step, rest=settings.rest)
    async with reservoir:
        inputs, electrodes = len(reservoir.info.inputs), settings.electrodes
        if inputs < 2 * electrodes:
            raise ValueError(
                f"two places of {electrodes} electrodes were asked for; {reservoir.info.id} has {inputs} inputs; "
                f"give electrodes={inputs // 2} or less"
            )
        each, step = steps_within(reservoir, settings.bin), reservoir.duration_of_step
        bins = max(1, round(settings.duration / (each * step)))
        reservoir.features = spike_counts(reservoir.info)
        reservoir.encoding = PulseAmplitude(each * bins, settings.strength)
        pulses = np.zeros((settings.trials, inputs))
        pulses[labels == 0, :electrodes] = 1.0
        pulses[labels == 1, inputs - electrodes :] = 1.0
        trials = [pattern[np.newaxis] for pattern in pulses]
        targets = Targets.of_classes(labels, "place", classes=("first place", "second place"))
        presented = await present_trials(reservoir, trials, settings.round_trips, on_progress, targets=targets)
    counts = np.concatenate([X.reshape(bins, each, -1).sum(axis=1) for X in presented.responses])
    given, places = np.zeros((settings.trials, bins, inputs)), np.zeros((settings.trials, bins, 2))
    given[:, 0], places[np.arange(settings.trials), 0, labels] = pulses, 1.0
    by_window = given.reshape(-1, inputs)
    feature_sets: dict[str, FloatArray | Control] = {
        "substrate": counts,
        _PULSES: Control(lambda: [by_window], "linear"),
        **controls_by_step(by_window, places.reshape(-1, 2), counts.shape[1], seed=settings.seed),
    }
    at = np.array((np.arange(bins) + 1) * each * step, dtype=np.float64)
    scored = sorted({0, *(min(bins - 1, max(0, round(t / (each * step)) - 1)) for t in _SCORED)})
    windows, elapsed = await asyncio.to_thread(_score, feature_sets, labels, at, scored, settings, on_progress)
    which = {on: [float(window.by_target[on].mean()) for window in windows] for on in ("substrate", _PULSES)}
    scores: list[Score] = [score for k in scored for score in windows[k].scores]
    last = windows[scored[-1]]
    return last.outcome(
        "Which place, and how long ago",
        presented.exchanges,
        presented.outputs,
        sentence="One of two places was stimulated; spikes counted later were to tell which, and how long ago.",
        splitting=f"{last.splitting} Elapsed time: blocks of trials.",
        scores=(*scores, *(msgspec.structs.replace(each, metric=elapsed.metric) for each in elapsed.scores)),
        classes=("second place",),
        curves=(
            Curves(
                heading="How long it remembers",
                text=f"Accuracy of the place, read from {each * step * 1e3:g} ms of spikes; mean of the folds.",
                x_label="time since the pulses (s)",
                y_label="accuracy",
                x=tuple(at.tolist()),
                lines={on: tuple(values) for on, values in which.items()},
            ),
        ),
    )


def _score(
    feature_sets: dict[str, FloatArray | Control],
    labels: Labels,
    at: FloatArray,
    scored: Sequence[int],
    settings: TimerSettings,
    on_progress: ProgressCallback,
) -> tuple[list[Comparison], Comparison]:
    """Score the place in every window, and the elapsed time in all of them; a row is a window of a trial.

    Controls other than the pulses are scored in the windows that the table has.
    """
    windows = []
    for k, time in enumerate(at):
        on_progress("scoring", k, len(at) + 1, 0)
        windows.append(
            score_classification(
                {on: X[k :: len(at)] for on, X in feature_sets.items() if k in scored or on in ("substrate", _PULSES)},
                labels,
                readout=f"place, {time:.2g} s later",
                seed=settings.seed,
            )
        )
    elapsed = {"elapsed time (1 - NRMSE)": np.tile(at, settings.trials)}
    on_progress("scoring", len(at), len(at) + 1, 0)
    compared = score_regression(feature_sets, elapsed, seed=settings.seed)
    on_progress("scoring", len(at) + 1, len(at) + 1, 0)
    return windows, compared


TASK = Task("timer", TimerSettings, tell_time, needs="spikes", unused=unused_by_levels, validation="data")
