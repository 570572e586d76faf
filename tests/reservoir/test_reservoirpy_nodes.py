"""Our reservoirs and readouts as nodes, against reservoirpy's own: the same models give the same numbers."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from leaky import LeakySimulator
from reservoirpy import ESN
from reservoirpy.nodes import RLS, Input, Reservoir, Ridge
from reservoirpy.observables import memory_capacity
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from inmateria.adapters import SimulatedSubstrate
from inmateria.reservoir import (
    FORCEReadout,
    KalmanReadout,
    LMSReadout,
    OneToOne,
    PhysicalReservoir,
    RecursiveLeastSquares,
    RidgeClassifierReadout,
    RidgeReadout,
    TernaryReadout,
    as_node,
    nrmse,
)
from inmateria.reservoir.reservoirpy_nodes import ReservoirNode
from inmateria.simulators import EchoStateNetwork
from inmateria.substrate import FloatArray, SubstrateInfo

UNITS = 30


def theirs(inputs: int = 1) -> Reservoir:
    return Reservoir(UNITS, sr=0.9, seed=5, input_dim=inputs)


def echo(inputs: int = 1) -> SimulatedSubstrate:
    return SimulatedSubstrate(EchoStateNetwork(units=UNITS, sr=0.9, seed=5, inputs=inputs, input_limit=100))


@pytest.fixture
def node() -> Iterator[ReservoirNode]:
    with as_node(echo()) as node:
        yield node


def task(steps: int = 400, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    u = np.random.default_rng(seed).uniform(-1, 1, (steps, 1))
    y = np.concatenate([np.zeros((2, 1)), u[:-2] * u[1:-1]])
    return u, np.hstack([y, np.roll(u, 1, axis=0)])


def test_a_model_with_ridge_learns_and_reads_as_with_reservoirpys_own(node: ReservoirNode) -> None:
    u, y = task()
    ours, own = node >> Ridge(1e-6), theirs() >> Ridge(1e-6)
    for model in (ours, own):
        model.fit(u[:300], y[:300], warmup=20)
    np.testing.assert_allclose(ours.run(u[300:]), own.run(u[300:]), atol=1e-9)
    # A second run goes on where the first ended, and after a reset it is as new.
    np.testing.assert_allclose(ours.run(u[:50]), own.run(u[:50]), atol=1e-9)
    ours.reset()
    own.reset()
    np.testing.assert_allclose(ours.run(u[:50]), own.run(u[:50]), atol=1e-9)


def test_a_model_with_rls_learns_step_by_step(node: ReservoirNode) -> None:
    u, y = task()
    ours, own = node >> RLS(), theirs() >> RLS()
    np.testing.assert_allclose(ours.partial_fit(u, y), own.partial_fit(u, y), atol=1e-6)
    np.testing.assert_allclose(ours.run(u), own.run(u), atol=1e-6)


def test_steps_run_and_step_give_the_same(node: ReservoirNode) -> None:
    u, _ = task(50)
    whole = node.run(u)
    node.reset()
    np.testing.assert_array_equal([node(x) for x in u], whole)
    np.testing.assert_array_equal(node.state["out"], whole[-1])


@pytest.mark.parametrize("workers", [1, 2, -1])
@pytest.mark.parametrize("kind", [list, np.array])
def test_series_of_a_list_each_begin_at_rest_whatever_the_workers(
    node: ReservoirNode, workers: int, kind: type
) -> None:
    pairs = [task(120, seed) for seed in range(4)]
    U, Y = kind([u for u, _ in pairs]), kind([y for _, y in pairs])
    ours, own = node >> Ridge(1e-6), theirs() >> Ridge(1e-6)
    for model in (ours, own):
        model.fit(U, Y, warmup=10)
    own.reset()
    for _ in range(2):  # the node is at rest again after a list
        for mine, other in zip(ours.run(U, workers=workers), own.run(U), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-9)
        own.reset()
    np.testing.assert_allclose(ours.run(U[0]), own.run(U[0]), atol=1e-9)
    np.testing.assert_allclose(ours.run(U[1]), own.run(U[1]), atol=1e-9)


def test_a_readout_may_be_fitted_by_several_workers(node: ReservoirNode) -> None:
    pairs = [task(120, seed) for seed in range(4)]
    U, Y = [u for u, _ in pairs], [y for _, y in pairs]
    own = (theirs() >> Ridge(1e-6)).fit(U, Y)
    with parallel_config(backend="threading"):  # processes would outlive the test
        ours = (node >> Ridge(1e-6)).fit(U, Y, workers=2)
    np.testing.assert_allclose(ours.nodes[1].Wout, own.nodes[1].Wout, atol=1e-6)


def test_a_list_after_a_single_series_needs_a_reset(node: ReservoirNode) -> None:
    u, y = task(100)
    model = (node >> Ridge(1e-6)).fit(u, y)
    with pytest.raises(RuntimeError, match="reset the model first"):
        model.run([u, u])
    model.reset()
    first, second = model.run([u, u])
    np.testing.assert_array_equal(first, second)


def test_feedback_reaches_the_input_it_is_meant_for() -> None:
    u, y = task(200)
    target = y[:, :1]
    with as_node(echo(inputs=2)) as node:
        runs = []
        for reservoir, readout in ((node, Ridge(1e-4)), (theirs(inputs=2), Ridge(1e-4))):
            model = reservoir >> readout
            model = model & (reservoir << readout)
            model.fit(u, target, warmup=10)
            model.reset()
            runs.append(model.run(u[:60]))
        np.testing.assert_allclose(runs[0], runs[1], atol=1e-9)
        # reservoirpy forgets the state after a run with feedback; the device is where it is and goes on.
        assert np.isfinite(model.run(u[60:])).all()


def test_series_of_a_model_with_feedback_each_begin_at_rest_and_are_not_mixed_up() -> None:
    u, y = task(200)
    with as_node(echo(inputs=2)) as node:
        readout = Ridge(1e-4)
        model = (node >> readout) & (node << readout)
        model.fit(u, y[:, :1])
        model.reset()
        one, two = model.run([u[:50], u[:50]])
        np.testing.assert_array_equal(one, two)
        # What two threads would do to one device: both series begin, and the first then goes on.
        model.reset()
        rest = node.state
        x = np.zeros(2)
        first = node._step(rest, x)
        node._step(rest, x)
        with pytest.raises(RuntimeError, match="runs with workers=1"):
            node._step(first, x)


def test_several_inputs_and_outputs_go_by_their_names() -> None:
    u, y = task(150)
    one, other = Input(name="a"), Input(name="b")
    with as_node(echo(inputs=2), name="matter") as node:
        model = [one, other] >> node >> [Ridge(1e-6, name="first"), Ridge(1e-6, name="second")]
        assert model.named_nodes["matter"] is node
        model.fit({"a": u, "b": -u}, {"first": y[:, :1], "second": y[:, 1:]})
        out = model.run({"a": u, "b": -u})
        assert set(out) == {"first", "second"}


def test_it_stands_in_reservoirpys_esn_and_in_richer_graphs(node: ReservoirNode) -> None:
    pairs = [task(150, seed) for seed in range(2)]
    U, Y = [u for u, _ in pairs], [y for _, y in pairs]
    ours = ESN(reservoir=node, readout=Ridge(1e-6), input_to_readout=True).fit(U, Y, warmup=20)
    own = ESN(reservoir=theirs(), readout=Ridge(1e-6), input_to_readout=True).fit(U, Y, warmup=20)
    own.reset()
    for mine, other in zip(ours.run(U), own.run(U), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-9)
    node.reset()
    runs = []
    for reservoir in (node, theirs()):
        source, readout = Input(), Ridge(1e-6)
        model = (source >> reservoir) & ([source, reservoir] >> readout)
        model.fit(U[0], Y[0])
        model.reset()
        runs.append(model.run(U[1]))
    np.testing.assert_allclose(runs[0], runs[1], atol=1e-9)


def test_a_device_is_neither_copied_nor_pickled(node: ReservoirNode) -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="there is one device"):
            attempt(node)
    with pytest.raises(TypeError, match=r"inmateria\.reservoir\.memory_capacity"):
        memory_capacity(node >> Ridge(1e-4), k_max=5)


def test_a_device_that_does_not_reset_rests_between_series_or_says_what_is_missing() -> None:
    def stubborn() -> LeakySimulator:
        simulator = LeakySimulator(inputs=1, samples=1)
        fields = {name: getattr(simulator.info, name) for name in simulator.info.__struct_fields__}
        simulator.info = SubstrateInfo(**{**fields, "resettable": False})
        return simulator

    u, _ = task(20)
    with as_node(SimulatedSubstrate(stubborn())) as node:
        assert node.run(u).shape == (20, 4)
        with pytest.raises(RuntimeError, match="rest=seconds"):
            node.run([u, u])
    simulator = stubborn()
    with as_node(PhysicalReservoir(SimulatedSubstrate(simulator), rest=5.0)) as node:
        first, second = node.run([u, u])
        np.testing.assert_allclose(first, second, atol=1e-12)
    rested = [len(drive) for drive in simulator.applied if not drive.any()]
    assert rested == [500]


def test_a_reservoir_that_is_open_already_stays_open() -> None:
    u, _ = task(30)
    with PhysicalReservoir(echo(), OneToOne(scale=0.5)).blocking() as reservoir:
        features = as_node(reservoir).run(u)
        reservoir.reset()
        np.testing.assert_array_equal(reservoir.run(u), features)


def test_what_does_not_make_a_node_says_why() -> None:
    with pytest.raises(TypeError, match="does not make a node"):
        as_node(3)
    with pytest.raises(TypeError, match="one column a class"):
        as_node(RidgeClassifierReadout())
    with pytest.raises(ValueError, match="give the model's fit a warmup"):
        as_node(PhysicalReservoir(echo(), washout=3))
    with pytest.raises(RuntimeError, match="inside `with as_node"):
        as_node(echo()).run(np.zeros((3, 1)))
    with as_node(echo()) as node:
        with pytest.raises(ValueError, match="2 features does not go one to one into 1 inputs"):
            node.run(np.zeros((3, 2)))
        with pytest.raises(ValueError, match="needs an input"):
            node.run(None, iters=5)
        with pytest.raises(RuntimeError, match="cannot be set"):
            node.state = {"out": np.zeros(UNITS)}


def test_our_ridge_readout_is_a_node(node: ReservoirNode) -> None:
    u, y = task()
    readout = as_node(RidgeReadout(1e-6, validation=None), name="out")
    ours, own = node >> readout, theirs() >> Ridge(1e-6)
    for model in (ours, own):
        model.fit([u[:200], u[200:]], [y[:200], y[200:]], warmup=20)
        model.reset()
    np.testing.assert_allclose(ours.run(u), own.run(u), atol=1e-6)
    assert readout.readout.coef_.shape == (2, UNITS)
    assert "RidgeReadout" in repr(ours)
    copied = copy.deepcopy(readout)
    np.testing.assert_array_equal(copied.run(node.run(u)).shape, y.shape)


@pytest.mark.parametrize(
    "readout",
    [RecursiveLeastSquares(0.999), RecursiveLeastSquares(delay=3), KalmanReadout(), LMSReadout(), FORCEReadout()],
    ids=repr,
)
def test_our_online_readouts_are_nodes_whose_outputs_are_honest(node: ReservoirNode, readout: Any) -> None:
    u, y = task()
    y[100:110] = np.nan  # nothing is asked there
    model = node >> as_node(readout)
    told = model.partial_fit(u, y)
    node.reset()
    X = node.run(u)
    alone = clone(readout)
    np.testing.assert_allclose(told, alone.learn(X, y), atol=1e-9)
    np.testing.assert_allclose(model.nodes[1].readout.coef_, alone.coef_, atol=1e-9)
    model.reset()
    np.testing.assert_allclose(model.run(u), alone.predict(X), atol=1e-9)
    whole = as_node(readout)
    np.testing.assert_allclose(whole.partial_fit(X, y), told, atol=1e-9)
    np.testing.assert_allclose(whole.fit(X, y, warmup=10).run(X), clone(readout).fit(X[10:], y[10:]).predict(X))


def test_an_online_readout_feeds_back_into_the_device() -> None:
    u, y = task(600)
    target = y[:, 1:]
    with as_node(echo(inputs=2)) as node:
        readout = as_node(RecursiveLeastSquares())
        model = (node >> readout) & (node << readout)
        told = model.partial_fit(u, target)
        assert nrmse(target[400:], told[400:]) < 0.3
        assert np.isfinite(model.run(u)).all()


def test_our_ternary_readout_and_any_estimator_are_nodes(node: ReservoirNode) -> None:
    u, y = task()
    for estimator in (TernaryReadout(), LinearRegression()):
        model = (node >> as_node(estimator)).fit(u, y)
        node.reset()
        X = node.run(u)
        node.reset()
        np.testing.assert_allclose(model.run(u), clone(estimator).fit(X, y).predict(X), atol=1e-9)
        node.reset()


def test_a_readout_that_has_learned_nothing_says_so(node: ReservoirNode) -> None:
    with pytest.raises(RuntimeError, match="fit the model first"):
        (node >> as_node(RidgeReadout())).run(np.zeros((3, 1)))
