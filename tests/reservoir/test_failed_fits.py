"""An estimator whose fit failed predicts as before, to the last bit, or is unfitted: all estimators of the package.

Fits fail by data, by a parameter, and by an interruption at any line of the package that the fit runs through.
"""

import asyncio
import copy
import inspect
import pkgutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from leaky import LeakySimulator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import inmateria
from inmateria.adapters import SimulatedSubstrate
from inmateria.reservoir import (
    FORCEReadout,
    GaussianBottleneck,
    HSICBottleneck,
    KalmanReadout,
    LMSReadout,
    OnlineBottleneck,
    PhysicalLayer,
    PhysicalStack,
    RecursiveLeastSquares,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    RidgeReadout,
    ShiftLMSReadout,
    SpikeCounts,
    TernaryClassifierReadout,
    TernaryReadout,
    training_named,
)
from inmateria.reservoir.layers.layer_twin import RandomFeatureTwin
from inmateria.substrate import Response, Stimulus, Substrate, SubstrateError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(80, 6))
NUMBERS = X @ GENERATOR.normal(size=(6, 2)) + 0.1 * GENERATOR.normal(size=(80, 2))
LABELS = (NUMBERS[:, 0] > 0).astype(int) + (NUMBERS[:, 1] > 0)
OTHER = GENERATOR.normal(3.0, 2.0, size=(40, 6))
OTHER_NUMBERS, OTHER_LABELS = GENERATOR.normal(size=(40, 2)), np.arange(40) % 3
NAMED = pd.DataFrame(OTHER, columns=list("abcdef"))

# Each with targets of its kind, and a parameter that it refuses.
MADE: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "FORCEReadout": (FORCEReadout(), "numbers", {"alpha": -1.0}),
    "GaussianBottleneck": (GaussianBottleneck(), "numbers", {"beta": 0.5}),
    "HSICBottleneck": (HSICBottleneck(4, epochs=2, batch_size=20), "numbers", {"sigma": -1.0}),
    "KalmanReadout": (KalmanReadout(), "numbers", {"walk": -1.0}),
    "LMSReadout": (LMSReadout(), "numbers", {"rate": 3.0}),
    "ShiftLMSReadout": (ShiftLMSReadout(), "numbers", {"slowness": 0}),
    "OnlineBottleneck": (OnlineBottleneck(4), "numbers", {"ridge": -1.0}),
    "RecursiveLeastSquares": (RecursiveLeastSquares(delay=2), "numbers", {"forgetting": 2.0}),
    "RecursiveLeastSquaresClassifier": (RecursiveLeastSquaresClassifier(), "labels", {"forgetting": 2.0}),
    "RidgeClassifierReadout": (RidgeClassifierReadout(), "labels", {"validation": "none"}),
    "RidgeReadout": (RidgeReadout(), "numbers", {"validation": "none"}),
    "TernaryClassifierReadout": (TernaryClassifierReadout(2), "labels", {"planes": 3}),
    "TernaryReadout": (TernaryReadout(2), "numbers", {"planes": 3}),
}

ELSEWHERE = {
    "PhysicalStack": "below",
    "RandomFeatureTwin": "below",
    "OnlineReadoutNode": "a node of reservoirpy, whose fit begins with initialize(), and whose readout is one of these",
    "ReadoutNode": "the same",
    "LayerTwin": "a protocol",
    "OnlineRegressor": "a base class",
    "ContrastiveNetwork": "a simulator that learns; its own tests fail and interrupt its calls",
    "ResistiveLayers": "another simulator that learns",
    "ContrastiveClassifier": "an estimator of matter; its own tests fail and cancel fits",
    "ContrastiveEstimator": "its base class",
    "ContrastiveRegressor": "the same",
    "TrainingGroup": "what ContrastiveNetwork.fit_many trains at once",
    "LearningChannels": "which inputs of a device are its labels, and which makes it learn",
}


def test_every_estimator_of_the_package_is_among_those_here() -> None:
    found = set()
    for module in pkgutil.walk_packages(inmateria.__path__, "inmateria."):
        if module.name.startswith(("inmateria.reservoir", "inmateria.devices", "inmateria.protocols", "inmateria.sim")):
            for name, each in vars(import_module(module.name)).items():
                if inspect.isclass(each) and each.__module__ == module.name and not name.startswith("_"):
                    found |= {name} & {name for way in ("fit", "partial_fit", "learn") if hasattr(each, way)}
    assert found == set(MADE) | set(ELSEWHERE)


def ways(*names: str) -> list[tuple[str, str]]:
    """Every estimator with those of the methods that it has."""
    return [(estimator, way) for estimator, (made, _, _) in MADE.items() for way in names if hasattr(made, way)]


def outputs(estimator: Any) -> Any:
    """Everything that it says of known data, or the error if it is not fitted."""
    try:
        return [
            getattr(estimator, way)(X)
            for way in ("predict", "decision_function", "transform")
            if hasattr(estimator, way)
        ]
    except (NotFittedError, AttributeError):
        return "not fitted"


def check_as_before_or_unfitted(estimator: Any, before: Any, why: str) -> None:
    now = outputs(estimator)
    assert now == "not fitted" or all(np.array_equal(a, b) for a, b in zip(now, before, strict=True)), why
    if now != "not fitted":  # and it can be used further
        assert not hasattr(estimator, "feature_names_in_"), why


def fitted(name: str, count: int = 80) -> Any:
    made, kind, _ = MADE[name]
    return copy.deepcopy(made).fit(X[:count], NUMBERS[:count] if kind == "numbers" else LABELS[:count])


def failures(kind: str) -> list[tuple[Any, Any]]:
    """Data that no estimator of a kind can learn."""
    targets = OTHER_NUMBERS if kind == "numbers" else OTHER_LABELS
    damaged, endless, frame = OTHER.copy(), OTHER.copy(), NAMED.copy()
    damaged[20, 3], endless[39, 5], frame.loc[20, "c"] = np.nan, np.inf, np.nan
    wrong: list[Any] = [
        (damaged, targets),
        (endless, targets),
        (frame, targets),
        (NAMED, targets[:-1]),
        (OTHER[:, :0], targets),
        (OTHER[:0], targets[:0]),
        (OTHER[np.newaxis], targets),
        (OTHER.astype(complex) * 1j, targets),
        (np.full(OTHER.shape, "text"), targets),
        (NAMED, np.full(targets.shape, "text", dtype=object) if kind == "numbers" else OTHER_NUMBERS[:, 0]),
        (NAMED, np.where(np.arange(40) == 20, np.inf, OTHER_NUMBERS[:, 0])),
        (NAMED, None),
    ]
    return wrong


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(("name", "way"), ways("fit", "partial_fit", "learn"))
def test_data_or_a_parameter_that_is_refused_changes_nothing(name: str, way: str) -> None:
    made, kind, wrong_parameter = MADE[name]
    estimator = fitted(name)
    before = outputs(estimator)
    for number, (features, targets) in enumerate(failures(kind)):
        with pytest.raises((ValueError, TypeError)):
            getattr(estimator, way)(features, targets)
        check_as_before_or_unfitted(estimator, before, f"failure {number}")
        fresh = copy.deepcopy(made)
        with pytest.raises((ValueError, TypeError)):
            getattr(fresh, way)(
                features, targets, **({"classes": [0, 1, 2]} if way != "fit" and kind == "labels" else {})
            )
        assert outputs(fresh) == "not fitted", f"failure {number} of the first fit"
    estimator.set_params(**wrong_parameter)
    with pytest.raises(ValueError, match=next(iter(wrong_parameter))):
        getattr(estimator, way)(NAMED if way == "fit" else OTHER, OTHER_NUMBERS if kind == "numbers" else OTHER_LABELS)
    estimator.set_params(**made.get_params())
    check_as_before_or_unfitted(estimator, before, "parameter")


PACKAGE = str(Path(inmateria.__file__).parent)


class Interrupted(BaseException):
    """As KeyboardInterrupt, but it ends no test run if it escapes."""


def run_until(line: int, act: Callable[[], Any]) -> int:
    """Run a function, interrupt it at the n-th line of the package, and return how many lines there were."""
    seen = 0

    def each_line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == line:
                raise Interrupted
        return each_line

    def each_call(frame: FrameType, event: str, _: Any) -> Any:
        # Not what restores: a second interruption is another matter. Nor what takes a lock: an error in the line of a
        # `with` that is being left would keep it locked, and no signal is raised there.
        place = frame.f_code.co_filename
        ours = place.startswith(PACKAGE) and not place.endswith(("fit_transaction.py", "blas_threads.py"))
        return each_line if ours else None

    traced = sys.gettrace()
    sys.settrace(each_call)
    try:
        act()
    except Interrupted:
        pass
    finally:
        sys.settrace(traced)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), ways("fit", "partial_fit"))
def test_an_interruption_at_any_line_leaves_it_as_before_or_unfitted(name: str, way: str) -> None:
    _, kind, _ = MADE[name]
    targets = OTHER_NUMBERS if kind == "numbers" else OTHER_LABELS
    first = fitted(name)
    before = outputs(first)
    whole = copy.deepcopy(first)
    lines = run_until(0, lambda: getattr(whole, way)(OTHER, targets))
    after = outputs(whole)
    assert lines > 5
    for line in sorted({*range(1, lines + 1, max(1, lines // 25)), *range(max(1, lines - 6), lines + 1)}):
        estimator = copy.deepcopy(first)
        run_until(line, lambda e=estimator: getattr(e, way)(OTHER, targets))  # type: ignore[misc]
        now = outputs(estimator)
        known = [before, after] if line > lines - 4 else [before]  # at the end all may be done
        assert now == "not fitted" or any(
            all(np.array_equal(a, b) for a, b in zip(now, each, strict=True)) for each in known
        ), f"line {line} of {lines}"


def test_a_twin_of_a_layer_whose_fit_fails_predicts_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = RandomFeatureTwin(3, 2, waves=8)
    twin.add(0.1 * X[:, :3], NUMBERS)
    twin.fit()
    before, gradient = twin.predict(0.1 * X[:, :3]), twin.back(0.1 * X[:, :3], NUMBERS)
    twin.add(OTHER[:, :3] * np.nan, OTHER_NUMBERS)
    with pytest.raises(ValueError, match=r"NaN|infs"):
        twin.fit()
    assert np.array_equal(twin.predict(0.1 * X[:, :3]), before)
    assert np.array_equal(twin.back(0.1 * X[:, :3], NUMBERS), gradient)


class Failing(Substrate):
    """A substrate that fails, or is cancelled, at a given stimulus; it has no noise and no memory."""

    def __init__(self, inner: Substrate, error: type[BaseException] = SubstrateError) -> None:
        self._inner, self._error, self.stimuli, self.fails_at = inner, error, 0, -1
        self._lock = asyncio.Lock()

    @property
    def info(self):  # type: ignore[no-untyped-def]
        return self._inner.info

    async def _apply(self, stimulus: Stimulus) -> Response:
        self.stimuli += 1
        if self.stimuli == self.fails_at:
            raise self._error("the lamp went out")
        async with self._lock:
            await self._inner.reset()
            return await self._inner.stimulate(stimulus)

    async def reset(self) -> None:
        await self._inner.reset()


def stack_of(
    train: str, error: type[BaseException] = SubstrateError, **settings: Any
) -> tuple[PhysicalStack, list[Failing]]:
    devices = [Failing(SimulatedSubstrate(LeakySimulator(seed=seed)), error) for seed in range(2)]
    passes = {} if train in ("none", "bottleneck", "bottleneck-in-turn", "bottleneck-online") else {"passes": 3}
    training = training_named(train, batch_size=20, **passes) if train != "none" else "none"
    return PhysicalStack(devices, train=training, **settings), devices


@pytest.mark.parametrize(
    "train", ["bottleneck", "bottleneck-in-turn", "in-silico", "node-perturbation", "spsa", "none"]
)
@pytest.mark.parametrize("error", [SubstrateError, pytest.param(asyncio.CancelledError, marks=pytest.mark.slow)])
async def test_a_stack_whose_device_fails_at_any_stimulus_predicts_as_before(
    train: str, error: type[BaseException]
) -> None:
    stack, devices = stack_of(train, error)
    async with stack:
        await stack.fit(X, LABELS)
        before, features = await stack.predict(X), await stack.features(X)
        for device in devices:
            device.stimuli = 0
        await stack.fit(X, LABELS)
        whole = [device.stimuli for device in devices]
        for layer, device in enumerate(devices):
            for fails_at in sorted({1, (whole[layer] + 1) // 2, whole[layer]}):
                device.stimuli, device.fails_at = 0, fails_at
                with pytest.raises(error):
                    await stack.fit(-(X[::-1] ** 3), LABELS)
                device.fails_at = -1
                assert np.array_equal(await stack.predict(X), before), fails_at
                assert all(np.array_equal(a, b) for a, b in zip(await stack.features(X), features, strict=True)), (
                    fails_at
                )


@pytest.mark.parametrize(
    "train",
    ["bottleneck", pytest.param("bottleneck-in-turn", marks=pytest.mark.slow), "in-silico",
     pytest.param("node-perturbation", marks=pytest.mark.slow)],
)  # fmt: skip
async def test_a_stack_whose_fit_is_cancelled_at_any_batch_predicts_as_before(train: str) -> None:
    stack, _ = stack_of(train)
    async with stack:
        told: list[int] = []
        running: list[asyncio.Future[Any]] = []
        await stack.fit(X, LABELS, lambda *_: told.append(0))
        before = await stack.predict(X)
        for cancelled_at in range(1, len(told) + 1):
            count = 0

            def cancel(*_: Any, at: int = cancelled_at) -> None:
                nonlocal count
                count += 1
                if count == at:
                    running[-1].cancel()

            running.append(asyncio.ensure_future(stack.fit(-(X[::-1] ** 3), LABELS, cancel)))
            with pytest.raises(asyncio.CancelledError):
                await running[-1]
            assert np.array_equal(await stack.predict(X), before)


async def test_a_stack_whose_first_fit_failed_is_not_fitted() -> None:
    stack, (first, second) = stack_of("bottleneck")
    async with stack:
        second.fails_at = 3
        with pytest.raises(SubstrateError):
            await stack.fit(X, LABELS)
        for act in (stack.predict, stack.features, stack.transform):
            with pytest.raises(NotFittedError, match="call fit"):
                await act(X)
        assert first.stimuli > 0


async def test_a_stack_predicts_with_encoders_and_readout_of_one_fit_while_another_fit_is_on_its_way() -> None:
    stack, _ = stack_of("bottleneck")
    async with stack:
        await stack.fit(X, LABELS)
        before = await stack.predict(X)
        seen: list[Any] = []

        async def predict() -> None:
            seen.append(await stack.predict(X))

        async with asyncio.TaskGroup() as group:
            group.create_task(stack.fit(OTHER, OTHER_LABELS))
            for _ in range(5):
                await asyncio.sleep(0.002)
                group.create_task(predict())
        after = await stack.predict(X)
    assert all(np.array_equal(each, before) or np.array_equal(each, after) for each in seen)


@pytest.mark.parametrize(
    ("y", "settings", "says"),
    [
        (NUMBERS[:, 0], {}, "the targets are no classes"),
        (np.where(np.arange(80) == 40, np.nan, LABELS), {}, "the targets are no classes"),
        (NUMBERS, {}, "one label for each sample"),
        (LABELS, {"readout": RidgeReadout()}, "give a classifier"),
        (LABELS, {"readout": LogisticRegression(C=-1.0)}, "C"),
        (LABELS, {"readout": GaussianNB(priors=[0.5, 0.5])}, "priors"),
        (LABELS, {"train": training_named("bottleneck", ridge=-1.0)}, "ridge"),
        (LABELS, {"train": training_named("bottleneck-online", forgetting=2.0)}, "forgetting"),
        (LABELS, {"train": training_named("hsic", sigma=-1.0)}, "sigma"),
        (LABELS, {"train": training_named("local-ce", passes=-1)}, "passes"),
        (LABELS, {"train": training_named("local-ce", batch_size=0)}, "batch_size"),
    ],
)
async def test_what_a_stack_cannot_learn_is_refused_before_the_first_stimulus(
    y: Any, settings: dict[str, Any], says: str
) -> None:
    simulator = LeakySimulator()
    async with PhysicalStack([SimulatedSubstrate(simulator)], **settings) as stack:
        with pytest.raises(ValueError, match=says):
            await stack.fit(X, y)
    assert not simulator.applied


async def test_features_that_do_not_suit_and_classes_to_score_are_checked_before_the_first_stimulus() -> None:
    simulator = LeakySimulator()
    layer = PhysicalLayer(substrate=SimulatedSubstrate(simulator), features=SpikeCounts())
    async with PhysicalStack([layer]) as stack:
        with pytest.raises(ValueError, match="no spikes"):
            await stack.fit(X, LABELS)
    assert not simulator.applied
    stack, (first, _) = stack_of("none")
    async with stack:
        await stack.fit(X, LABELS)
        before = first.stimuli
        with pytest.raises(ValueError, match="one label for each"):
            await stack.score(X, LABELS[:-1])
        with pytest.raises(ValueError, match="no classes"):
            await stack.score(X, NUMBERS[:, 0])
        assert first.stimuli == before


@pytest.mark.parametrize(
    "train",
    [
        "bottleneck",
        "hsic",
        "physics-aware",
        "in-silico",
        "dfa",
        "spsa",
        "evolution-strategies",
        "node-perturbation",
        "none",
    ],
)
async def test_a_rehearsal_changes_no_number(train: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for rehearsed in (True, False):
        stack, _ = stack_of(train)
        if not rehearsed:

            async def nothing(*_: Any) -> None: ...

            monkeypatch.setattr(PhysicalStack, "_rehearse", nothing)
        async with stack:
            await stack.fit(X, LABELS)
            weights.append([each.weight for each in stack.encoders])
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
