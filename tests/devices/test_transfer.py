"""Readouts refuse where they would be wrong, and are carried over to where they are right again."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.adapters import SimulatedSubstrate
from inmateria.devices import (
    BoundReadout,
    DeviceDrifted,
    Probe,
    WrongDevice,
    align_by_cca,
    bind,
    calibrate,
    linear_map,
    transfer,
    transfer_weights,
)
from inmateria.reservoir import InputMask, PhysicalReservoir, RidgeClassifierReadout, RidgeReadout, VirtualNodes
from inmateria.simulators import NanowireNetwork, Variability

DAY = 86400.0
PROBE = Probe(steps=12, repeats=8, step=0.05, rest=0.5)


def rms(values):
    return float(np.sqrt(np.mean(values**2)))


def shared(rng, steps=400, hidden=8, features=20):
    """What a device makes of a hidden state that its input causes, and another's features of the same."""
    state = rng.normal(size=(steps, hidden))
    return state, rng.normal(size=(hidden, features)), rng.normal(size=(hidden, features))


@pytest.mark.parametrize("seed", range(5))
def test_a_linear_change_of_the_features_is_undone_without_labels(seed):
    """Features that differ by an invertible map: the new weights are known in closed form."""
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(400, 12)) + 3
    change = rng.normal(size=(12, 12)) + 4 * np.eye(12)
    y = source @ rng.normal(size=12) + 1
    old = linear_map(RidgeReadout(0.0, validation=None).fit(source, y))
    found = transfer_weights(old, source, source @ change)
    assert found.method in ("aligned", "toward-old")
    fresh = rng.normal(size=(100, 12)) + 3
    assert np.allclose(found.weights(fresh @ change), old(fresh), atol=1e-3)
    by_cca = align_by_cca(old, source, source @ change, components=12, shrinkage=1e-12)
    assert np.allclose(by_cca(fresh @ change), old(fresh), atol=1e-6)


def test_cca_is_least_squares_through_all_components_and_that_of_scikit_learn_through_one():
    rng = np.random.default_rng(0)
    state, to_a, to_b = shared(rng, features=10)
    a, b = (state @ to + 0.3 * rng.normal(size=(400, 10)) for to in (to_a, to_b))
    old = linear_map(RidgeReadout().fit(a, a @ rng.normal(size=10)))
    least_squares = np.linalg.lstsq(b - b.mean(0), a - a.mean(0), rcond=None)[0]
    expected = (b - b.mean(0)) @ least_squares @ old.coef[0] + old(a).mean()
    assert np.allclose(align_by_cca(old, a, b, 10, shrinkage=1e-12)(b)[:, 0], expected, atol=1e-6)
    # One component: the direction that scikit-learn finds.
    single = align_by_cca(linear_map(RidgeReadout().fit(a, a[:, 0])), a, b, 1, shrinkage=1e-12)(b)[:, 0]
    theirs = CCA(1, max_iter=10_000, tol=1e-12).fit(a, b).transform(a, b)[1][:, 0]
    assert abs(np.corrcoef(single, theirs)[0, 1]) == pytest.approx(1, abs=1e-6)


def test_the_measured_mismatch_chooses():
    rng = np.random.default_rng(1)
    state, to_a, to_b = shared(rng)
    y = state[:, 0] - 2 * state[:, 1]
    noise = [0.05 * rng.normal(size=(400, 20)) for _ in range(3)]
    a = state @ to_a + noise[0]
    near, far, stranger = state @ (to_a * 1.02) + noise[1], state @ to_b + noise[1], rng.normal(size=(400, 20))
    old = linear_map(RidgeReadout().fit(a[:300], y[:300]))
    found = {name: transfer_weights(old, a[:200], b[:200]) for name, b in (("near", near), ("far", far))}
    assert found["near"].method == "toward-old"
    assert found["far"].method == "aligned"
    assert found["near"].mismatch < 0.1 < 0.5 < found["far"].mismatch
    for name, b in (("near", near), ("far", far)):
        assert rms(found[name].weights(b[300:])[:, 0] - y[300:]) < 1.3 * rms(old(a[300:])[:, 0] - y[300:]) + 0.05
    # Another device that answers something else altogether, whose own features tell the target all the same.
    told = stranger @ rng.normal(size=20)
    retrained = transfer_weights(old, a[:200], stranger[:200], (stranger[200:300], told[200:300]))
    assert retrained.method == "retrained"
    assert rms(retrained.weights(stranger[300:])[:, 0] - told[300:]) < 0.05 * told.std()


def test_other_numbers_of_features_and_what_cannot_be_done():
    rng = np.random.default_rng(2)
    state, to_a, to_b = shared(rng)
    a, b = state @ to_a, state @ to_b[:, :15]
    old = linear_map(RidgeReadout().fit(a, state[:, :2]))
    found = transfer_weights(old, a, b)
    assert found.mismatch is None
    assert found.method == "aligned"
    assert rms(found.weights(b) - state[:, :2]) < 0.05
    with pytest.raises(ValueError, match="20 features and the new one 15"):
        transfer_weights(old, a, b, method="toward-old")
    with pytest.raises(ValueError, match="0 labels"):
        transfer_weights(old, a, b, method="retrained")
    with pytest.raises(ValueError, match="it must be 'toward-old'"):
        transfer_weights(old, a, b, method="magic")
    with pytest.raises(ValueError, match="same series"):
        transfer_weights(old, a[1:], b)
    with pytest.raises(ValueError, match="9 steps of features"):
        transfer_weights(old, a[:9], b[:9])
    with pytest.raises(ValueError, match="readout has 2 outputs"):
        transfer_weights(old, a, b, (b, state[:, 0]))


@given(samples=st.integers(30, 60), features=st.integers(1, 8), outputs=st.integers(1, 3), seed=st.integers(0, 2**32))
def test_a_linear_map_is_the_estimator_it_was_taken_from(samples, features, outputs, seed):
    rng = np.random.default_rng(seed)
    X, Y = (
        rng.normal(size=(samples, features)) * 10.0 ** rng.integers(-6, 3, features),
        rng.normal(size=(samples, outputs)),
    )
    for y in (Y, Y[:, 0]):
        for estimator in (RidgeReadout(), Ridge(), make_pipeline(StandardScaler(), RidgeReadout())):
            predicted = estimator.fit(X, y).predict(X)
            again = linear_map(estimator).estimator().predict(X)
            assert again.shape == predicted.shape
            assert np.allclose(again, predicted, atol=1e-8)


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c"], [0, 1, 7]])
def test_a_classifier_keeps_its_classes(classes):
    rng = np.random.default_rng(0)
    y = rng.choice(classes, 200)
    X = rng.normal(size=(200, 5)) + 2 * np.searchsorted(classes, y)[:, np.newaxis] * rng.normal(size=5)
    estimator = make_pipeline(StandardScaler(), RidgeClassifierReadout()).fit(X, y)
    weights = linear_map(estimator)
    assert np.array_equal(weights.estimator().predict(X), estimator.predict(X))
    turned = X @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = transfer_weights(weights, X[:100], turned[:100])
    assert np.mean(found.weights.estimator().predict(turned) == estimator.predict(X)) > 0.99
    told = transfer_weights(weights, X[:100], turned[:100], (turned[100:150], y[100:150]))
    assert told.weights.estimator().score(turned, y) > estimator.score(X, y) - 0.05
    with pytest.raises(ValueError, match="unknown classes"):
        weights.targets(["strange"])


def test_only_linear_readouts_have_weights():
    with pytest.raises(TypeError, match="no coef_"):
        linear_map(StandardScaler())


def reservoir(network, seed=0):
    return PhysicalReservoir(
        SimulatedSubstrate(network), InputMask(scale=1.5, seed=seed), VirtualNodes(2), step=0.05, washout=10
    )


def network(seed=1, **spread):
    variability = Variability(noise=0.01, aging=0.05, **spread)
    return NanowireNetwork(wires=60, seed=seed, variability=variability, integration_step=5e-3)


def problem(seed=0, steps=600):
    u = np.cumsum(np.random.default_rng(seed).normal(size=steps + 3))
    u = 0.8 * np.sin(0.2 * np.arange(steps + 3) + 0.1 * u)
    return u[:-3], u[1:-2]


async def test_a_bound_readout_refuses_another_device_and_its_own_after_drift():
    u, y = problem()
    matter = network()
    async with reservoir(matter) as here, reservoir(network(seed=2)) as there:
        X = await here.run(u)
        readout = make_pipeline(StandardScaler(), RidgeReadout()).fit(X, y[10:])
        bound = await bind(readout, here, u[:200], probe=PROBE)
        assert bound.device == here.info.id
        predicted = await bound.run(here, u[:100])
        assert predicted.shape == (90,)
        assert np.array_equal(bound.predict(X, here.info), readout.predict(X))
        with pytest.raises(WrongDevice, match=r"trained on nanowire-60-s1-.* used on nanowire-60-s2-.*transfer"):
            await bound.run(there, u[:100])
        with pytest.raises(WrongDevice):
            bound.predict(X, await calibrate(there.substrate, PROBE))
        matter.age(60 * DAY)
        with pytest.raises(DeviceDrifted, match=r"has drifted by 0\.\d+ .*up to a drift of 0\.1.*transfer") as caught:
            await bound.run(here, u[:100])
        assert "calibrate" in caught.value.remedy
        # A readout that is told to bear it does.
        tolerant = BoundReadout(readout, bound.fingerprint, bound.series, bound.features, bound=5.0)
        assert (await tolerant.run(here, u[:100])).shape == (90,)


async def test_transfer_over_the_contract_ends_in_a_readout_that_works_there():
    u, y = problem(steps=1500)
    fresh, wanted = problem(seed=9)
    async with reservoir(network()) as here, reservoir(network(seed=2)) as there:
        train = await here.run(u)
        readout = make_pipeline(StandardScaler(), RidgeReadout()).fit(train, y[10:])
        bound = await bind(readout, here, u[:310], probe=PROBE)
        moved = await transfer(bound, there, budget=100, u=u[400:], y=y[400:])
        assert moved.labelled == 100
        assert moved.unlabelled == 300
        assert moved.readout.device == there.info.id
        own = make_pipeline(StandardScaler(), RidgeReadout()).fit(await there.run(u), y[10:])
        X = await there.run(fresh)
        best, copied = (rms(each.predict(X) - wanted[10:]) for each in (own, readout))
        reached = rms(await moved.readout.run(there, fresh) - wanted[10:])
        assert reached < copied
        assert reached < 1.5 * best
        without = await transfer(bound, there)
        assert without.labelled == 0
        again = await transfer(moved.readout, here)  # and back: what it carries is enough for another move
        assert again.readout.device == here.info.id
        with pytest.raises(ValueError, match="together"):
            await transfer(bound, there, u=u)
        with pytest.raises(ValueError, match="targets"):
            await transfer(bound, there, u=u, y=y[1:])
        with pytest.raises(ValueError, match="budget"):
            await transfer(bound, there, budget=-1)


async def test_a_bound_readout_survives_being_written_down():
    u, y = problem()
    async with reservoir(network()) as here:
        X = await here.run(u)
        readout = make_pipeline(StandardScaler(), RidgeReadout()).fit(X, y[10:])
        bound = await bind(readout, here, u[:100], probe=PROBE, bound=0.2, alpha=0.05)
    again = BoundReadout.decode(bound.encode())
    assert again.fingerprint == bound.fingerprint
    assert (again.bound, again.alpha, again.probe) == (0.2, 0.05, PROBE)
    assert np.array_equal(again.series, bound.series)
    assert np.array_equal(again.features, bound.features)
    assert np.allclose(again.estimator.predict(X), readout.predict(X), atol=1e-10)
    with pytest.raises(msgspec.DecodeError):
        BoundReadout.decode(bound.encode()[:-5])
    with pytest.raises(ValueError, match="bound is"):
        BoundReadout(readout, bound.fingerprint, bound.series, bound.features, bound=-1)
    with pytest.raises(ValueError, match="features"):
        BoundReadout(readout, bound.fingerprint, bound.series, bound.features[:, 1:])
