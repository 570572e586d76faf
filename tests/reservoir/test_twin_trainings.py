"""In-silico training and direct feedback against hand-written derivatives and true gradients."""

import numpy as np
import pytest
from encoders_to_train import LIMIT, ExactTwin, Recorded, encoders, forward, make_batch
from sklearn.datasets import load_digits

from inmateria.reservoir import PhysicalStack, training_named
from inmateria.reservoir.layers.layer_twin import RandomFeatureTwin
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_feedback import DFA
from inmateria.reservoir.layers.training_twins import InSilico, PhysicsAware
from inmateria.simulators import ScatteringMedium


def still(training: InSilico | DFA | PhysicsAware, features: int, seed: int = 3) -> None:
    """Give the classifier random weights, and keep it and all standardisations as they are."""
    head, generator = training.classifier, np.random.default_rng(seed)
    head._reader.weight[:] = generator.standard_normal(head._reader.weight.shape)
    head._reader.standardise_by(np.full(features, 0.2), np.full(features, 0.5))
    head.follow = lambda features: None  # type: ignore[method-assign]
    head.step = lambda error, z: None  # type: ignore[method-assign]
    for encoder in training.encoders:
        encoder.follow = lambda rows: None  # type: ignore[method-assign]


def test_on_linear_layers_the_gradient_in_silico_is_the_analytic_one_through_the_known_matrices() -> None:
    generator = np.random.default_rng(1)
    known = [generator.standard_normal((7, 4)), generator.standard_normal((6, 3))]
    stack = encoders((5, 4), (7, 3))
    training = InSilico(
        make_twin=lambda layer, ports, features: RandomFeatureTwin(ports, features, waves=20, ridge=1e-13)
    )
    training.begin(stack, 3, 6, 0)
    still(training, 6)
    for _ in range(2):  # the layers answer, without noise, to what the training sends them
        (sent,) = training.training_presentations(make_batch(400))
        for layer, matrix in enumerate(known):
            sent.inputs.append(sent.rows)
            sent.ports.append(training.encode(layer, sent))
            sent.rows = sent.features = sent.ports[-1] @ matrix.T
            training.update_layer(layer, sent)
        training.end_pass(training._pass)
    batch, recorded = make_batch(), Recorded(training)
    assert training.training_presentations(batch.presentation(0)) == []
    training.end_pass(2)

    first, second = stack
    z1 = (batch.rows - first.mean) / first.scale
    p1 = np.tanh(z1 @ first.weight.T + first.bias)
    z2 = (p1 @ known[0].T - second.mean) / second.scale
    p2 = np.tanh(z2 @ second.weight.T + second.bias)
    reader = training.classifier._reader
    logits = (p2 @ known[1].T - reader.mean) / reader.scale @ reader.weight.T + reader.bias
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (chances - batch.targets) / len(batch.rows)
    a2 = (error @ reader.weight / reader.scale @ known[1]) * (1 - p2**2)
    a1 = (a2 @ second.weight / second.scale @ known[0]) * (1 - p1**2)
    for layer, weight, bias in ((0, a1.T @ z1, a1.sum(axis=0)), (1, a2.T @ z2, a2.sum(axis=0))):
        assert recorded.gradients[layer][0] == pytest.approx(weight, rel=1e-6, abs=1e-8)
        assert recorded.gradients[layer][1] == pytest.approx(bias, rel=1e-6, abs=1e-8)


async def test_encoders_trained_in_given_twins_cost_no_stimulus_and_are_the_same_for_any_matter() -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16.0, y[:300]
    models = [ScatteringMedium(8, 24, seed=seed, noise=0.0) for seed in (1, 2)]
    weights, scores = [], []
    for matter in (1, 11):  # the twins' own media, and others
        uris = [f"scattering://?ports=8&observables=24&seed={seed}" for seed in (matter, matter + 1)]
        training = InSilico(passes=12, twin_passes=0, make_twin=lambda layer, ports, features: ExactTwin(models[layer]))
        told: list[tuple[str, int, int]] = []
        async with PhysicalStack(uris, train=training, read="last") as stack:
            await stack.fit(X, y, lambda phase, done, of, steps, told=told: told.append((phase, done, of)))
            assert stack.stimuli_training_ == 0
            assert stack.stimuli_reading_ == 2 * 300
            scores.append(await stack.score(X, y))
        assert len(stack.information_) == 1
        assert [each for each in told if each[0] != "reading"] == [(f"pass {k}", 1, 1) for k in range(1, 13)]
        weights.append([each.weight for each in stack.encoders])
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert scores[0] > scores[1] + 0.1


async def test_in_silico_and_physics_aware_training_agree_where_the_twin_is_the_matter() -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:200] / 16.0, y[:200]
    weights = []
    for name in ("in-silico", "physics-aware"):
        media = [ScatteringMedium(6, 12, seed=seed, noise=0.0) for seed in (1, 2)]
        training = training_named(
            name,
            passes=3,
            twin_passes=0,
            batch_size=200,  # the whole, so that no batch is in the pipeline while another one is learned
            make_twin=lambda layer, ports, features, media=media: ExactTwin(media[layer]),
        )
        async with PhysicalStack(
            [f"scattering://?ports=6&observables=12&noise=0&seed={seed}" for seed in (1, 2)], train=training
        ) as stack:
            await stack.fit(X, y)
            weights.append([each.weight for each in stack.encoders])
    for in_silico, aware in zip(*weights, strict=True):
        assert in_silico == pytest.approx(aware, abs=1e-9)


def through_media(training: DFA | PhysicsAware, media: list[ScatteringMedium], batch: Batch) -> Batch:
    return forward(training.encoders, media, batch)


def test_direct_feedback_through_the_true_matrix_is_backpropagation() -> None:
    media = [ScatteringMedium(4, 7, seed=1, noise=0.0), ScatteringMedium(3, 6, seed=2, noise=0.0)]
    gradients = []
    for kind in (DFA, PhysicsAware):
        training = kind(twin_passes=0, make_twin=lambda layer, ports, features: ExactTwin(media[layer]))
        training.begin(encoders((5, 4), (7, 3)), 3, 6, 0)
        still(training, 6)
        if isinstance(training, DFA):
            training._feedback[1] = training.classifier._reader.weight
        recorded = Recorded(training)
        training.update_after_batch(through_media(training, media, make_batch()))
        gradients.append(recorded)
    assert gradients[0].flat(1) == pytest.approx(gradients[1].flat(1), rel=1e-12)
    assert abs(cosine(gradients[0].flat(0), gradients[1].flat(0))) < 0.99  # the layer before has a random matrix


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_weights_align_until_direct_feedback_is_within_ninety_degrees_of_backpropagation() -> None:
    # M. Refinetti et al., ICML 2021: the weights behind a layer align with its feedback, then its encoder descends.
    X, y = load_digits(return_X_y=True)
    X, targets = (X[:512] - X[:512].mean(axis=0)) / 16.0, np.eye(10)[y[:512]]
    angles = []
    for seed in range(4):
        media = [ScatteringMedium(12, 40, seed=10 * seed + layer, noise=0.0) for layer in range(2)]
        training = DFA(
            passes=60, twin_passes=0, make_twin=lambda layer, ports, features, media=media: ExactTwin(media[layer])
        )
        stack = encoders((64, 12), (40, 12))
        training.begin(stack, 10, 40, seed)
        followed, recorded = [adam.step for adam in training._adams], Recorded(training)
        cosines = []
        for number in range(200):
            rows = slice(64 * (number % 8), 64 * (number % 8 + 1))
            batch = Batch(0, X[rows], np.ones(64, dtype=np.intp), targets[rows])
            stack[1].follow(media[0].intensity(LIMIT * stack[0].ports(batch.rows)))
            sent = forward(stack, media, batch)
            training.update_after_batch(sent)
            feedback = dict(recorded.gradients)
            if number >= 100 and not number % 4:
                directions = [recorded.flat(layer) for layer in range(2)]
                training._backpropagate(sent, training.classifier.loss(sent.features, sent.targets)[1])
                cosines.append([cosine(directions[layer], recorded.flat(layer)) for layer in range(2)])
            for layer, follow in enumerate(followed):
                follow(feedback[layer])
        angles.append(np.degrees(np.arccos(np.mean(cosines, axis=0))))
    print(angles)
    mean, error = np.mean(angles, axis=0), np.std(angles, axis=0, ddof=1) / 2.0
    assert (mean + 3.0 * error < 90.0).all(), (mean, error)
