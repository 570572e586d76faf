"""Presenting a series or trials to a substrate: checked first, timed, counted.

A trial is a series for a `PhysicalReservoir`; a long series is presented in pieces without rest between them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inmateria.one_line import one_line
from inmateria.protocols.controls import Control, controls_by_step, controls_by_trial
from inmateria.protocols.outcome import ExchangeStatistics
from inmateria.protocols.run_progress import Targets, note_reading, recorded_by
from inmateria.protocols.task import ProgressCallback
from inmateria.reservoir import PhysicalReservoir, SignalOrCounts
from inmateria.reservoir.encoding import Encoding
from inmateria.substrate import FloatArray, Substrate

__all__ = [
    "PULSE_CONTROLS",
    "SIGNAL_CONTROLS",
    "Presented",
    "measure_round_trips",
    "note_presentation",
    "present_series",
    "present_trials",
    "stream_trials",
]

SIGNAL_CONTROLS = ("masked input", "input alone")
PULSE_CONTROLS = ("pulses alone", "values alone")
"""Names of the two controls of every presentation: the encoded input, and the bare input."""

_PIECE = 100
"""Steps of a series that are presented at once."""

Learn = Callable[[int, FloatArray], Awaitable[None]]


@dataclass(frozen=True, eq=False)
class Presented:
    """Trials that were presented, and the features of the responses.

    Parameters
    ----------
    trials : list of ndarray of float, shape (steps, features)
        Input without encoding.
    drives : list of ndarray of float, shape (steps, positions x inputs)
        Encoded input, in the inputs' units: the control without the physics.
    responses : list of ndarray of float, shape (steps, features)
        Features of the substrate.
    outputs : list of str
        Output channels that the features were read from.
    exchanges : ExchangeStatistics
        Number and duration of the exchanges.
    """

    trials: list[FloatArray]
    drives: list[FloatArray]
    responses: list[FloatArray]
    outputs: list[str]
    exchanges: ExchangeStatistics

    __repr__ = one_line

    def by_step(self, controls: tuple[str, str] = SIGNAL_CONTROLS, *, seed: int = 0) -> dict[str, FloatArray | Control]:
        """Feature sets with one row for each step: the substrate's, and the controls.

        Parameters
        ----------
        controls : (str, str)
            Names of the encoded and of the bare input.
        seed : int
            Seed of the controls' weights.

        Returns
        -------
        FeatureSets
            For `score_classification` and `score_regression`.
        """
        masked, bare = controls
        substrate, drive, given = map(np.concatenate, (self.responses, self.drives, self.trials))
        return {
            "substrate": substrate,
            masked: Control(lambda: [drive], "linear"),
            bare: Control(lambda: [given], "linear"),
            **controls_by_step(drive, given, substrate.shape[1], seed=seed),
        }

    def by_trial(
        self,
        controls: tuple[str, str] = SIGNAL_CONTROLS,
        *,
        read: Literal["every step", "last step"] = "every step",
        seed: int = 0,
    ) -> dict[str, FloatArray | Control]:
        """Feature sets with one row for each trial, and the controls; all trials have the same length.

        Parameters
        ----------
        controls : (str, str)
            Names of the encoded and of the bare input.
        read : {"every step", "last step"}
            Steps of a trial that are read.
        seed : int
            Seed of the controls' weights.

        Returns
        -------
        FeatureSets
            For `score_classification` and `score_regression`.
        """
        masked, bare = controls
        substrate, drives, given = (np.array(each) for each in (self.responses, self.drives, self.trials))
        rows = np.s_[:, -1:] if read == "last step" else np.s_[:]

        def flat(X: FloatArray) -> FloatArray:
            read_of: FloatArray = X[rows].reshape(len(X), -1)
            return read_of

        features = flat(substrate)
        return {
            "substrate": features,
            masked: Control(lambda: [flat(drives)], "linear"),
            bare: Control(lambda: [flat(given)], "linear"),
            **controls_by_trial(drives, given, features.shape[1], read=read, seed=seed),
        }


async def present_series(
    series: FloatArray,
    substrate: Substrate,
    encoding: Encoding,
    round_trips: int,
    on_progress: ProgressCallback,
    *,
    step: float | None = None,
    samples: int = 1,
    targets: Targets | None = None,
) -> Presented:
    """Drive a substrate from rest with a series, and read its signal.

    Parameters
    ----------
    series : ndarray of float, shape (steps,) or (steps, features)
        Usually from -1 to 1.
    substrate : Substrate
        Substrate to drive; entered and left by this function.
    encoding : Encoding
        Turns the series into the drive, for instance ``InputMask(amplitude=0.2)``.
    round_trips : int
        Number of exchanges of a single step that are made first, to measure the round trip.
    on_progress : ProgressCallback
        Called with the progress.
    step : float, optional
        Duration of a substrate step, s; the substrate's own by default.
    samples : int, optional
        Number of samples of every step and output that are read; by default the last one only.
    targets : Targets, optional
        What is to be read out, for those who watch the run.

    Raises
    ------
    StimulusRejected
        If any part of the drive is outside the limits; nothing was applied.
    """
    u = series if series.ndim == 2 else series[:, np.newaxis]
    pieces = [u[begin : begin + _PIECE] for begin in range(0, len(u), _PIECE)]
    reservoir = PhysicalReservoir(substrate, encoding, SignalOrCounts(samples), step=step)
    async with reservoir:
        return await present_trials(reservoir, pieces, round_trips, on_progress, reset=True, targets=targets)


async def present_trials(
    reservoir: PhysicalReservoir,
    trials: Sequence[FloatArray],
    round_trips: int,
    on_progress: ProgressCallback,
    *,
    phase: str = "streaming",
    reset: bool = False,
    learn: Learn | None = None,
    targets: Targets | None = None,
) -> Presented:
    """Present trials to a reservoir, each followed by the reservoir's rest.

    Parameters
    ----------
    reservoir : PhysicalReservoir
        Reservoir that has been entered, with its encoding and features.
    trials : sequence of ndarray of float, shape (steps, features)
        Every trial is checked against the limits before the first is sent.
    round_trips : int
        Number of exchanges of a single step at rest that are made first, to measure the round trip.
    on_progress : ProgressCallback
        Called with the progress.
    phase : str
        Name of the phase for `on_progress`.
    reset : bool
        Return to rest first, if the substrate is resettable.
    learn : async callable, optional
        ``(number of the trial, features)``, awaited after every trial: an online readout.
    targets : Targets, optional
        What is to be read out of the trials, in their order, for those who watch the run.
    """
    drives = [reservoir.check(trial).reshape(len(trial), -1) for trial in trials]
    names = reservoir.feature_names  # an error if the substrate does not give these features
    if reset and reservoir.info.resettable:
        await reservoir.reset()
    await _send_rest(reservoir)  # code may be compiled at the first exchange, which is no round trip
    seconds_each = await measure_round_trips(reservoir, round_trips, on_progress)
    note_presentation(reservoir, targets, stage=phase, exchanges=len(trials))
    begun = time.perf_counter()
    responses = await stream_trials(reservoir, trials, on_progress, phase=phase, learn=learn)
    exchanges = ExchangeStatistics.measured(
        count=len(trials),
        steps=sum(map(reservoir.steps_of, trials)),
        seconds=time.perf_counter() - begun,
        round_trips=seconds_each,
    )
    outputs = list(dict.fromkeys(name.partition("@")[0] for name in names))
    return Presented(list(trials), drives, responses, outputs, exchanges)


def note_presentation(reservoir: PhysicalReservoir, targets: Targets | None, *, stage: str, exchanges: int) -> None:
    """Note, for those who watch the run, what is to be read out of the exchanges of a reservoir that follow."""
    recording, first = recorded_by(reservoir.substrate)
    positions = reservoir.encoding.positions
    note_reading(
        targets,
        stage=stage,
        recording=recording,
        first=first,
        exchanges=exchanges,
        features=reservoir.features,
        positions=positions,
        resting=round(reservoir.rest / reservoir.duration_of_step / positions),
    )


async def stream_trials(
    reservoir: PhysicalReservoir,
    trials: Sequence[FloatArray],
    on_progress: ProgressCallback,
    *,
    phase: str = "streaming",
    learn: Learn | None = None,
) -> list[FloatArray]:
    """Stream trials through a reservoir that is entered; return the features (steps, features) of each."""
    features: list[FloatArray] = []
    steps = 0
    async with aclosing(reservoir.stream(trials)) as responses:
        async for X in responses:
            if learn is not None:
                await learn(len(features), X)
            steps += reservoir.steps_of(trials[len(features)])
            features.append(X)
            on_progress(phase, len(features), len(trials), steps)
    return features


async def measure_round_trips(reservoir: PhysicalReservoir, count: int, on_progress: ProgressCallback) -> FloatArray:
    """Time exchanges of a single step at rest, made one at a time; shape (count,), s."""
    seconds = np.empty(count)
    for index in range(count):
        begun = time.perf_counter()
        await _send_rest(reservoir)
        seconds[index] = time.perf_counter() - begun
        on_progress("round trips", index + 1, count, index + 1)
    return seconds


async def _send_rest(reservoir: PhysicalReservoir) -> None:
    info = reservoir.info
    await reservoir.substrate.stimulate(info.stimulus(info.rest_drive(1), reservoir.duration_of_step))
