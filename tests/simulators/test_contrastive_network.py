"""Networks that learn as simulators: repeatable, restorable, refusing; rules, imperfections and training."""

import dataclasses
import pickle
from typing import Any

import networkx
import numpy as np
import pytest

from inmateria.adapters import connect
from inmateria.simulators import (
    Antiparallel,
    ContrastiveNetwork,
    CoupledLearning,
    Diode,
    DirectedAging,
    EquilibriumPropagation,
    Imperfections,
    NoOperatingPoint,
    Resistor,
    SignRule,
    Transistor,
)
from inmateria.simulators.contrastive import learning, plan, warm_starts
from inmateria.simulators.contrastive.records import ContrastiveTraining
from inmateria.substrate import StimulusRejected, UnknownSubstrate

pytestmark = pytest.mark.slow  # three kernels to compile: about a minute

XOR = np.array([[0, 0], [0, 0.45], [0.45, 0], [0.45, 0.45]]), np.array([0, -0.087, -0.087, 0])
LEARN = np.column_stack((*XOR, np.ones(4)))
RULES: dict[str, Any] = {
    "coupled": CoupledLearning(),
    "sign": SignRule(),
    "one-sided": EquilibriumPropagation(centred=False),
    "centred": EquilibriumPropagation(),
    "aging": DirectedAging(),
    "desynchronous": CoupledLearning(update_probability=0.3),
}
REAL = Imperfections(bias=1e-4, noise=1e-4, spread=0.1, levels=256, leak_time=10.0, cut=0.1)


def test_the_default_is_the_machine_of_2024() -> None:
    network = ContrastiveNetwork()
    node = np.arange(16).reshape(4, 4)
    assert len(network.edges) == 32
    assert (np.bincount(network.edges.ravel()) == 4).all()
    assert network.output_nodes.tolist() == [[node[2, 2], node[0, 0]]]
    assert network.input_nodes.tolist() == [node[3, 3], node[3, 1]]
    assert network.rail_nodes.tolist() == [node[1, 1], node[1, 3]]
    assert network.info.parameters["rails"] == "5:0.11,7:0.33"
    names = [channel.name for channel in network.info.inputs]
    assert names == ["u00", "u01", "l00", "learn"]
    assert network.info.inputs[-1].levels is None
    assert network.info.rest == (0.0, 0.0, 0.0, 0.0)
    assert len(network.info.outputs) == 16 + 4


@pytest.mark.parametrize("imperfections", [Imperfections(), REAL], ids=["ideal", "real"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_training_is_the_same_bits_by_stimuli_and_in_one_loop(rule: Any, imperfections: Imperfections) -> None:
    def make() -> ContrastiveNetwork:
        return ContrastiveNetwork(seed=2, rule=rule, imperfections=imperfections)

    one, other, drive = make(), make(), LEARN.copy()
    curve = one.fit(*XOR, epochs=20, rate=(1.0, 0.25), shuffle=False)
    plus, minus = one.output_nodes[0]
    errors = []
    for factor in np.geomspace(1.0, 0.25, 20):
        drive[:, -1] = factor
        signal = other.advance(other.info.stimulus(drive)).signal
        assert signal is not None
        errors.append(np.sqrt(np.mean((XOR[1] - (signal[:, 0, plus] - signal[:, 0, minus])) ** 2)))
    assert one.clock == pytest.approx(other.clock) == pytest.approx(curve.time)
    assert (one.weights != make().weights).any()
    assert (one.weights == other.weights).all()
    assert one.energy == other.energy
    assert curve.energy == pytest.approx(one.energy)
    if not imperfections.noise:
        assert curve.error == pytest.approx(np.array(errors), rel=1e-12)
    one.fit(XOR[0][::-1], XOR[1][::-1], epochs=1, shuffle=False)
    for row in LEARN[::-1]:
        other.advance(other.info.stimulus(row))
    assert (one.weights == other.weights).all()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_learn_is_a_factor_on_the_rate(rule: Any) -> None:
    """A part of an update is the update of a rule whose rate or step is that part of it."""
    name = "step" if isinstance(rule, SignRule) else "alpha"
    usual = float(ContrastiveNetwork(rule=rule)._learner.rule[2])
    if isinstance(rule, EquilibriumPropagation):
        usual *= rule.beta * (2 if rule.centred else 1)
    elif isinstance(rule, CoupledLearning):
        usual *= rule.eta
    one = ContrastiveNetwork(seed=2, rule=rule)
    other = ContrastiveNetwork(seed=2, rule=dataclasses.replace(rule, **{name: 0.25 * usual}))
    first = one.weights
    one.advance(one.info.stimulus(LEARN * [1, 1, 1, 0.25]))
    other.advance(other.info.stimulus(LEARN))
    assert (one.weights != first).any()
    assert one.weights == pytest.approx(other.weights, rel=1e-12)


def test_a_sign_rule_that_loses_remainders_learns_whole_steps_only() -> None:
    lost = Imperfections(levels=64, remainder="lost")
    with pytest.raises(StimulusRejected, match="levels"):
        ContrastiveNetwork(rule=SignRule(), imperfections=lost).info.stimulus([0, 0, 0, 0.5])
    for network in (
        ContrastiveNetwork(rule=SignRule(), imperfections=Imperfections(levels=64)),
        ContrastiveNetwork(imperfections=lost),
        ContrastiveNetwork(rule=SignRule()),
    ):
        network.info.stimulus([0, 0, 0, 0.5])


def test_warm_starts_are_bounded_and_do_not_depend_on_how_inputs_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_starts, "_MOST_CELLS", 64)
    X = np.random.default_rng(0).uniform(0, 0.4, (200, 2))
    drive = np.column_stack((np.concatenate((X, X)), np.zeros(400), np.full(400, 0.5)))
    networks = [ContrastiveNetwork(seed=3) for _ in range(3)]
    networks[0].advance(networks[0].info.stimulus(drive))
    for part in np.split(drive, [1, 2, 90, 91, 399]):
        networks[1].advance(networks[1].info.stimulus(part))
    networks[2].fit(X, np.zeros(200), epochs=2, rate=0.5, shuffle=False)
    for network in networks:
        assert (network.weights == networks[0].weights).all()
        assert network.energy == networks[0].energy
        assert 50 < network._warm.used[0] <= 64


@pytest.mark.parametrize("edges", [Resistor(), Transistor(), Diode(), Antiparallel()], ids=lambda e: type(e).__name__)
def test_the_same_sequence_gives_the_same_bits(edges: Any) -> None:
    def make() -> ContrastiveNetwork:
        return ContrastiveNetwork(seed=3, edges=edges, imperfections=REAL)

    one, other, third = make(), make(), make()
    for network in (one, other):
        network.fit(*XOR, epochs=30)
        network.advance(network.info.stimulus(LEARN))
    third.fit(*XOR, epochs=30)
    state = third.state
    third.fit(*XOR, epochs=5)
    third.restore(state)
    for again in (third.copy(), pickle.loads(pickle.dumps(third)), third):
        again.predict(XOR[0])  # changes nothing
        again.advance(again.info.stimulus(LEARN))
        assert (again.weights == one.weights).all()
        assert (again.settings == one.settings).all()
        assert (again.energy, again.clock) == (one.energy, one.clock)
    assert (one.weights == other.weights).all()
    first = make().weights
    one.reset()
    assert (one.weights == first).all()
    assert (one.clock, one.energy) == (0.0, 0.0)


def test_without_learn_nothing_moves_and_a_long_step_is_several_updates() -> None:
    network = ContrastiveNetwork(seed=1)
    before = network.weights
    quiet = LEARN.copy()
    quiet[:, -1] = 0
    network.advance(network.info.stimulus(quiet, 5e-4))
    assert (network.weights == before).all()
    one, other = ContrastiveNetwork(seed=1), ContrastiveNetwork(seed=1)
    long = one.advance(one.info.stimulus(LEARN[1], 5e-4)).signal
    short = other.advance(other.info.stimulus(np.tile(LEARN[1], (5, 1)))).signal
    assert long is not None
    assert short is not None
    assert long.shape == (1, 5, 20)
    assert (long[0] == short[:, 0]).all()
    assert (one.weights == other.weights).all()
    assert (one.weights != before).all()
    for factor in (-0.1, 1.1):
        with pytest.raises(StimulusRejected, match="learn"):
            one.info.stimulus([0, 0, 0, factor])


def test_it_learns_exclusive_or_and_forgets_nothing_by_predicting() -> None:
    network = ContrastiveNetwork(seed=1, rule=CoupledLearning(eta=0.1, alpha=2.0))
    training = network.fit(*XOR, epochs=10_000)
    assert training.error[-1] < 5e-3
    assert network.predict(XOR[0])[:, 0] == pytest.approx(XOR[1], abs=5e-3)
    assert training.error.min() < 0.1 * training.error[0]


def test_exclusive_or_from_starts_that_fail_at_a_constant_rate() -> None:
    """Of starts 0 to 19, eleven come below 5 mV at a constant rate, eighteen with one that falls."""
    errors = []
    for seed in (2, 3, 6):
        network = ContrastiveNetwork(seed=seed, rule=CoupledLearning(eta=0.1, alpha=2.0))
        errors.append(network.fit(*XOR, epochs=40_000, rate=(16.0, 1.0)).error[-1])
        assert network._learner.rule[2] == 2.0 / 0.1
    assert max(errors) < 5e-3


LOST = Imperfections(levels=64, remainder="lost")
MANY: dict[str, tuple[Any, Any, Any]] = {
    **{f"{name}, transistor": (rule, Transistor(), Imperfections()) for name, rule in RULES.items()},
    **{f"{name}, real": (rule, Transistor(), REAL) for name, rule in RULES.items()},
    "lost": (SignRule(), Resistor(weight="resistance", low=781.25, high=1e5), LOST),
    "resistor": (CoupledLearning(alpha=1e-3), Resistor(), Imperfections()),
    "diode": (EquilibriumPropagation(beta=1e-9, alpha=1e-10), Diode(), Imperfections()),
    "antiparallel": (CoupledLearning(), Antiparallel(), Imperfections()),
}


@pytest.mark.parametrize("name", MANY)
def test_many_networks_learn_together_what_each_learns_alone_to_the_bit(name: str) -> None:
    rule, edges, imperfections = MANY[name]

    def make() -> list[ContrastiveNetwork]:
        networks = [
            ContrastiveNetwork(seed=seed, edges=edges, rule=rule, imperfections=imperfections if seed % 3 else REAL)
            if isinstance(edges, Transistor)
            else ContrastiveNetwork(seed=seed, edges=edges, rule=rule, imperfections=imperfections)
            for seed in range(19)
        ]
        networks[4].advance(networks[4].info.stimulus(LEARN[1:3]))  # has warm starts
        return networks

    X = np.concatenate((XOR[0], XOR[0][:1], [[0.1, 0.2]]))  # one of them twice
    Y = np.concatenate((XOR[1], [0.02, -0.03]))
    one, other = make(), make()
    for epochs in (25, 2):
        together = ContrastiveNetwork.fit_many(one, X, Y, epochs, rate=(4.0, 1.0))
        alone = [network.fit(X, Y, epochs, rate=(4.0, 1.0)) for network in other]
        for a, b, mine, own in zip(one, other, together, alone, strict=True):
            assert isinstance(mine, ContrastiveTraining)
            assert (a.weights == b.weights).all()
            assert (a.settings == b.settings).all()
            assert (mine.error == own.error).all()
            assert (mine.energy, mine.time) == (own.energy, own.time)
            assert (a.energy, a.clock) == (b.energy, b.clock)
            assert (a.state.random == b.state.random).all()
    for a, b in zip(one, other, strict=True):
        drive = a.info.stimulus(LEARN)
        assert (a.advance(drive).signal == b.advance(drive).signal).all()  # type: ignore[union-attr]


def test_networks_that_cannot_learn_together_learn_one_after_the_other_and_failures_are_named() -> None:
    unlike = [
        ContrastiveNetwork(seed=1),
        ContrastiveNetwork("4x5", seed=1),
        ContrastiveNetwork(seed=1, rule=SignRule()),
        ContrastiveNetwork(seed=1, edges=Resistor()),
    ]
    alone = [network.copy() for network in unlike]
    ContrastiveNetwork.fit_many(unlike, *XOR, 10)
    for network, other in zip(unlike, alone, strict=True):
        other.fit(*XOR, 10)
        assert (network.weights == other.weights).all()
    with pytest.raises(ValueError, match="twice"):
        ContrastiveNetwork.fit_many([unlike[0], unlike[0]], *XOR)
    assert ContrastiveNetwork.fit_many([], *XOR) == []
    betas = [1e-4, 1e-4, 10.0, 1e-4, 1e-4]  # the third has no stable state
    networks = [ContrastiveNetwork(seed=k, rule=EquilibriumPropagation(beta=beta)) for k, beta in enumerate(betas)]
    before, other = [network.weights for network in networks], networks[0].copy()
    with pytest.raises(NoOperatingPoint):
        ContrastiveNetwork.fit_many(networks, *XOR, 5)
    assert all((network.weights == weights).all() for network, weights in zip(networks, before, strict=True))
    found = ContrastiveNetwork.fit_many(networks, *XOR, 5, return_exceptions=True)
    assert [isinstance(each, NoOperatingPoint) for each in found] == [False, False, True, False, False]
    other.fit(*XOR, 5)
    assert (networks[0].weights == other.weights).all()
    assert (networks[2].weights == before[2]).all()
    assert networks[2].clock == 0.0


@pytest.mark.parametrize("edges", [Transistor(), Resistor(), Diode(), Antiparallel()], ids=lambda e: type(e).__name__)
def test_many_samples_in_lanes_are_those_found_one_by_one(edges: Any) -> None:
    network, generator = ContrastiveNetwork(edges=edges, low=-0.2), np.random.default_rng(0)
    network.cut([5])
    for choices in ([0.0, 0.01, 0.2, 1.0], [0.0, 0.01]):
        network.weights = edges.low + generator.choice(choices, 32) * (edges.high - edges.low)
        X = generator.uniform(-0.2, 0.5, (71, 2))
        one_by_one = np.array([network.operating_points(x[np.newaxis])[0] for x in X])
        assert np.abs(network.operating_points(X) - one_by_one).max() < 1e-9
        assert network.predict(X) == pytest.approx(one_by_one[:, [10]] - one_by_one[:, [0]], abs=1e-9)


@pytest.mark.parametrize("edges", [Transistor(), Resistor(), Antiparallel()], ids=lambda e: type(e).__name__)
def test_a_large_network_is_what_a_listed_elimination_gives(edges: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond 500 free nodes the elimination is in dense blocks, and factors are kept."""

    def make() -> ContrastiveNetwork:
        rule = CoupledLearning(alpha=1e-6 if isinstance(edges, Resistor) else 0.5)
        return ContrastiveNetwork("26x26", edges, inputs=4, outputs=2, rule=rule, tolerance=1e-13)

    large = make()
    assert len(large._plan.column)
    monkeypatch.setattr(plan, "_LISTED", 10_000)
    listed = make()
    assert not len(listed._plan.column)
    drive = np.random.default_rng(0).uniform(0, 0.4, (3, 7))
    drive[:, 4:6] -= 0.2
    drive[:, 6] = 1
    responses = [network.advance(network.info.stimulus(drive)).signal for network in (large, listed)]
    assert np.abs(np.subtract(*responses)[..., :676]).max() < 1e-10  # type: ignore[arg-type]
    assert large.weights == pytest.approx(listed.weights, rel=1e-7)


def test_a_linear_network_learns_what_it_can_and_equilibrium_propagation_too() -> None:
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    network = ContrastiveNetwork(
        "5x5", Resistor(), inputs=3, outputs="12,", rails="0:0.0", rule=EquilibriumPropagation(beta=1e-4, alpha=1e-7)
    )
    goal = network.copy()
    goal.weights = np.random.default_rng(5).uniform(1e-5, 1.28e-3, 50)
    Y = goal.predict(X)
    training = network.fit(X, Y, epochs=3000)
    assert training.error[-1] < 0.02 * training.error[0]


def test_levels_hold_the_edges_and_what_is_kept_between_them() -> None:
    edges = Resistor(low=1e-4, high=1.1e-3)
    for remainder in ("kept", "lost"):
        network = ContrastiveNetwork(
            edges=edges,
            seed=2,
            rule=CoupledLearning(alpha=1e-3),
            imperfections=Imperfections(levels=11, remainder=remainder),
        )
        first = network.settings
        network.advance(network.info.stimulus(LEARN))
        position = (network.settings - 1e-4) / 1e-4
        assert position == pytest.approx(np.rint(position), abs=1e-9)
        changes = np.abs(network.weights - ContrastiveNetwork.copy(network).settings)
        assert (changes.max() > 1e-6) == (remainder == "kept")
        if remainder == "lost":  # every change is far below half a level
            assert (network.settings == first).all()


def test_the_leak_is_exponential_and_ends_at_the_lowest_weight() -> None:
    network = ContrastiveNetwork(imperfections=Imperfections(leak_time=1.0))
    before = network.weights
    network.advance(network.info.stimulus(network.info.rest_drive(), 0.5))
    assert network.weights == pytest.approx(np.maximum(before * np.exp(-0.5), 1.0), rel=1e-9)
    assert (network.settings == network.weights).all()


def test_bias_noise_and_spread_are_as_wide_as_they_say() -> None:
    usual = ContrastiveNetwork("20x20", seed=4)
    alpha, eta = 2.0, 0.1
    biased = ContrastiveNetwork("20x20", seed=4, imperfections=Imperfections(bias=1e-4))
    middle = np.random.default_rng(0).uniform(2, 4, 800)
    moved = []
    for network in (usual, biased):
        network.weights = middle
        network.advance(network.info.stimulus([0.4, 0.1, 0.0, 1.0]))
        moved.append(network.weights)
    bias = (moved[1] - moved[0]) / (alpha / eta)
    assert bias.std() == pytest.approx(1e-4, rel=0.1)
    assert abs(bias.mean()) < 2e-5
    noisy = ContrastiveNetwork("20x20", seed=4, imperfections=Imperfections(noise=1e-3))
    noisy.weights = middle
    signal = noisy.advance(noisy.info.stimulus([0.4, 0.1, 0.0, 0.0])).signal
    exact = noisy.operating_points([[0.4, 0.1]])[0]
    assert signal is not None
    assert (signal[0, 0, :400] - exact).std() == pytest.approx(1e-3, rel=0.15)
    spread = ContrastiveNetwork("20x20", seed=4, imperfections=Imperfections(spread=0.2))
    assert np.log(spread._law.factor).std() == pytest.approx(0.2, rel=0.1)


def test_desynchronous_updates_move_their_fraction_of_the_edges() -> None:
    network = ContrastiveNetwork("20x20", seed=4, rule=CoupledLearning(update_probability=0.3))
    before = network.weights
    network.advance(network.info.stimulus([0.4, 0.1, 0.05, 1.0]))
    assert np.mean(network.weights != before) == pytest.approx(0.3, abs=0.06)


def test_it_learns_again_after_edges_are_cut() -> None:
    network = ContrastiveNetwork(seed=1, rule=CoupledLearning(eta=0.1, alpha=2.0))
    network.fit(*XOR, epochs=10_000)
    healthy = np.abs(network.predict(XOR[0])[:, 0] - XOR[1]).max()
    network.cut([3, 17])
    assert network.cut_edges.tolist() == [3, 17]
    hurt = np.abs(network.predict(XOR[0])[:, 0] - XOR[1]).max()
    assert hurt > 3 * healthy
    weights = network.weights
    network.fit(*XOR, epochs=4_000)
    assert np.abs(network.predict(XOR[0])[:, 0] - XOR[1]).max() < 0.7 * hurt
    assert network.weights[3] != weights[3]  # it goes on learning, without effect
    at_zero = np.flatnonzero((network.edges == 1).any(axis=1))
    before = network.cut_edges
    with pytest.raises(ValueError, match="node 1 is connected to no source"):
        network.cut(at_zero)
    assert (network.cut_edges == before).all()


def test_graphs_of_all_sorts() -> None:
    pairs = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (0, 1)])
    given = ContrastiveNetwork.from_edges(4, pairs, inputs="0,", outputs="2,", rails="3:0.1", edges="resistor")
    graph = networkx.MultiGraph(pairs.tolist())
    same = ContrastiveNetwork.from_edges(4, graph, inputs=[0], outputs=[2], rails={3: 0.1}, edges=Resistor())
    assert sorted(map(tuple, np.sort(same.edges))) == sorted(map(tuple, np.sort(given.edges)))
    random = ContrastiveNetwork(random="30x60", seed=7)
    assert random.node_count == 30
    assert len(np.unique(np.sort(random.edges), axis=0)) == 60
    assert (ContrastiveNetwork(random="30x60", seed=7).edges == random.edges).all()
    assert ContrastiveNetwork(random="6x15", seed=1).edges.shape == (15, 2)
    assert ContrastiveNetwork("2x3", edges="resistor").edges.shape == (9, 2)
    chosen = np.concatenate((random.input_nodes, random.rail_nodes, random.output_nodes.ravel()))
    assert len(np.unique(chosen)) == 6


def test_a_uri_makes_it_and_its_parameters_make_it_again() -> None:
    uri = "clln://?grid=5x4&edges=resistor&edges.levels=64&seed=3&rule=sign-rule&rule.eta=0.5&imperfections.spread=0.1"
    info = connect(uri + "&inputs=3,4&outputs=10-0,7&rails=1:0.2").info
    network = ContrastiveNetwork(
        "5x4", Resistor(levels=64), 3, SignRule(eta=0.5), imperfections=Imperfections(spread=0.1), inputs=[3, 4],
        outputs=[(10, 0), 7], rails={1: 0.2},
    )  # fmt: skip
    assert network.info == info
    assert ContrastiveNetwork(**network.info.parameters).info == info
    for count in (1, 2):
        small = ContrastiveNetwork(inputs=count, outputs=count, differential=False)
        assert ContrastiveNetwork(**small.info.parameters).info == small.info
    given = ContrastiveNetwork.from_edges(4, [(0, 1), (1, 2), (2, 3)], "0,", "2,", "3:0.1", edges="diode")
    assert ContrastiveNetwork.from_edges(**given.info.parameters).info == given.info


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        ("clln://?grid=4", "give two whole numbers"),
        ("clln://?grid=4x4&random=4x6", "give one of them"),
        ("clln://?random=10x8", "give at least 2 nodes, and 9 to 45 edges"),
        ("clln://?grid=400x400", "at most 100,000"),
        ("clln://?inputs=3,3", "node 3 was given two roles"),
        ("clln://?inputs=99,3", "there are nodes 0 to 15"),
        ("clln://?inputs=20", "need 24 nodes and there are 16"),
        ("clln://?outputs=1-2-3", "a node or a pair"),
        ("clln://?rails=a", "give voltages such as"),
        ("clln://?edges=memristor", "transistor, resistor"),
        ("clln://?edges=resistor&edges.low=1", "low < high"),
        ("clln://?edges=resistor&edges.levels=1", "give 2 or more"),
        ("clln://?edges=resistor&edges.levels=9&imperfections.levels=8", "give one of them"),
        ("clln://?low=-1", "-0.3 V or more"),
        ("clln://?rule.eta=0", "more than 0"),
        ("clln://?rule.alpha=0", "more than 0"),
        ("clln://?imperfections.cut=0.9", "at most"),
        ("clln://?imperfections.remainder=x", "'kept' or 'lost'"),
        ("clln://?seed=-1", "0 or more"),
        ("clln://?update_interval=0", "more than 0"),
        ("clln://?tolerance=1", "at most 1e-3"),
    ],
)
def test_what_makes_no_network_is_refused(uri: str, match: str) -> None:
    with pytest.raises(UnknownSubstrate, match=match):
        connect(uri)


def test_samples_and_weights_out_of_range_are_refused_and_change_nothing() -> None:
    network = ContrastiveNetwork()
    before = network.state
    calls: list[tuple[Any, str]] = [
        (lambda: network.fit(XOR[0], XOR[1][:3]), "give a label for each"),
        (lambda: network.fit(XOR[0][:, :1], XOR[1]), r"give \(samples, 2\)"),
        (lambda: network.fit(XOR[0] * 2, XOR[1]), "sample 2 of X has 0.9 V on u00"),
        (lambda: network.fit(XOR[0] * np.nan, XOR[1]), "sample 0 of X has nan V"),
        (lambda: network.fit(XOR[0], XOR[1] + 1), "sample 0 of Y has 1.0 V on l00"),
        (lambda: network.fit(*XOR, epochs=-1), "0 or more"),
        (lambda: network.fit(*XOR, rate=(1.0, 0.0)), "a factor above 0"),
        (lambda: network.fit(*XOR, rate=[1.0, 0.5, 0.2]), "a factor above 0"),
        (lambda: network.predict(np.empty((0, 2))), "at least one sample"),
        (lambda: setattr(network, "weights", np.zeros(3)), "one for each of 32 edges"),
        (
            lambda: setattr(network, "weights", np.full(32, 9.0)),
            "edge 0 was given the weight 9.0; allowed are 1.0 to 5.5 V",
        ),
        (lambda: network.cut([32]), "there are 0 to 31"),
        (lambda: ContrastiveNetwork("5x5").restore(before), "the state is of 32 edges"),
    ]
    for call, match in calls:
        with pytest.raises(ValueError, match=match):
            call()
    assert (network.weights == before.weights).all()


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (ContrastiveNetwork(tolerance=1e-300), "currents of a node add up to .* A"),
        (ContrastiveNetwork(edges="resistor", rule=EquilibriumPropagation(beta=0.1)), "no stable state"),
    ],
    ids=["tolerance", "nudge"],
)
def test_no_operating_point_is_an_error_and_leaves_the_network_as_it_was(
    network: ContrastiveNetwork, match: str
) -> None:
    before, weights = network.state, network.weights
    for call in (lambda: network.fit(*XOR, epochs=3), lambda: network.advance(network.info.stimulus(LEARN))):
        with pytest.raises(NoOperatingPoint, match=match):
            call()
        assert (network.weights == weights).all()
        assert (network.clock, network.energy) == (0.0, 0.0)
        assert network.state.warm.used == before.warm.used == 0
        assert (network.state.random == before.random).all()


def test_an_interrupted_training_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ContrastiveNetwork()
    weights, train, calls = network.weights, learning.train, []

    def interrupted(*given: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*given)

    interrupted.overloads = train.overloads  # type: ignore[attr-defined]
    monkeypatch.setattr(learning, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.fit(*XOR, epochs=20_000)
    assert len(calls) == 2
    assert (network.weights == weights).all()
    assert network.clock == 0
