"""A stack of physical layers: what is sent, when, what is learned, and that all of it is repeatable."""

import asyncio

import numpy as np
import pytest
from leaky import LeakySimulator
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from inmateria.adapters import DeviceServer, EmbeddedBroker, SimulatedSubstrate, connect
from inmateria.reservoir import (
    OneToOne,
    PhysicalLayer,
    PhysicalReservoir,
    PhysicalStack,
    training_named,
    training_names,
)
from inmateria.reservoir.layers.batches import parts_of
from inmateria.reservoir.layers.port_encoder import PortEncoder, drive_of
from inmateria.reservoir.layers.training import NoTraining
from inmateria.substrate import Response, Stimulus, StimulusRejected, Substrate, SubstrateError

LAYERS = tuple(f"scattering://?ports=8&observables=24&seed={seed}" for seed in range(3))


def digits(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:count] / 16.0, y[:count]


QUICK = ("none", "bottleneck", "in-silico", "local-spsa")
"""Trainings, one of each kind, that every run of the tests tries."""


def quick(name: str) -> dict[str, int]:
    return {} if name in ("none", "bottleneck", "bottleneck-in-turn", "bottleneck-online") else {"passes": 3}


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[pytest.mark.slow] * (each not in QUICK)) for each in training_names()],
)
async def test_every_training_learns_counts_its_stimuli_and_is_repeatable(name: str) -> None:
    X, y = digits()
    found = []
    for _ in range(2):
        async with PhysicalStack(LAYERS, train=training_named(name, **quick(name)), seed=3) as stack:
            await stack.fit(X, y)
            found.append((stack.features_, [each.weight for each in stack.encoders]))
    for first, second in zip(*found, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    twice = ("forward-forward", "spsa", "local-spsa", "node-perturbation")
    presented = 16 if name == "evolution-strategies" else 2 if name in twice else 1
    passes = {"none": 0, "bottleneck-online": 1, "in-silico": 2}.get(name, 3)
    training = 2 * 400 if name == "bottleneck-in-turn" else 3 * 400 * passes * presented
    assert stack.stimuli_training_ == training
    assert stack.stimuli_reading_ == (400 if name == "bottleneck-in-turn" else 3 * 400)
    assert await_score(stack, X, y) > 0.5
    # One of each pass, and one of what the readout was trained on.
    assert len(stack.information_) == (1 if name == "bottleneck-in-turn" else passes + 1)
    for bits in stack.information_:
        assert len(bits.about_input) == len(bits.about_target) == 3
        assert min(*bits.about_input, *bits.about_target) > 0


def await_score(stack: PhysicalStack, X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(stack.readout_.predict(np.hstack(stack.features_)) == y))


@pytest.mark.parametrize("name", ["bottleneck", "bottleneck-in-turn", "bottleneck-online"])
async def test_a_bottleneck_tells_held_back_digits_better_than_random_encoders(name: str) -> None:
    X, y = digits(900)
    scores = {}
    for train in (name, "none"):
        async with PhysicalStack(LAYERS, train=train, read="last") as stack:
            await stack.fit(X[:600], y[:600])
            scores[train] = await stack.score(X[600:], y[600:])
    assert scores[name] > scores["none"] + 0.1


async def test_the_bottleneck_solved_together_and_in_turn_are_one_without_noise() -> None:
    X, y = digits()
    encoders = []
    for name in ("bottleneck", "bottleneck-in-turn"):
        layers = [f"{uri}&noise=0" for uri in LAYERS]
        async with PhysicalStack(layers, train=name) as stack:
            await stack.fit(X, y)
            encoders.append(stack.encoders)
    for together, in_turn in zip(*encoders, strict=True):
        assert together.weight == pytest.approx(in_turn.weight, abs=1e-6)
        assert together.mean == pytest.approx(in_turn.mean, abs=1e-9)


class Watched(Substrate):
    """A substrate that yields a few times while it answers, and knows how many of its kind are busy with it."""

    busy = 0
    most = 0

    def __init__(self, inner: Substrate, patience: int) -> None:
        self._inner, self._generator = inner, np.random.default_rng(patience)

    @property
    def info(self):  # type: ignore[no-untyped-def]
        return self._inner.info

    async def _apply(self, stimulus: Stimulus) -> Response:
        Watched.busy += 1
        Watched.most = max(Watched.most, Watched.busy)
        try:
            for _ in range(2 + int(self._generator.integers(5))):
                await asyncio.sleep(0)
            return await self._inner.stimulate(stimulus)
        finally:
            Watched.busy -= 1

    async def reset(self) -> None:
        await self._inner.reset()


@pytest.mark.parametrize(
    "name", ["bottleneck", "hsic", "physics-aware", "in-silico", "spsa", "node-perturbation", "forward-forward"]
)
async def test_layers_are_busy_at_once_and_it_does_not_matter_who_is_faster(name: str) -> None:
    X, y = digits(300)
    weights = []
    for patience in range(2):
        Watched.most = 0
        watched = [Watched(connect(uri), patience + 10 * k) for k, uri in enumerate(LAYERS)]
        async with PhysicalStack(watched, train=training_named(name, passes=3, batch_size=50)) as stack:
            await stack.fit(X, y)
        assert Watched.most == 3
        weights.append([each.weight for each in stack.encoders])
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


async def test_exchanges_of_three_devices_on_a_broker_overlap_in_time_and_give_the_same_bits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    X, y = digits(300)
    async with PhysicalStack(LAYERS, train=training_named("bottleneck", batch_size=50)) as stack:
        local = (await stack.fit(X, y)).features_
    async with EmbeddedBroker() as broker:
        servers = [
            DeviceServer(connect(uri), broker.uri, group="lab", name=f"layer-{k}") for k, uri in enumerate(LAYERS)
        ]
        async with servers[0], servers[1], servers[2]:
            remote = PhysicalStack([s.uri for s in servers], train=training_named("bottleneck", batch_size=50))
            async with remote:
                await remote.fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(local, remote.features_, strict=True))
    assert "cannot be read" not in caplog.text  # no device minds what is said to another
    assert len(remote.trace) == 3 * 6 * 4  # layers, batches, passes with the one that is read
    overlapping = sum(
        a.layer != b.layer and min(a.end, b.end) > max(a.begin, b.begin)
        for k, a in enumerate(remote.trace)
        for b in list(remote.trace)[k + 1 :]
    )
    assert overlapping >= 2 * 4 * 4  # in each pass at least the four batches with all layers busy


async def test_what_a_layer_with_memory_is_sent_is_what_a_reservoir_would_send() -> None:
    generator = np.random.default_rng(0)
    series = [generator.uniform(-1, 1, (steps, 2)) for steps in (3, 5, 4)]
    simulator = LeakySimulator()
    layer = PhysicalLayer(substrate=SimulatedSubstrate(simulator), hold=2, rest=0.05, amplitude=0.5)
    async with PhysicalStack([layer], train="none") as stack:
        await stack.fit(series, [0, 1, 0])
    (sent,) = simulator.applied
    encoder, info = stack.encoders[0], LeakySimulator().info
    drives = [drive_of(encoder.ports(each), info.inputs, 0.5) for each in series]
    async with PhysicalReservoir(SimulatedSubstrate(LeakySimulator()), OneToOne(hold=2), rest=0.06) as reservoir:
        features = [each async for each in reservoir.stream(drives)]
        resting = reservoir.steps_of(drives[0]) - 6
    expected = np.concatenate(
        [part for each in drives for part in (np.repeat(each, 2, axis=0), np.zeros((resting, 3)))]
    )
    assert sent == pytest.approx(expected, abs=1e-15)
    assert stack.features_[0] == pytest.approx(np.stack([each.mean(axis=0) for each in features]), abs=1e-15)


async def test_a_long_batch_goes_out_in_stimuli_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = digits(100)
    whole = PhysicalStack(LAYERS[:1], train="none")
    monkeypatch.setattr("inmateria.reservoir.layers.layer._CHUNK_VALUES", 24 * 7)
    parts = PhysicalStack(LAYERS[:1], train="none")
    async with parts:
        await parts.fit(X, y)
    monkeypatch.undo()
    async with whole:
        await whole.fit(X, y)
    # A product of fewer rows may be added up in another order: all but the last bits are the same.
    assert parts.features_[0] == pytest.approx(whole.features_[0], rel=1e-12, abs=1e-12)


async def test_series_are_averaged_over_segments() -> None:
    generator = np.random.default_rng(0)
    series = [generator.standard_normal((steps, 3)) for steps in (4, 7, 5, 9)]
    async with PhysicalStack([LAYERS[0]], train="none", segments=2) as stack:
        await stack.fit(series, list("abab"))
        assert stack.features_[0].shape == (4, 48)
        assert set(await stack.predict(series)) <= {"a", "b"}
    assert [len(part) for part in parts_of(np.zeros((5, 1)), 2)] == [3, 3]
    assert [len(part) for part in parts_of(np.zeros((1, 1)), 3)] == [1, 1, 1]


async def test_any_classifier_reads_and_progress_is_told() -> None:
    X, y = digits(200)
    told: list[tuple[str, int, int, int]] = []
    async with PhysicalStack(LAYERS[:2], LogisticRegression(max_iter=2000), read="last") as stack:
        await stack.fit(X, y, lambda *each: told.append(each))
        assert stack.readout_[-1].coef_.shape == (10, 24)
    assert {phase for phase, *_ in told} == {"pass 1", "pass 2", "reading"}
    assert all(0 < done <= of for _, done, of, _ in told)
    assert told[-1][3] == 3 * 2 * 200


class Broken(Watched):
    async def _apply(self, stimulus: Stimulus) -> Response:
        raise SubstrateError("the lamp went out")


async def test_a_layer_that_fails_stops_all_others_with_its_own_error() -> None:
    X, y = digits(100)
    async with PhysicalStack([LAYERS[0], Broken(connect(LAYERS[1]), 0)]) as stack:
        with pytest.raises(SubstrateError, match="the lamp went out"):
            await stack.fit(X, y)


async def test_ports_never_leave_the_limits() -> None:
    encoder = PortEncoder(5, 3, 100.0, np.random.default_rng(0))
    info = connect("scattering://?ports=3").info
    drive = drive_of(encoder.ports(1e9 * np.random.default_rng(1).standard_normal((50, 5))), info.inputs, 1.0)
    info.stimulus(drive)
    with pytest.raises(StimulusRejected):
        info.stimulus(drive * 1.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PhysicalStack([]), "at least one"),
        (lambda: PhysicalStack(LAYERS, train="bottelneck"), "did you mean 'bottleneck'"),
        (lambda: PhysicalStack(LAYERS, read="first"), "'all' or 'last'"),  # type: ignore[arg-type]
        (lambda: PhysicalLayer(substrate=LAYERS[0], amplitude=2.0), "at most 1"),
        (lambda: PhysicalLayer(substrate=LAYERS[0], hold=0), "at least 1"),
        (lambda: training_named("hsic", colour="red"), "does not accept these settings"),
        (lambda: training_named("in-silico", passes=2), "more than twin_passes"),
        (lambda: training_named("dfa", twin_passes=-1), "twin_passes"),
        (lambda: training_named("physics-aware", explore=np.nan), "explore"),
        (lambda: training_named("evolution-strategies", pairs=0), "pairs"),
        (lambda: training_named("node-perturbation", nudge=-0.1), "nudge"),
    ],
)
def test_settings_that_make_no_stack_are_refused(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    ("X", "y", "says"),
    [
        (np.zeros((3, 2)), [0, 1], "one label for each"),
        (np.zeros((3, 2)), [1, 1, 1], "at least two classes"),
        (np.full((3, 2), np.nan), [0, 1, 1], "not finite"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], [0, 1], "different numbers of features"),
        ([np.zeros((2, 2)), np.zeros(2)], [0, 1], "different dimensions"),
        ([], [], "samples are missing"),
    ],
)
async def test_samples_that_cannot_be_learned_are_refused_before_anything_is_sent(X, y, says: str) -> None:  # type: ignore[no-untyped-def]
    simulator = LeakySimulator()
    async with PhysicalStack([SimulatedSubstrate(simulator)]) as stack:
        with pytest.raises(ValueError, match=says):
            await stack.fit(X, y)
    assert not simulator.applied


async def test_an_untrained_stack_says_so() -> None:
    async with PhysicalStack(LAYERS[:1], train=NoTraining()) as stack:
        with pytest.raises(NotFittedError, match="call fit"):
            await stack.predict(np.zeros((2, 3)))
