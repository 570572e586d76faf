"""The ways to train against finite differences, and the pieces they are made of."""

import numpy as np
import pytest
from encoders_to_train import LIMIT, ExactTwin, Recorded, encoders, forward, make_batch

from inmateria.reservoir import training_named
from inmateria.reservoir.bottleneck.gradient_descent import Adam, cross_entropy
from inmateria.reservoir.layers.layer_twin import RandomFeatureTwin
from inmateria.reservoir.layers.training import training_summaries
from inmateria.reservoir.layers.training_local import ForwardForward, LocalCrossEntropy
from inmateria.reservoir.layers.training_twins import PhysicsAware
from inmateria.simulators import ScatteringMedium


def test_cross_entropy_and_its_gradient() -> None:
    generator = np.random.default_rng(0)
    logits, targets = generator.standard_normal((4, 3)), np.eye(3)[[0, 2, 1, 1]]
    loss, gradient = cross_entropy(logits, targets)
    by_hand = -np.mean(np.log(np.exp(logits)[targets > 0] / np.exp(logits).sum(axis=1)))
    assert loss == pytest.approx(by_hand, rel=1e-12)
    for row, column in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[row, column] = 1e-6
        difference = (cross_entropy(logits + step, targets)[0] - cross_entropy(logits - step, targets)[0]) / 2e-6
        assert gradient[row, column] == pytest.approx(difference, abs=1e-8)
    assert np.isfinite(cross_entropy(1e4 * logits, targets)[0])


def test_adam_steps_by_its_rate_and_finds_the_bottom() -> None:
    x = np.array([1.0, -2.0])
    adam = Adam([x], 0.1)
    adam.step([2.0 * x])
    assert x == pytest.approx([0.9, -1.9], abs=1e-6)
    for _ in range(400):
        adam.step([2.0 * x])
    assert x == pytest.approx([0.0, 0.0], abs=1e-2)


def test_backpropagation_through_exact_twins_is_that_of_finite_differences() -> None:
    media = [ScatteringMedium(4, 7, seed=1, noise=0.0), ScatteringMedium(3, 6, seed=2, noise=0.0)]

    stack = encoders((5, 4), (7, 3))
    training = PhysicsAware(twin_passes=0, make_twin=lambda layer, ports, features: ExactTwin(media[layer]))
    training.begin(stack, 3, 6, 0)
    head = training.classifier
    generator = np.random.default_rng(3)
    head._reader.weight[:] = generator.standard_normal(head._reader.weight.shape)
    head._reader.standardise_by(np.ones(6), np.full(6, 0.5))
    batch = make_batch()

    def loss() -> float:
        return head.loss(forward(stack, media, batch).features, batch.targets)[0]

    recorded = Recorded(training)
    head.follow = lambda features: None  # type: ignore[method-assign]
    head.step = lambda error, z: None  # type: ignore[method-assign]
    training.update_after_batch(forward(stack, media, batch))
    for layer, encoder in enumerate(stack):
        for array, gradient in zip((encoder.weight, encoder.bias), recorded.gradients[layer], strict=True):
            for index in np.ndindex(*array.shape):
                array[index] += 1e-6
                above = loss()
                array[index] -= 2e-6
                below = loss()
                array[index] += 1e-6
                assert gradient[index] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-7)


def test_a_local_classifiers_gradient_is_that_of_finite_differences() -> None:
    (encoder,) = encoders((5, 4))
    training = LocalCrossEntropy()
    training.begin([encoder], 3, 6, 0)
    head = np.random.default_rng(0).standard_normal(training._heads[0].shape)
    training._heads[0][:] = head
    training._of_heads[0].step = lambda found: None  # type: ignore[method-assign]
    batch = make_batch()
    recorded = Recorded(training)
    batch.inputs.append(batch.rows)
    training.update_layer(0, batch)

    def loss() -> float:
        return cross_entropy(encoder.ports(batch.rows) / encoder.gain @ head.T, batch.targets)[0]

    for index in np.ndindex(*encoder.weight.shape):
        encoder.weight[index] += 1e-6
        above = loss()
        encoder.weight[index] -= 2e-6
        below = loss()
        encoder.weight[index] += 1e-6
        assert recorded.gradients[0][0][index] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-8)


def test_forward_forward_shows_right_labels_wrong_ones_and_none() -> None:
    training = ForwardForward(label_amplitude=2.0)
    training.begin(encoders((8, 4)), 3, 6, 0)
    batch = make_batch()
    right, wrong = training.training_presentations(batch)
    assert np.array_equal(right.rows[:, 5:], 2.0 * batch.targets)
    assert (wrong.rows[:, 5:].sum(axis=1) == 2.0).all()
    assert not (wrong.rows[:, 5:] * batch.targets).any()
    assert np.array_equal(training.prediction_presentation(batch).rows[:, 5:], np.full((12, 3), 2.0 / 3.0))
    # A step makes right labels more active than wrong ones.
    goodness = []
    for _ in range(50):
        for shown in training.training_presentations(batch):
            shown.inputs.append(shown.rows)
            training.update_layer(0, shown)
        both = [np.mean(training.encoders[0].ports(each.rows) ** 2) for each in training.training_presentations(batch)]
        goodness.append(both[0] - both[1])
    assert goodness[-1] > goodness[0]


def test_a_twin_differentiates_as_it_predicts_and_predicts_a_medium() -> None:
    medium = ScatteringMedium(6, 12, seed=4, noise=0.0)
    generator = np.random.default_rng(0)
    ports = 0.3 * generator.standard_normal((2000, 6))
    twin = RandomFeatureTwin(6, 12, gain=0.3)
    assert not twin.fitted
    twin.add(ports[:1500], medium.intensity(LIMIT * ports[:1500]))
    twin.fit()
    assert twin.fitted
    assert twin.explained > 0.99
    told, true = twin.predict(ports[1500:]), medium.intensity(LIMIT * ports[1500:])
    assert np.mean((told - true) ** 2) < 0.01 * true.var(axis=0).mean()
    some, pull = ports[:3], generator.standard_normal((3, 12))
    gradient = twin.back(some, pull)
    for row, column in np.ndindex(3, 6):
        step = np.zeros((3, 6))
        step[row, column] = 1e-6
        difference = np.sum(pull * (twin.predict(some + step) - twin.predict(some - step))) / 2e-6
        assert gradient[row, column] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_every_training_has_a_line_on_it() -> None:
    for name, line in training_summaries():
        assert line
        assert training_named(name).batch_size > 0
