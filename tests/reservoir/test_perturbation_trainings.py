"""Trainings by perturbed weights: their estimates against true gradients, within standard errors."""

import numpy as np
import pytest
from encoders_to_train import LIMIT, ExactTwin, Recorded, encoders, forward, make_batch
from sklearn.datasets import load_digits

from inmateria.reservoir import PhysicalStack, training_named
from inmateria.reservoir.layers.training import Batch
from inmateria.reservoir.layers.training_perturbation import (
    SPSA,
    EvolutionStrategies,
    LocalSPSA,
    NodePerturbation,
    PerturbationTraining,
    centred_ranks,
)
from inmateria.simulators import ScatteringMedium


def estimate(training: PerturbationTraining, value, number: int = 0) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the gradient that a training follows, for a loss that is a function of all weights of one encoder."""
    (encoder,) = training.encoders
    recorded, size = Recorded(training), training.nudge * encoder.gain
    weights = np.column_stack([encoder.weight, encoder.bias])
    losses = np.array(
        [
            value((weights + side * size * training._direction(0, number, pair, weights.shape)).ravel())
            for pair in range(training.pairs)
            for side in (1.0, -1.0)
        ]
    )
    shaped = training._shaped(losses) if isinstance(training, SPSA) else losses
    training._follow(0, number, shaped)
    return recorded.flat(0)


@pytest.mark.parametrize(("kind", "fourth"), [(SPSA, 1.0), (EvolutionStrategies, 3.0)])
def test_an_estimate_on_a_quadratic_converges_to_its_gradient_as_theory_says(kind, fourth: float) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(5)
    half = generator.standard_normal((12, 12))
    curvature, bottom = half @ half.T, generator.standard_normal(12)

    def value(w: np.ndarray) -> float:
        return float(0.5 * (w - bottom) @ curvature @ (w - bottom))

    for pairs in (10, 300):
        misses = []
        for seed in range(10):
            training = kind(pairs=pairs, **({"ranks": False} if kind is EvolutionStrategies else {}))
            training.begin(encoders((3, 3)), 2, 4, seed)
            (encoder,) = training.encoders
            true = curvature @ (np.column_stack([encoder.weight, encoder.bias]).ravel() - bottom)
            misses.append(np.sum((estimate(training, value) - true) ** 2))
        # Of (g . d) d with independent entries d of variance 1: |g|^2 - g_i^2 + (E d^4 - 1) g_i^2 for each i.
        expected = (true @ true) * (len(true) - 2.0 + fourth) / pairs
        assert np.mean(misses) == pytest.approx(expected, rel=0.5)


def test_ranks_keep_the_direction_and_one_outlier_counts_for_its_rank() -> None:
    assert centred_ranks(np.array([5.0, -1.0, 1e9, 5.0])) == pytest.approx([0.0, -0.5, 0.5, 0.0])
    slope = np.random.default_rng(0).standard_normal(12)
    training = EvolutionStrategies(pairs=2000)
    training.begin(encoders((3, 3)), 2, 4, 0)
    wild = np.random.default_rng(1)

    def value(w: np.ndarray) -> float:
        return float(w @ slope) + (1e6 if wild.random() < 0.001 else 0.0)

    found = estimate(training, value)
    assert found @ slope / np.linalg.norm(found) / np.linalg.norm(slope) > 0.99
    training.ranks = False
    spoilt = estimate(training, value)
    assert spoilt @ slope / np.linalg.norm(spoilt) / np.linalg.norm(slope) < 0.9


@pytest.mark.parametrize("kind", [LocalSPSA, NodePerturbation])
def test_a_layers_own_estimate_is_its_local_gradient_on_average_though_all_layers_are_perturbed(  # type: ignore[no-untyped-def]
    kind,
) -> None:
    media = [ScatteringMedium(4, 7, seed=1, noise=0.0), ScatteringMedium(3, 6, seed=2, noise=0.0)]
    training = kind(nudge=0.01)
    training.begin(encoders((5, 4), (7, 3)), 3, 6, 0)
    generator = np.random.default_rng(2)
    for encoder, losses, features in zip(training.encoders, training._losses, (7, 6), strict=True):
        encoder.follow = lambda rows: None  # type: ignore[method-assign]
        head = losses._classifier
        head._reader.weight[:] = generator.standard_normal(head._reader.weight.shape)
        head._reader.standardise_by(np.full(features, 0.7), np.full(features, 0.3))
        head.follow = lambda features: None  # type: ignore[method-assign]
        head.step = lambda error, z: None  # type: ignore[method-assign]
    batch, recorded = make_batch(), Recorded(training)
    whole = forward(training.encoders, media, batch)
    true = []
    for layer, encoder in enumerate(training.encoders):
        z, ports = encoder.standardised(whole.inputs[layer]), whole.ports[layer]
        head, twin = training._losses[layer]._classifier, ExactTwin(media[layer])
        _, error, _ = head.loss(twin.predict(ports), batch.targets)
        inner = twin.back(ports, head.back(error)) * (1.0 - ports**2)
        true.append(np.column_stack([inner.T @ z, inner.sum(axis=0)]).ravel())
    found: list[list[np.ndarray]] = [[], []]
    for number in range(1000):
        batch.number = number
        for sent in training.training_presentations(batch):
            for layer, medium in enumerate(media):
                sent.inputs.append(sent.rows)
                sent.features = medium.intensity(LIMIT * training.encode(layer, sent))
                training.update_layer(layer, sent)
                sent.rows = sent.features
        for layer in range(2):
            found[layer].append(recorded.flat(layer))
    for layer in range(2):
        mean, error = np.mean(found[layer], axis=0), np.std(found[layer], axis=0) / np.sqrt(1000)
        misses = (mean - true[layer]) / error
        assert np.abs(misses).max() < 4.0
        assert np.mean(misses**2) == pytest.approx(1.0, abs=0.7)


def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16.0, y[:300]


@pytest.mark.parametrize(
    ("name", "is_local"),
    [("local-spsa", True), ("node-perturbation", True), ("spsa", False), ("evolution-strategies", False)],
)
async def test_a_layer_that_learns_by_itself_does_not_know_what_comes_after_it(name: str, is_local: bool) -> None:
    X, y = digits()
    weights = []
    for after in (2, 3):
        uris = [f"scattering://?ports=8&observables=24&seed={seed}" for seed in (1, after)]
        async with PhysicalStack(uris, train=training_named(name, passes=2, batch_size=50)) as stack:
            await stack.fit(X, y)
            weights.append(stack.encoders[0].weight)
    assert np.array_equal(*weights) == is_local


@pytest.mark.parametrize("kind", [SPSA, LocalSPSA, EvolutionStrategies])
async def test_all_presentations_of_a_batch_meet_the_same_weights_though_updates_come_between(  # type: ignore[no-untyped-def]
    kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = digits()
    sums: dict[int, list[np.ndarray]] = {}

    class Watched(kind):  # type: ignore[misc, valid-type]
        def encode(self, layer: int, batch: Batch) -> np.ndarray:
            ports = super().encode(layer, batch)
            if layer == 0:
                sums.setdefault(batch.number, []).append(np.arctanh(ports))
            return ports

    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr(PhysicalStack, "_rehearse", nothing)
    uris = [f"scattering://?ports=8&observables=24&seed={seed}" for seed in (1, 2, 3)]
    async with PhysicalStack(uris, train=Watched(passes=1, batch_size=50, pairs=2)) as stack:
        await stack.fit(X, y)
    assert len(sums) == 6
    for first, second, third, fourth in sums.values():
        assert first + second == pytest.approx(third + fourth, abs=1e-10)
        assert np.abs(first - third).max() > 1e-4
