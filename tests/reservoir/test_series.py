"""Series against other libraries, published figures and the equations themselves."""

import sys
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from reservoirpy.datasets import narma as narma_of_reservoirpy

from inmateria.reservoir import RidgeReadout, henon, lorenz, mackey_glass, narma, nmse, nrmse, santa_fe_laser


def drawn(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 0.5, steps)


@pytest.mark.parametrize("order", [2, 3, 10])
def test_narma_is_openprcs(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("torch") is None:  # which openprc imports and does not use for this
        monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    tasks = pytest.importorskip("openprc.analysis.tasks.imitation")
    u = drawn(2000)
    np.testing.assert_allclose(narma(u, order), tasks.NARMA_task(u, order)[:, 0], rtol=1e-9)


def test_narma_solves_its_equation_and_has_its_published_moments() -> None:
    u = drawn(200_000)
    y = narma(u)
    for t in (50, 51, 777):
        expected = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        assert y[t + 1] == pytest.approx(expected, rel=1e-12)
    assert y[100:].mean() == pytest.approx(0.3885, abs=0.002)
    assert y[100:].var() == pytest.approx(0.01183, abs=3e-4)


def test_narma_is_not_reservoirpys_which_looks_a_step_farther_back() -> None:
    u = drawn(500)
    _, theirs = narma_of_reservoirpy(490, order=10, u=u[:, np.newaxis], a1=0.3, a2=0.05, b=1.5, c=0.1)
    ours = narma(u)
    assert np.abs(ours[100:490] - theirs[90:480, 0]).max() > 0.05
    # What theirs is: 1.5 u(t-10) u(t), with y(t-10) ... y(t-1) in its sum.
    t, y = 300, np.concatenate([np.zeros(10), theirs[:, 0]])
    assert y[t + 1] == pytest.approx(0.3 * y[t] + 0.05 * y[t] * y[t - 10 : t].sum() + 1.5 * u[t - 10] * u[t] + 0.1)


@pytest.mark.parametrize(("taps", "published"), [(1, 0.867), (10, 0.583), (20, 0.394), (50, 0.379)])
def test_linear_taps_do_as_well_on_narma_as_has_been_measured(taps: int, published: float) -> None:
    u = drawn(12_000, seed=1)
    y = narma(u)
    # Row t holds u(t), u(t-1), ... and asks for y(t+1).
    X = np.stack([u[60 - k : len(u) - 1 - k] for k in range(taps)], axis=1)
    wanted = y[61:]
    readout = RidgeReadout().fit(X[:8000], wanted[:8000])
    assert nrmse(wanted[8000:], readout.predict(X[8000:])) == pytest.approx(published, abs=0.02)


def test_narma_that_runs_away_says_so_and_saturated_does_not() -> None:
    u = np.full(500, 0.9)
    with pytest.raises(ValueError, match="grows without end"):
        narma(u, 20)
    y = narma(u, 20, saturated=True)
    assert np.abs(y).max() < 1
    with pytest.raises(ValueError, match="more finite values"):
        narma(u[:5], 10)


def test_mackey_glass_solves_its_equation() -> None:
    x = mackey_glass(3000)
    now, past = x[17 + 4 : -4], x[4 : -17 - 4]
    # Derivative from nine points, exact to eighth order.
    weights = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
    slope = np.convolve(x[17:], weights[::-1], mode="valid")
    expected = 0.2 * past / (1 + past**10) - 0.1 * now
    assert np.sqrt(np.mean((slope - expected) ** 2)) < 0.02 * slope.std()
    assert 0.2 < x.min() < x.max() < 1.5


def test_mackey_glass_converges_with_its_substeps() -> None:
    coarse, fine, finer = (mackey_glass(60, substeps=n, transient=0) for n in (10, 40, 160))
    assert np.abs(fine - finer).max() < np.abs(coarse - finer).max() / 10
    assert np.abs(coarse - finer).max() < 1e-3
    with pytest.raises(ValueError, match="whole number of substeps"):
        mackey_glass(10, tau=17.05)


def test_lorenz_keeps_to_its_equations_and_its_volume() -> None:
    series = lorenz(400, 0.005)
    x, y, z = series.T
    weights = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
    for along, slope in ((x, 10 * (y - x)), (y, x * (28 - z) - y), (z, x * y - 8 / 3 * z)):
        found = np.convolve(along, weights[::-1], mode="valid") / 0.005
        np.testing.assert_allclose(found, slope[4:-4], atol=1e-4 * np.abs(slope).max())
    # Both fixed points attract where rho is small: sqrt(beta (rho - 1)), and rho - 1.
    still = lorenz(1, rho=10.0, transient=100.0)[0]
    np.testing.assert_allclose(np.abs(still), [np.sqrt(24), np.sqrt(24), 9], atol=1e-6)


def test_henon_is_the_published_map_with_its_lyapunov_exponent() -> None:
    series = henon(20_000)
    x, y = series.T
    np.testing.assert_allclose(x[1:], 1 - 1.4 * x[:-1] ** 2 + y[:-1], atol=1e-14)
    np.testing.assert_allclose(y[1:], 0.3 * x[:-1])
    direction, grown = np.array([1.0, 0.0]), 0.0
    for value in x:
        direction = np.array([-2.8 * value * direction[0] + direction[1], 0.3 * direction[0]])
        size = np.linalg.norm(direction)
        grown, direction = grown + np.log(size), direction / size
    assert grown / len(x) == pytest.approx(0.419, abs=0.01)
    with pytest.raises(ValueError, match="runs away"):
        henon(100, initial=(5.0, 5.0))


def test_the_laser_is_forecast_by_taps_as_has_been_measured() -> None:
    series = santa_fe_laser()
    assert series.shape == (10_093,)
    assert (series.min(), series.max()) == (0, 255)
    persistence = np.mean((series[1:] - series[:-1]) ** 2) / series.var()
    assert persistence == pytest.approx(0.961, abs=0.03)
    X = np.stack([series[49 - k : -1 - k] for k in range(50)], axis=1)
    readout = RidgeReadout().fit(X[:5000], series[50:5050])
    assert nmse(series[5050:], readout.predict(X[5000:])) == pytest.approx(0.170, abs=0.03)
