"""The shipped checks pass on what is right, and each of them fails on something that breaks what it holds."""

import asyncio
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator
from sklearn.base import BaseEstimator, RegressorMixin

from inmateria.adapters import SimulatedSubstrate
from inmateria.protocols import Task, find_task
from inmateria.reservoir import (
    KalmanReadout,
    LMSReadout,
    RecursiveLeastSquares,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    RidgeReadout,
)
from inmateria.simulators import (
    ContrastiveNetwork,
    EchoStateNetwork,
    Imperfections,
    IntegerEchoStateNetwork,
    NanowireNetwork,
    NeuralCulture,
    ResistiveLayers,
    ScatteringMedium,
    Variability,
)
from inmateria.substrate import Response, Stimulus, StimulusRejected
from inmateria.testing import (
    Check,
    LeakedTasks,
    assert_no_leaked_tasks,
    check_substrate,
    check_task,
    readout_checks,
    simulator_checks,
    substrate_checks,
)


@pytest.mark.parametrize("check", substrate_checks())
def test_a_simulator_in_process_keeps_the_contract(check: Check) -> None:
    check(lambda: SimulatedSubstrate(LeakySimulator(spiking=True)))


@pytest.mark.parametrize("check", simulator_checks())
@pytest.mark.parametrize(
    "make",
    [
        LeakySimulator,
        lambda: NanowireNetwork(60, seed=3),
        lambda: NanowireNetwork(60, seed=3, variability=Variability(noise=0.1)),
        lambda: EchoStateNetwork(units=20, inputs=3, step=0.005),
        lambda: IntegerEchoStateNetwork(units=20, inputs=3, step=0.005),
        lambda: ScatteringMedium(seed=1),
        lambda: NeuralCulture(neurons=100, seed=2),
        pytest.param(lambda: ContrastiveNetwork(seed=2), marks=pytest.mark.slow),
        pytest.param(
            lambda: ContrastiveNetwork(
                edges="antiparallel", rule="sign-rule", imperfections=Imperfections(noise=1e-3, leak_time=1.0)
            ),
            marks=pytest.mark.slow,
        ),
        lambda: ResistiveLayers("3-7-2", nudge=0.1, imperfections={"levels": 64, "remainder": "stochastic"}),
    ],
    ids=[
        "leaky",
        "nanowire",
        "noisy nanowire",
        "echo",
        "integer echo",
        "scattering",
        "culture",
        "clln",
        "noisy clln",
        "layers",
    ],
)
def test_simulators_are_what_their_info_says(check: Check, make: Callable[[], object]) -> None:
    check(make)


@pytest.mark.parametrize("check", readout_checks())
@pytest.mark.parametrize(
    "make",
    [
        RidgeReadout, RidgeClassifierReadout, RecursiveLeastSquares, RecursiveLeastSquaresClassifier, KalmanReadout,
        LMSReadout,
    ],
)  # fmt: skip
def test_readouts_keep_what_a_stream_needs(check: Check, make: Callable[[], object]) -> None:
    check(make)


class Skips(SimulatedSubstrate):
    """Counts an exchange twice now and then."""

    async def _apply(self, stimulus: Stimulus) -> Response:
        if len(stimulus.drive) == 2:
            await super()._apply(stimulus)
        return await super()._apply(stimulus)


class Ahead(SimulatedSubstrate):
    """Takes a whole stream before it gives a response."""

    async def _stream(self, stimuli):  # type: ignore[no-untyped-def]
        for each in [each async for each in stimuli]:
            yield await self._apply(each)


class Swallows(SimulatedSubstrate):
    """Goes on when it is cancelled."""

    async def _stream(self, stimuli):  # type: ignore[no-untyped-def]
        async for each in stimuli:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                return
            yield await self._apply(each)


class Leaves(SimulatedSubstrate):
    """Leaves a task behind."""

    async def __aenter__(self):  # type: ignore[no-untyped-def]
        self.task = asyncio.create_task(asyncio.sleep(3600))
        return await super().__aenter__()


class NeverRests(SimulatedSubstrate):
    """Says that it can be reset, and does nothing."""

    async def reset(self) -> None:
        return


@pytest.mark.parametrize("wrong", [Skips, Ahead, Swallows, Leaves, NeverRests])
def test_a_substrate_that_breaks_the_contract_is_found(wrong: type[SimulatedSubstrate]) -> None:
    with pytest.raises((AssertionError, LeakedTasks)):
        check_substrate(lambda: wrong(LeakySimulator(spiking=True)))


class Drifting(LeakySimulator):
    """Differs from one to the next."""

    made = 0

    def __init__(self) -> None:
        super().__init__(seed=Drifting.made)
        Drifting.made += 1


def test_a_simulator_without_a_seed_is_found() -> None:
    with pytest.raises(AssertionError):
        {each.name: each for each in simulator_checks()}["the_same_seed_gives_the_same_bits"](Drifting)


class Forgets(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Assigns before it has checked."""

    def fit(self, X, y):  # type: ignore[no-untyped-def]
        self.mean_ = np.nanmean(X)
        if not np.isfinite(X).all() or len(X) != len(y):
            raise ValueError("not finite, or of different lengths")
        return self

    def predict(self, X):  # type: ignore[no-untyped-def]
        return np.full(len(X), self.mean_)


def test_a_readout_whose_failed_fit_changes_it_is_found() -> None:
    with pytest.raises(AssertionError):
        readout_checks()[0](Forgets)


async def test_a_task_that_outlives_its_block_is_found() -> None:
    with pytest.raises(LeakedTasks, match="left running"):
        async with assert_no_leaked_tasks():
            task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_adapter_can_leave_the_limits_out() -> None:
    with pytest.raises(TypeError, match="implement _apply instead"):

        class Careless(SimulatedSubstrate):
            async def stimulate(self, stimulus: Stimulus) -> Response:  # type: ignore[override, misc]
                raise StimulusRejected("never")


def test_a_task_passes_and_one_without_a_control_or_a_seed_is_found() -> None:
    memory = find_task("memory")
    short = {"steps": "500", "samples": "2", "round_trips": "2", "delays": "3", "washout": "20"}
    outcome = check_task(memory, short)
    assert outcome.scores[0].on == "substrate"

    async def alone(substrate, settings, on_progress):  # type: ignore[no-untyped-def]
        outcome = await memory.run(substrate, settings, on_progress)
        return msgspec.structs.replace(outcome, scores=outcome.scores[:1])

    async def unseeded(substrate, settings, on_progress):  # type: ignore[no-untyped-def]
        seed = int(np.random.default_rng().integers(1 << 30))
        return await memory.run(substrate, msgspec.structs.replace(settings, seed=seed), on_progress)

    for run, why in ((alone, "no control"), (unseeded, "other scores")):
        with pytest.raises(AssertionError, match=why):
            check_task(Task("mine", memory.settings, run, needs="signal"), short)
