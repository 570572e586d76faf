"""Layers of resistors and ideal diodes as a simulator: repeatable, restorable, refusing; imperfections and training."""

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits

from inmateria.adapters import connect
from inmateria.simulators import LayerImperfections, LayersTraining, ResistiveLayers
from inmateria.substrate import StimulusRejected, UnknownSubstrate

Floats = npt.NDArray[np.float64]

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.uniform(0, 1, (23, 6)), GENERATOR.uniform(-1, 1, (23, 3))
REAL: dict[str, Any] = {"bias": 1e-2, "spread": 0.1, "levels": 200}


def make(sizes: str = "6-10-3", seed: int = 2, **options: Any) -> ResistiveLayers:
    return ResistiveLayers(sizes, seed, **{"gain": 10.0, "nudge": 0.1, "tolerance": 1e-6} | options)


def digits() -> tuple[Floats, Floats, Floats, Floats]:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


def test_channels_limits_and_first_conductances_are_as_published() -> None:
    network = ResistiveLayers("784-1024-10")
    info = network.info
    names = [channel.name for channel in info.inputs]
    assert names[0], names[783:785] == ("u00", ["u783", "l00"])
    assert names[-1] == "learn"
    assert [channel.name for channel in info.outputs[:11]] == [f"o{k:02d}" for k in range(10)] + ["h0000"]
    assert len(info.outputs) == 1034
    assert info.rest == (0.0,) * 795
    assert info.parameters["rates"] == "0.006,0.006"
    assert info.parameters["gain"] == 480.0
    for weights, fan in zip(network.weights, (1568, 1024), strict=True):
        assert len(weights) == fan
        assert 0.4 < (weights == 0).mean() < 0.6
        assert weights.max() == pytest.approx(fan**-0.5, rel=0.01)
    hidden = network.operating_points(np.random.default_rng(0).uniform(0, 1, (20, 784)))[:, :1024]
    assert (hidden[:, ::2] >= 0).all()
    assert (hidden[:, 1::2] <= 0).all()
    deep = ResistiveLayers("784-1024-1024-1024-10").info.parameters
    assert (deep["gain"], deep["rates"]) == (4000.0, "0.005,0.02,0.08,0.005")


@pytest.mark.parametrize("options", [{}, {"imperfections": REAL}, {"update": "sign"}, {"sweeps": 4}], ids=str)
def test_a_training_is_the_same_by_stimuli_and_in_one_loop(options: dict[str, Any]) -> None:
    one, other = make(**options), make(**options)
    training = one.fit(X, Y, epochs=2, batch=1, shuffle=False)
    errors = []
    drive = np.column_stack((X, Y, np.ones(len(X))))
    for _ in range(2):
        response = other.advance(other.info.stimulus(drive))
        assert response.signal is not None
        errors.append(np.sqrt(np.mean((response.signal[:, 0, :3] - Y) ** 2)))
    assert training.error == pytest.approx(np.array(errors), rel=1e-3)
    for ours, theirs in zip(one.weights, other.weights, strict=True):
        assert np.quantile(np.abs(ours - theirs), 0.98) < 1e-4  # a sign may differ where there is no difference
    assert one.clock == pytest.approx(other.clock)
    assert one.energy == pytest.approx(other.energy, rel=1e-3)
    assert training.energy == pytest.approx(one.energy)


@pytest.mark.parametrize("options", [{}, {"imperfections": REAL | {"remainder": "stochastic"}}], ids=["ideal", "real"])
def test_the_same_calls_give_the_same_bits(options: dict[str, Any]) -> None:
    one, other, third = (make(**options) for _ in range(3))
    stimulus = one.info.stimulus(np.column_stack((X, Y, np.linspace(0, 1, len(X)))))
    for network in (one, other):
        network.fit(X, Y, epochs=3)
        network.advance(stimulus)
    third.fit(X, Y, epochs=3)
    state = third.state
    third.fit(X, Y, epochs=2)
    third.restore(state)
    for again in (third.copy(), pickle.loads(pickle.dumps(third)), third):
        again.predict(X)  # changes nothing
        again.advance(stimulus)
        assert all(map(np.array_equal, again.weights, one.weights))
        assert all(map(np.array_equal, again.currents, one.currents))
        assert (again.energy, again.clock) == (one.energy, one.clock)
    assert all(map(np.array_equal, one.weights, other.weights))
    one.reset(noise="repeat")
    one.fit(X, Y, epochs=3)
    one.advance(stimulus)
    assert all(map(np.array_equal, one.weights, other.weights))
    one.reset()
    assert all(map(np.array_equal, one.weights, make(**options).weights))
    assert (one.energy, one.clock) == (0.0, 0.0)
    assert not any(each.any() for each in one.currents)


def test_responses_are_the_free_state_and_learn_is_a_factor_on_the_rate() -> None:
    changes = []
    for learn in (0.0, 0.5, 1.0):
        network = make()
        before = network.weights
        expected = network.operating_points(X[:1])[0]
        signal = network.advance(network.info.stimulus([*X[0], *Y[0], learn])).signal
        assert signal is not None
        assert np.abs(signal[0, 0, :3] - expected[10:]).max() < 1e-5
        assert np.abs(signal[0, 0, 3:] - expected[:10]).max() < 1e-5
        changes.append(network.weights[0] - before[0])
    assert not changes[0].any()
    free = make().weights[0] > 0.05
    assert changes[1][free] == pytest.approx(0.5 * changes[2][free], rel=1e-2, abs=1e-6)
    one, other = make(), make()
    drive = [*X[0], *Y[0], 1.0]
    long = one.advance(one.info.stimulus(drive, 5e-4)).signal
    short = other.advance(other.info.stimulus([drive] * 5)).signal
    assert long is not None
    assert short is not None
    assert long.shape == (1, 5, 13)
    assert (long[0] == short[:, 0]).all()
    assert all(map(np.array_equal, one.weights, other.weights))
    with pytest.raises(StimulusRejected):
        one.info.stimulus([*X[0], *Y[0], 1.5])


def test_predictions_are_the_equilibrium_within_the_tolerance() -> None:
    for tolerance, precision in ((1e-3, "single"), (1e-6, "single")):
        network = make("6-30-20-3", tolerance=tolerance, precision=precision)
        network.fit(X, Y, epochs=2)
        exact = network.operating_points(X)[:, -3:]
        assert np.abs(network.predict(X) - exact).max() < tolerance
    assert np.abs(make(sweeps=1).predict(X) - make().operating_points(X)[:, -3:]).max() > 1e-6


def test_levels_spread_and_signs_are_kept() -> None:
    for remainder in ("kept", "lost", "stochastic"):
        network = make(imperfections={"levels": 11, "remainder": remainder}, largest="0.5,1.0", rates=1e-3)
        first = network.weights
        network.fit(X, Y, epochs=2)
        for edges, most in zip(network.conductances, (0.5, 1.0), strict=True):
            position = edges / (most / 10)
            assert position == pytest.approx(np.rint(position), abs=1e-4)
            assert edges.max() <= most + 1e-6
        beside = max(np.abs(a - b).max() for a, b in zip(network.weights, network.conductances, strict=True))
        assert (beside > 1e-4) == (remainder == "kept")
        assert any((a != b).any() for a, b in zip(network.weights, first, strict=True)) == (remainder != "lost")
    spread = ResistiveLayers("60-100-10", imperfections={"spread": 0.05})
    conducts = spread.weights[0] > 0
    factor = np.log(spread.conductances[0][conducts] / spread.weights[0][conducts])
    assert factor.std() == pytest.approx(0.05, rel=0.05)
    assert abs(factor.mean()) < 3e-3
    signs = make(update="sign", rates="0.01,0.02", largest=0.4)
    before = [np.maximum(each, 0.1) for each in signs.weights]
    signs.weights = before
    signs.advance(signs.info.stimulus([*X[0], *Y[0], 1.0]))
    for after, each, step in zip(signs.weights, before, (0.01, 0.02), strict=True):
        moved = np.abs(after - each)
        assert np.minimum(moved, np.abs(moved - step)).max() < 1e-6
        assert (moved > 0).any()


def test_small_changes_go_on_in_the_mean_if_rounded_at_random() -> None:
    """The mean over many edges is what continuous edges learn."""
    usual = make("6-200-3", rates=0.02)
    usual.weights = [np.full_like(each, 0.2) for each in usual.weights]
    rounded = make("6-200-3", rates=0.02, largest=1.0, imperfections={"levels": 1001, "remainder": "stochastic"})
    rounded.weights = usual.weights
    for network in (usual, rounded):
        network.advance(network.info.stimulus([*X[0], *Y[0], 1.0]))
    change, expected = (np.concatenate([w.ravel() - 0.2 for w in n.weights]) for n in (rounded, usual))
    error = 3 * np.sqrt(0.001 * np.abs(expected).sum()) / len(expected)
    assert abs(change.mean() - expected.mean()) < error
    assert np.corrcoef(change, expected)[0, 1] > 0.2


def test_a_bias_moves_edges_by_itself() -> None:
    imperfections = LayerImperfections(bias=0.5)
    ideal, biased = make("6-100-3"), make("6-100-3", imperfections=imperfections)
    for network in (ideal, biased):
        network.weights = [np.full_like(each, 0.2) for each in network.weights]
        network.advance(network.info.stimulus([*X[0], *Y[0], 1.0]))
    rate, nudge = 0.006, 0.1
    moved = (biased.weights[0] - ideal.weights[0]) / (rate / (4 * nudge))
    assert moved.std() == pytest.approx(0.5, rel=0.1)


def test_progress_is_told_and_an_interruption_leaves_everything_as_before() -> None:
    network, told = make(), []

    def stop(done: int, of: int, course: LayersTraining) -> None:
        told.append((done, of, len(course.error)))
        if len(course.error) == 2:
            raise KeyboardInterrupt

    before, clock = network.weights, network.clock
    with pytest.raises(KeyboardInterrupt):
        network.fit(X, Y, epochs=5, on_progress=stop)
    assert told == [(23, 115, 1), (46, 115, 2)]
    assert all(map(np.array_equal, network.weights, before))
    assert (network.clock, network.energy) == (clock, 0.0)
    whole: list[LayersTraining] = []
    course = network.fit(X, Y, epochs=3, on_progress=lambda done, of, so_far: whole.append(so_far))
    assert np.array_equal(whole[-1].error, course.error)
    assert network.clock == pytest.approx(3 * 23e-4) == pytest.approx(course.time)
    other = make()
    parts = np.concatenate([other.fit(X, Y, epochs=1).error for _ in range(3)])
    assert parts == pytest.approx(course.error, rel=1e-3)


def test_energy_is_the_power_of_all_states() -> None:
    network = make(nudge=1e-3)
    power = network.power(X).mean()
    training = network.fit(X, Y, epochs=1, rate=1e-6, batch=5)
    assert training.energy == pytest.approx(3 * power * training.time, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": "5"}, "sizes"),
        ({"sizes": "5-0-2"}, "sizes"),
        ({"sizes": "50000-50000-2"}, "edges"),
        ({"seed": -1}, "seed"),
        ({"gain": 0.0}, "gain"),
        ({"nudge": -1.0}, "nudge"),
        ({"sweeps": -1}, "sweeps"),
        ({"rates": "0.1,0.2,0.3"}, "rates"),
        ({"rates": "a"}, "rates"),
        ({"largest": "0.1,-1"}, "largest"),
        ({"update": "signs"}, "update"),
        ({"precision": "half"}, "precision"),
        ({"low": 2.0}, "low < high"),
        ({"imperfections": {"levels": 1}}, "levels"),
        ({"imperfections": {"spread": 4.0}}, "spread"),
        ({"imperfections": {"bias": -1.0}}, "bias"),
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResistiveLayers(**options)


def test_samples_weights_and_states_that_do_not_fit_are_refused() -> None:
    network = make()
    for x, y, message in (
        (X[:, :5], Y, "X has shape"),
        (X, Y[:, :2], "y has shape"),
        (X, Y[:5], "a label for each"),
        (2 * X, Y, "another low or high"),
        (X, 3 * Y, "label_limit"),
        (X * np.nan, Y, "nan"),
        (X, np.full(23, 3), "0 to 2"),
        (X, np.full(23, 0.5), "whole"),
    ):
        with pytest.raises(ValueError, match=message):
            network.fit(x, y)
    for options in ({"epochs": -1}, {"batch": 0}, {"rate": (1.0, 0.0)}, {"rate": (1.0, 1.0, 1.0)}):
        with pytest.raises(ValueError, match=next(iter(options))):
            network.fit(X, Y, **options)
    with pytest.raises(ValueError, match="shapes"):
        network.weights = network.weights[:1]
    with pytest.raises(ValueError, match="layer 1"):
        network.weights = [network.weights[0], -network.weights[1] - 1]
    with pytest.raises(ValueError, match="shapes"):
        network.currents = network.currents[:1]
    with pytest.raises(ValueError, match="currents=False"):
        make(currents=False).currents = [each + 1 for each in network.currents]
    with pytest.raises(ValueError, match="float64"):
        network.restore(make(precision="double").state)
    with pytest.raises(ValueError, match="neither labels nor a nudge"):
        network.operating_points(X, nudge=0.1)


def test_classes_are_labels_of_one_volt() -> None:
    one, other = make(), make()
    classes = np.arange(23) % 3
    one.fit(X, classes, epochs=1)
    other.fit(X, np.eye(3)[classes], epochs=1)
    assert all(map(np.array_equal, one.weights, other.weights))
    single = make("6-20-1", nudge=0.01)
    single.fit(X, Y[:, 0], epochs=1)
    assert single.predict(X).shape == (23, 1)


def test_it_is_reached_by_its_uri() -> None:
    device = connect("layers://?sizes=8-20-3&seed=4&imperfections.levels=128&rates=0.01,0.02&centred=false&sweeps=4")
    assert len(device.info.inputs) == 12
    assert device.info.parameters["imperfections"]["levels"] == 128
    assert device.info.kind == "resistive-layers"
    with pytest.raises(UnknownSubstrate, match="did you mean sizes"):
        connect("layers://?size=8-20-3")


@pytest.mark.slow
def test_another_process_learns_the_same_bits(tmp_path: Any) -> None:
    network = make()
    path = tmp_path / "network.pickle"
    path.write_bytes(pickle.dumps(network))
    script = (
        "import pickle, sys, numpy as np; n = pickle.load(open(sys.argv[1], 'rb'));"
        "g = np.random.default_rng(0); X = g.uniform(0, 1, (23, 6)); Y = g.uniform(-1, 1, (23, 3));"
        "n.fit(X, Y, epochs=2); pickle.dump(n.weights, open(sys.argv[1], 'wb'))"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    network.fit(X, Y, epochs=2)
    assert all(map(np.array_equal, network.weights, pickle.loads(path.read_bytes())))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"centred": False}, {"imperfections": {"levels": 128, "spread": 0.05}}],
    ids=["ideal", "one-sided", "real"],
)
def test_it_learns_digits_better_than_the_nearest_mean(options: dict[str, Any]) -> None:
    images, labels, held, expected = digits()
    network = ResistiveLayers("64-100-10", **options)
    network.fit(images, labels, epochs=30, rate=(1.0, 0.1))
    means = np.array([images[labels == k].mean(axis=0) for k in range(10)])
    nearest = ((held[:, np.newaxis] - means) ** 2).sum(axis=2).argmin(axis=1)
    control = (nearest == expected).mean()
    assert (network.predict(held).argmax(axis=1) == expected).mean() > control + 0.03
