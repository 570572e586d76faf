"""Estimators over substrates that learn: scikit-learn's checks, the least-squares optimum, and what a fit leaves."""

import asyncio
import pickle
import signal
import threading
from typing import Any

import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator
from linear_learner import INTERVAL, LinearLearner
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

from inmateria.adapters import SimulatedSubstrate
from inmateria.reservoir import ClippedInputWarning, ContrastiveClassifier, ContrastiveRegressor
from inmateria.simulators import (
    ContrastiveNetwork,
    CoupledLearning,
    EquilibriumPropagation,
    Imperfections,
    Resistor,
    SignRule,
)
from inmateria.substrate import Response, Stimulus, SubstrateError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.uniform(-0.8, 0.8, (60, 2))
Y = X @ [0.5, 0.2] + 0.02 * GENERATOR.normal(size=60)
CLASSES = np.array(["down", "up"])[(X[:, 0] > 0.1).astype(int)]
XOR = np.array([[0, 0], [0, 0.45], [0.45, 0], [0.45, 0.45]]), np.array([0, -0.087, -0.087, 0])


def volts(substrate: Any, **given: Any) -> ContrastiveRegressor:
    """Make a regressor of data that are voltages."""
    return ContrastiveRegressor(substrate, input_range="volts", label_range="volts", **given)


@pytest.mark.slow
@parametrize_with_checks(
    [
        ContrastiveRegressor("clln://?random=24x100&inputs=20", epochs=30),
        ContrastiveClassifier("clln://?random=30x120&inputs=20&outputs=4", epochs=30),
    ]
)
@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks provoke warnings on purpose
def test_scikit_learns_estimator_checks(estimator, check) -> None:  # type: ignore[no-untyped-def]
    """No check is expected to fail: spare inputs are at rest, and two to four classes have an output each."""
    assert check(estimator) is None


def test_a_linear_network_comes_to_the_least_squares_optimum() -> None:
    best = np.linalg.lstsq(X, Y, rcond=None)[0]
    model = volts(LinearLearner(), epochs=400, rate=(0.3, 0.001)).fit(X, Y)
    assert model.predict(np.eye(2) * 0.8) == pytest.approx(0.8 * best, abs=2e-4)
    residual = np.sqrt(np.mean((X @ best - Y) ** 2))
    assert model.learning_curve_[-1] == pytest.approx(residual, rel=1e-3)
    assert model.learning_curve_.min() >= residual * (1 - 1e-3)


@pytest.mark.slow
def test_our_network_comes_to_the_least_squares_optimum() -> None:
    """A star of resistors is the mean of its inputs and a rail at 0 V, weighted by the conductances."""
    network = ContrastiveNetwork.from_edges(
        4, [(0, 2), (1, 2), (3, 2)], "0,1", "2,", "3:0.0", edges=Resistor(), high=1.0,
        rule=EquilibriumPropagation(alpha=1e-7, beta=1e-5),
    )  # fmt: skip
    best = np.linalg.lstsq(X, Y, rcond=None)[0]
    model = volts(network, epochs=2000, rate=(1.0, 0.003)).fit(X, Y)
    assert model.predict(np.eye(2) * 0.8) == pytest.approx(0.8 * best, abs=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [CoupledLearning(eta=0.1, alpha=8.0), SignRule(update_probability=0.5)], ids=str)
@pytest.mark.parametrize("imperfections", [Imperfections(), Imperfections(noise=1e-4, leak_time=10.0)], ids=str)
def test_a_training_over_the_contract_is_that_of_the_compiled_loop_bit_by_bit(
    rule: Any, imperfections: Imperfections
) -> None:
    made = {"seed": 4, "rule": rule, "imperfections": imperfections}
    alone, device, factors = ContrastiveNetwork(**made), ContrastiveNetwork(**made), np.geomspace(1.0, 0.1, 300)
    training = alone.fit(*XOR, epochs=300, rate=(1.0, 0.1), shuffle=False)
    model = volts(device, epochs=300, rate=(1.0, 0.1), shuffle=False, batch=7).fit(*XOR)
    if not imperfections.noise:
        assert model.learning_curve_ == pytest.approx(training.error, rel=1e-12)
    # The estimator ends at rest: one interval more, without learning.
    alone.advance(alone.info.stimulus(alone.info.rest_drive()))
    assert (device.weights == alone.weights).all()
    assert device.energy == alone.energy

    other = ContrastiveNetwork(**made)
    orders = check_random_state(3).random_sample((300, 4)).argsort(axis=1, kind="stable")
    for order, factor in zip(orders, factors, strict=True):
        other.fit(XOR[0][order], XOR[1][order], epochs=1, rate=float(factor), shuffle=False)
    shuffled = ContrastiveNetwork(**made)
    volts(shuffled, epochs=300, rate=(1.0, 0.1), random_state=3).fit(*XOR)
    other.advance(other.info.stimulus(other.info.rest_drive()))
    assert (shuffled.weights == other.weights).all()
    assert (shuffled.weights != device.weights).any()


@pytest.mark.parametrize("batch", [1, 7, 60, 100, 10_000])
def test_how_samples_are_divided_into_stimuli_changes_nothing(batch: int) -> None:
    one, other = LinearLearner(), LinearLearner()
    a, b = (
        volts(one, epochs=5, rate=(1.0, 0.2)).fit(X, Y),
        volts(other, epochs=5, rate=(1.0, 0.2), batch=batch).fit(X, Y),
    )
    assert (one.conductance == other.conductance).all()
    assert np.concatenate(other.applied).tobytes() == np.concatenate(one.applied).tobytes()
    assert max(map(len, other.applied)) == min(batch, 300)
    assert a.learning_curve_ == pytest.approx(b.learning_curve_, rel=1e-12)
    assert (a.stimuli_, a.updates_, one.updates) == (b.stimuli_, b.updates_, other.updates) == (300, 300, 300)
    assert (a.exchanges_, b.exchanges_) == (2, -(-300 // batch) + 1)


def test_each_epoch_has_every_sample_once_and_the_rate_falls() -> None:
    device = LinearLearner()
    volts(device, epochs=4, rate=(0.8, 0.1)).fit(X, Y)
    drives = np.concatenate(device.applied)
    assert (drives[-1] == 0).all()  # at rest
    for epoch, factor in enumerate(np.geomspace(0.8, 0.1, 4)):
        part = drives[60 * epoch : 60 * (epoch + 1)]
        assert (part[:, -1] == factor).all()
        assert sorted(map(tuple, part[:, :3])) == sorted(map(tuple, np.column_stack((X, Y))))
        assert (part[:, :2] != X).any()


def test_energy_is_what_the_sources_give_in_the_free_states() -> None:
    """What the sources give is what the resistors turn into heat (Tellegen)."""
    device = LinearLearner()
    model = volts(device, epochs=3).fit(X, Y)
    assert model.energy_ == pytest.approx(device.energy, rel=1e-12)
    assert model.time_ == pytest.approx(180 * INTERVAL)
    assert "180 presentations of a sample in 2 exchanges, 180 updates; 0.18 s of the matter" in model.summary()
    silent = LinearLearner(parameters={"outputs": "3,"})
    assert np.isnan(volts(silent).fit(X, Y).energy_)


@pytest.mark.slow
def test_the_energy_of_a_network_without_learning_is_its_own() -> None:
    network = ContrastiveNetwork()
    model = volts(network, epochs=1, rate=1e-300).fit(*XOR)
    rest = np.zeros((1, 2))
    network.reset()
    quiet = np.column_stack((*XOR, np.zeros(4)))
    network.advance(network.info.stimulus(quiet))
    assert model.energy_ == pytest.approx(network.energy, rel=1e-9)
    assert network.operating_points(rest).shape == (1, 16)


def test_features_and_targets_are_scaled_into_the_ranges_of_the_channels() -> None:
    device = LinearLearner(inputs=4, outputs=2)
    data = np.column_stack((100 + 50 * X, np.full(60, 7.0)))
    targets = np.column_stack((1000 * Y, Y - 3))
    model = ContrastiveRegressor(device, epochs=200, rate=(1.0, 0.05)).fit(data, targets)
    drives = np.concatenate(device.applied[:-1])
    assert drives[:, :2].min(axis=0) == pytest.approx([-0.8, -0.8])
    assert drives[:, :2].max(axis=0) == pytest.approx([0.8, 0.8])
    assert (drives[:, 2:4] == 0).all()  # one that does not vary in the middle, one that is not used at rest
    assert drives[:, 4:6].min(axis=0) == pytest.approx([-0.25, -0.25])
    assert model.label_range_ == pytest.approx(np.array([[-0.25] * 2, [0.25] * 2]))
    assert model.predict(data).shape == (60, 2)
    assert model.score(data, targets) > 0.9
    given = ContrastiveRegressor(device, input_range=([-0.5, 0.0, 0.0], 0.7), label_range=(0.1, 0.2), epochs=1)
    given.fit(data, targets)
    assert given.input_range_ == pytest.approx(np.array([[-0.5, 0, 0.35], [0.7, 0.7, 0.35]]))
    assert given.label_range_ == pytest.approx(np.array([[0.1] * 2, [0.2] * 2]))


def test_what_lies_beyond_is_clipped_with_a_warning_and_voltages_are_refused() -> None:
    model = ContrastiveRegressor(LinearLearner(), epochs=2).fit(X, Y)
    model.predict(1.1 * X)
    with pytest.warns(
        ClippedInputWarning, match=r"2 of 3 samples .* feature 0 of sample 1 is 3, .* allowed are -1 to 1 V"
    ):
        far = model.predict([[0, 0], [3, 0], [4, 0]])
    assert far[1] == far[2]
    model = volts(LinearLearner(), epochs=2).fit(X, Y)
    with pytest.raises(ValueError, match="column 0 of X has 3 V in sample 0; the device allows -1 to 1 V"):
        model.predict([[3, 0]])


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (ContrastiveRegressor(LeakySimulator()), "a substrate that learns by itself has inputs u00"),
        (ContrastiveRegressor(3), "give a Substrate, a simulator"),
        (ContrastiveRegressor(LinearLearner(inputs=1)), "X has 2 features and linear-learner 1 inputs"),
        (ContrastiveRegressor(LinearLearner(outputs=2)), "y has 1 targets and linear-learner 2 outputs"),
        (ContrastiveRegressor(LinearLearner(parameters={})), "does not state which voltages are its outputs"),
        (ContrastiveRegressor(LinearLearner(parameters={"outputs": "99,"})), "does not state which voltages"),
        (ContrastiveRegressor(LinearLearner(levels=(0.0, 1.0)), rate=(1.0, 0.1)), r"takes \(0.0, 1.0\) as learn"),
        (ContrastiveRegressor(LinearLearner(resettable=False)), "give warm_start=True"),
        (ContrastiveRegressor(LinearLearner(), rate=2.0), "above 0 and at most 1"),
        (ContrastiveRegressor(LinearLearner(), rate=(1.0, 0.5, 0.1)), "above 0 and at most 1"),
        (ContrastiveRegressor(LinearLearner(), epochs=0), "a whole number of 1 or more"),
        (ContrastiveRegressor(LinearLearner(), batch=0), "1 or more, or None"),
        (ContrastiveRegressor(LinearLearner(), input_range=(0, 2)), "give low < high within -1 to 1 V"),
        (ContrastiveRegressor(LinearLearner(), label_range="v"), "'volts' for data that are voltages"),
        (volts(LinearLearner(), epochs=1), "column 0 of y has"),
        (ContrastiveClassifier(LinearLearner()), "Unknown label type"),
        (ContrastiveClassifier(LinearLearner(), decision="nearest"), "give 'means' or 'labels'"),
    ],
    ids=lambda each: str(each)[:40] if isinstance(each, str) else None,
)
def test_what_cannot_be_trained_is_refused_before_anything_is_sent(model: Any, match: str) -> None:
    device = model.substrate
    targets = 10 * Y if model.get_params().get("label_range") == "volts" else Y
    if isinstance(model, ContrastiveClassifier) and model.decision != "means":
        targets = CLASSES
    with pytest.raises((ValueError, SubstrateError), match=match):
        model.fit(X, targets)
    assert not getattr(device, "applied", [])
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_refused_fit_leaves_an_earlier_one() -> None:
    device = LinearLearner()
    model = volts(device, epochs=5).fit(X, Y)
    before = model.predict(X)
    for given in ((X, 10 * Y), (X[:, :1] * np.nan, Y), (np.column_stack((X, X)), Y)):
        with pytest.raises(ValueError, match=r"."):
            model.fit(*given)
        assert (model.predict(X) == before).all()


def test_two_classes_share_an_output_and_more_have_one_each() -> None:
    model = ContrastiveClassifier(LinearLearner(), epochs=30, rate=(1.0, 0.1)).fit(X, CLASSES)
    assert model.classes_.tolist() == ["down", "up"]
    assert model.class_labels_.tolist() == [[-0.25], [0.25]]
    assert model.stimuli_ == 31 * 60
    assert model.updates_ == 30 * 60
    three = np.digitize(X[:, 0], [-0.3, 0.3])
    device = LinearLearner(outputs=4)
    model = ContrastiveClassifier(device, epochs=3, decision="labels").fit(X, three)
    assert model.class_labels_ == pytest.approx(np.eye(3, 4) * 0.5 - 0.25)
    assert (model.class_outputs_ == model.class_labels_).all()
    assert (np.concatenate(device.applied[:-1])[:, 2:6] >= -0.25).all()
    with pytest.raises(ValueError, match="y has 3 classes and linear-learner 1 outputs; use a device with outputs=3"):
        ContrastiveClassifier(LinearLearner()).fit(X, three)


def test_a_prediction_is_the_class_with_the_nearest_mean_output() -> None:
    device = LinearLearner()
    model = ContrastiveClassifier(device, epochs=30, rate=(1.0, 0.1)).fit(X, CLASSES)
    drive = device.info.rest_drive(60)
    drive[:, :2] = model.input_scale_.volts(X)
    signal = device.advance(device.info.stimulus(drive)).signal
    assert signal is not None
    outputs = signal[:, 0, 3]
    means = np.array([outputs[name == CLASSES].mean() for name in model.classes_])
    assert model.class_outputs_[:, 0] == pytest.approx(means, rel=1e-12)
    assert (model.predict(X) == model.classes_[np.abs(outputs[:, np.newaxis] - means).argmin(axis=1)]).all()
    assert model.score(X, CLASSES) > 0.85


def test_a_device_may_answer_with_its_outputs_alone() -> None:
    class Plain(LinearLearner):
        def __init__(self) -> None:
            super().__init__()
            renamed = (*self.info.outputs[:3], msgspec.structs.replace(self.info.outputs[3], name="o00"))
            self.info = msgspec.structs.replace(self.info, outputs=renamed, parameters={})

        def advance(self, stimulus: Stimulus) -> Response:
            response = super().advance(stimulus)
            assert response.signal is not None
            return Response(response.signal[:, :, :4], None, response.start, response.sequence)

    one, other = volts(Plain(), epochs=5).fit(X, Y), volts(LinearLearner(), epochs=5).fit(X, Y)
    assert (one.predict(X) == other.predict(X)).all()
    assert np.isnan(one.energy_)


def test_a_warm_start_goes_on() -> None:
    one, other = LinearLearner(), LinearLearner(resettable=False)
    volts(one, epochs=10, shuffle=False).fit(X, Y)
    model = volts(other, epochs=5, shuffle=False, warm_start=True)
    model.fit(X, Y).fit(X, Y)
    assert (one.conductance == other.conductance).all()
    again = volts(one, epochs=10, shuffle=False).fit(X, Y)  # begins with a reset
    assert (one.conductance == other.conductance).all()
    assert again.updates_ == one.updates
    scaled = ContrastiveRegressor(one, epochs=2, warm_start=True).fit(X, Y)
    before = scaled.label_range_
    scaled.fit(0.5 * X, 0.5 * Y)
    assert scaled.label_range_ is before
    with pytest.raises(ValueError, match="column 0 of y has"):
        scaled.fit(X, 9 * Y)
    named = ContrastiveClassifier(one, epochs=2, warm_start=True).fit(X, CLASSES)
    with pytest.raises(ValueError, match="the fit that goes on had"):
        named.fit(X, np.arange(60) % 2)


class Watched(SimulatedSubstrate):
    """A device that counts how often it is entered and is no simulator to copy."""

    entered = 0

    async def __aenter__(self) -> "Watched":
        self.entered += 1
        return self


class Board(SimulatedSubstrate):
    """A device that fails, or rests in vain, at its exchange of that number."""

    def __init__(self, simulator: LinearLearner, fails: int) -> None:
        super().__init__(simulator)
        self._left = fails

    async def _apply(self, stimulus: Stimulus) -> Response:
        self._left -= 1
        if self._left == 0:
            raise SubstrateError("a fuse is gone")
        return await super()._apply(stimulus)


async def test_an_entered_substrate_is_left_open_and_progress_is_reported() -> None:
    device, seen = Watched(LinearLearner()), []
    async with device:
        model = volts(device, epochs=3, batch=60)
        assert await model.fit_async(X, Y, lambda *given: seen.append(given)) is model
        await model.predict_async(X, lambda *given: seen.append(given))
    assert seen == [("training", k, 3, 60 * k) for k in (1, 2, 3)] + [("reading", 1, 1, 60)]
    assert device.entered == 1
    assert model.predict(X).shape == (60,)  # the blocking form, within a running loop
    assert device.entered == 2


async def test_after_a_cancelled_training_the_device_rests_and_the_estimator_is_not_fitted() -> None:
    learner = LinearLearner()
    model = volts(SimulatedSubstrate(learner), epochs=1000, batch=60)
    await model.fit_async(X[:5], Y[:5])
    halfway = asyncio.Event()
    training = asyncio.create_task(model.fit_async(X, Y, lambda _, done, *__: done == 3 and halfway.set()))
    await halfway.wait()
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert (learner.applied[-1] == 0).all()
    assert 0 < learner.updates < 60_000
    assert (learner.conductance != LinearLearner().conductance).any()
    with pytest.raises(NotFittedError):
        await model.predict_async(X)
    assert model.get_params()["epochs"] == 1000
    await model.set_params(epochs=2).fit_async(X, Y)
    alone = LinearLearner()
    await volts(alone, epochs=2, batch=60).fit_async(X, Y)
    assert (learner.conductance == alone.conductance).all()


async def test_short_exchanges_in_process_leave_others_their_turn() -> None:
    learner, seen = LinearLearner(), set()
    training = asyncio.create_task(volts(SimulatedSubstrate(learner), epochs=20, batch=1).fit_async(X, Y))
    while not training.done():
        seen.add(learner.updates)
        await asyncio.sleep(0)  # turns are what is counted
    assert len(seen) > 1150  # of 1,200 exchanges


def test_an_interrupted_fit_ends_at_rest() -> None:
    class Interrupting(LinearLearner):
        def advance(self, stimulus: Stimulus) -> Response:
            if len(self.applied) == 2:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return super().advance(stimulus)

    learner = Interrupting()
    model = volts(learner, epochs=3000, batch=60)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in jobs of a shell
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0 < learner.updates < 180_000
    assert (learner.applied[-1] == 0).all()
    with pytest.raises(NotFittedError):
        model.predict(X)


async def test_after_a_device_failed_the_estimator_is_not_fitted(caplog: pytest.LogCaptureFixture) -> None:
    for fails in (2, 5):  # amid the training, and at its rest
        learner = LinearLearner()
        model = volts(Board(learner, fails), epochs=4, batch=60)
        with pytest.raises(SubstrateError, match="a fuse is gone"):
            await model.fit_async(X, Y)
        with pytest.raises(NotFittedError):
            await model.predict_async(X)
        assert (learner.applied[-1] == 0).all() == (fails == 2)


def test_a_clone_of_a_device_shares_it_and_one_of_a_simulator_does_not() -> None:
    device = Watched(LinearLearner())
    assert isinstance(clone(ContrastiveRegressor(device)).substrate, Watched)

    class Device(SimulatedSubstrate.__mro__[1]):  # type: ignore[name-defined,misc]
        info = LinearLearner().info

        async def _apply(self, stimulus: Stimulus) -> Response:
            raise NotImplementedError

        async def reset(self) -> None:
            raise NotImplementedError

    real = Device()
    model = ContrastiveRegressor(real, epochs=7)
    assert clone(model).substrate is real
    assert clone(model).get_params() == model.get_params()
    learner = LinearLearner()
    copied = clone(ContrastiveRegressor(learner)).fit(X, Y)
    assert copied.score(X, Y) > 0.5
    assert not learner.applied


@pytest.mark.slow
def test_a_uri_of_a_simulator_is_made_anew_and_pickled_with_its_weights() -> None:
    model = ContrastiveRegressor("clln://?seed=3", epochs=300, rate=(1.0, 0.1))
    data, targets = GENERATOR.uniform(size=(40, 2)), np.arange(40.0)
    targets = data @ [1.0, -0.5]
    first = model.fit(data, targets).predict(data)
    assert (model.fit(data, targets).predict(data) == first).all()
    assert pickle.loads(pickle.dumps(model)).predict(data) == pytest.approx(first, abs=1e-7)
    assert cross_val_score(clone(model), data, targets, cv=3).min() > 0.5
    with pytest.raises(ValueError, match="NaN"):
        model.fit(data * np.nan, targets)
    assert model.predict(data) == pytest.approx(first, abs=1e-7)
