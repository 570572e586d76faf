"""Layers of resistors and ideal diodes against another solver, ngspice, laws of circuits and finite differences."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import lsq_linear

from inmateria.simulators import NoEquilibrium, ResistiveLayers

Floats = npt.NDArray[np.float64]
SIZES = ["4-3", "5-8-3", "6-9-7-2", "3-6-5-4-2"]


def random_network(sizes: str, seed: int, **options: Any) -> ResistiveLayers:
    """A network whose every edge conducts, with currents into all nodes."""
    network = ResistiveLayers(sizes, seed, **{"gain": 20.0, "low": -1.0, "precision": "double"} | options)
    generator = np.random.default_rng([seed, 9])
    network.weights = [generator.uniform(0.05, 1.0, each.shape) for each in network.weights]
    network.currents = [generator.normal(0, 0.3, each.shape) for each in network.currents]
    return network


def circuit(network: ResistiveLayers, x: Floats, label: Floats, nudge: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Matrix and right side of Kirchhoff's laws at the free nodes, and the limits of the diodes."""
    sizes, gain = network.sizes, network.info.parameters["gain"]
    place = np.concatenate(([0], np.cumsum((2 * sizes[0], *sizes[1:]))))
    whole = np.zeros((place[-1], place[-1]))
    for k, g in enumerate(network.conductances):
        for i, j in np.ndindex(g.shape):
            a, b = place[k] + i, place[k + 1] + j
            whole[[a, b], [a, b]] += g[i, j]
            whole[a, b] -= g[i, j]
            whole[b, a] -= g[i, j]
    driven, free = np.concatenate((gain * x, -gain * x)), slice(2 * sizes[0], None)
    matrix = whole[free, free]
    right = np.concatenate(network.currents) - whole[free, : 2 * sizes[0]] @ driven
    outputs = np.arange(len(right) - sizes[-1], len(right))
    matrix[outputs, outputs] += nudge
    right[outputs] += nudge * label
    low, high = np.full(len(right), -np.inf), np.full(len(right), np.inf)
    for k, size in enumerate(sizes[1:-1], start=1):
        first = place[k] - 2 * sizes[0]
        low[first : first + size : 2] = 0
        high[first + 1 : first + size : 2] = 0
    return matrix, right, low, high


CASES = [(sizes, seed, nudge) for sizes in SIZES for seed in range(5) for nudge in (0.0, 0.5, -0.1)]


def samples(network: ResistiveLayers, seed: int) -> tuple[Floats, Floats]:
    generator = np.random.default_rng([seed, 10])
    return generator.uniform(-1, 1, (6, network.sizes[0])), generator.uniform(-1, 1, (6, network.sizes[-1]))


@pytest.mark.parametrize("sizes", SIZES)
def test_voltages_are_those_of_another_solver_and_keep_the_laws_of_diodes(sizes: str) -> None:
    """Bounded-variable least squares (Stark and Parker), an active-set method; Karush, Kuhn and Tucker's conditions."""
    limited = 0
    for seed in range(5):
        network = random_network(sizes, seed)
        X, Y = samples(network, seed)
        for nudge in (0.0, 0.5, -0.1):
            volts = network.operating_points(X, Y, nudge)
            for x, y, v in zip(X, Y, volts, strict=True):
                matrix, right, low, high = circuit(network, x, y, nudge)
                into = right - matrix @ v  # the current that Kirchhoff's laws leave to the diode
                assert (v >= low).all()
                assert (v <= high).all()
                at_low, at_high = v == low, v == high
                assert np.abs(into[~(at_low | at_high)]).max() < 1e-9
                assert (into[at_low] < 1e-9).all()
                assert (into[at_high] > -1e-9).all()
                limited += int(at_low.sum() + at_high.sum())
                factor = cholesky(matrix)
                theirs = lsq_linear(
                    factor, solve_triangular(factor, right, trans="T"), (low, high), method="bvls", tol=1e-15
                )
                assert np.abs(theirs.x - v).max() < 1e-9
    assert limited > 100 or sizes == "4-3"


def test_power_of_the_sources_is_the_heat_of_the_resistors() -> None:
    """Ideal diodes carry a current or a voltage, never both."""
    for sizes in SIZES:
        network = random_network(sizes, 1)
        X, _ = samples(network, 1)
        heat, volts, gain = network.power(X), network.operating_points(X), network.info.parameters["gain"]
        driven = np.concatenate((gain * X, -gain * X), axis=1)
        first = network.conductances[0]
        from_inputs = [
            (d[:, np.newaxis] * first * (d[:, np.newaxis] - v[: first.shape[1]])).sum()
            for d, v in zip(driven, volts, strict=True)
        ]
        delivered = np.array(from_inputs) + volts @ np.concatenate(network.currents)
        assert heat == pytest.approx(1e-6 * delivered, rel=1e-12)
        assert (heat > 0).all()


def test_voltages_are_those_of_ngspice_with_nearly_ideal_diodes(tmp_path: Path) -> None:
    if shutil.which("ngspice") is None:
        pytest.skip("ngspice is not installed; on Debian: apt-get install ngspice")
    for sizes, seed in (("5-8-3", 1), ("5-8-3", 2), ("6-9-7-2", 3)):
        network = random_network(sizes, seed, gain=5.0)
        X, _ = samples(network, seed)
        nodes = sum(network.sizes[1:])
        for k, x in enumerate(X[:3]):
            path = tmp_path / f"{sizes}-{seed}-{k}.cir"
            names = " ".join(f"v(n{i})" for i in range(nodes))
            control = f".control\nset numdgt=12\nop\nprint {names}\nquit\n.endc\n.end\n"
            path.write_text(network.netlist(x).replace(".op\n.end\n", control))
            done = subprocess.run(["ngspice", "-b", path], capture_output=True, text=True, check=False)
            theirs = [float(word) for word in re.findall(r"^v\(n\d+\) = (\S+)", done.stdout, re.MULTILINE)]
            assert len(theirs) == nodes, done.stdout + done.stderr
            # Nearly ideal diodes conduct from about 5e-6 V on.
            assert np.abs(theirs - network.operating_points(x[np.newaxis])[0]).max() < 2e-5


@pytest.mark.slow  # double precision, compiled for this
def test_a_nudge_away_that_is_stronger_than_the_network_is_an_error() -> None:
    network = random_network("5-8-3", 1)
    X, Y = samples(network, 1)
    for nudge in (-100.0, -4.0):
        matrix, *_ = circuit(network, X[0], Y[0], nudge)
        assert np.linalg.eigvalsh(matrix).min() < 0
        with pytest.raises(NoEquilibrium, match="smaller nudge"):
            network.operating_points(X, Y, nudge)
    strong = random_network("5-8-3", 1, nudge=4.0)
    before = strong.weights
    with pytest.raises(NoEquilibrium):
        strong.fit(X, Y, epochs=1)
    assert all(map(np.array_equal, strong.weights, before))


def loss(network: ResistiveLayers, X: Floats, Y: Floats) -> float:
    outputs = network.operating_points(X)[:, -network.sizes[-1] :]
    return float(0.5 * ((outputs - Y) ** 2).sum(axis=1).mean())


@pytest.mark.slow  # double precision, compiled for this
@pytest.mark.parametrize("batch", [6, 5, 1])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("centred", [True, False])
def test_the_update_is_the_gradient_for_small_nudges(sizes: str, batch: int, centred: bool) -> None:
    rate, by = 1e-5, 1e-6
    errors = []
    for nudge in (0.02, 0.01):
        network = random_network(sizes, 2, nudge=nudge, centred=centred, rates=rate, tolerance=1e-14)
        X, Y = (each[:batch] for each in samples(network, 2))
        before, before_currents = network.weights, network.currents
        network.fit(X, Y, epochs=1, batch=batch, shuffle=False)
        found = [(new - old) / -rate for new, old in zip(network.weights, before, strict=True)]
        found += [(new - old) / -rate for new, old in zip(network.currents, before_currents, strict=True)]
        expected = []
        probe = random_network(sizes, 2)
        for attribute in ("weights", "currents"):
            for k, array in enumerate(getattr(probe, attribute)):
                slopes = np.zeros_like(array)
                for place in np.ndindex(array.shape):
                    ends = []
                    for sign in (1, -1):
                        given = [each.copy() for each in getattr(probe, attribute)]
                        given[k][place] += sign * by
                        other = probe.copy()
                        setattr(other, attribute, given)
                        ends.append(loss(other, X, Y))
                    slopes[place] = (ends[0] - ends[1]) / (2 * by)
                expected.append(slopes)
        scale = max(np.abs(each).max() for each in expected)
        errors.append(max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) / scale)
    if centred:
        assert errors[0] < 1e-2
        assert errors[1] < 0.3 * errors[0] + 1e-6
    else:
        assert errors[0] < 0.1
        assert errors[1] < 0.6 * errors[0] + 1e-6
    assert errors[1] > 1e-9  # for larger nudges it is not


def reference_training(network: ResistiveLayers, X: Floats, Y: Floats, epochs: int, batch: int) -> list[Floats]:
    """The same training in plain numpy: many sweeps for every equilibrium, matrices of differences for every edge."""
    parameters = network.info.parameters
    gain, beta, rates = parameters["gain"], parameters["nudge"], [float(r) for r in parameters["rates"].split(",")]
    weights, currents = [w.copy() for w in network.weights], [c.copy() for c in network.currents]

    def voltages(x: Floats, y: Floats, nudge: float) -> list[Floats]:
        v = [np.concatenate((gain * x, -gain * x), axis=1), *(np.zeros((len(x), len(c))) for c in currents)]
        for _ in range(300):
            for k in range(1, len(v)):
                top, total = v[k - 1] @ weights[k - 1] + currents[k - 1], weights[k - 1].sum(axis=0)
                if k < len(weights):
                    top, total = top + v[k + 1] @ weights[k].T, total + weights[k].sum(axis=1)
                    v[k] = top / total
                    v[k][:, ::2], v[k][:, 1::2] = np.maximum(v[k][:, ::2], 0), np.minimum(v[k][:, 1::2], 0)
                else:
                    v[k] = (top + nudge * y) / (total + nudge)
        return v

    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            x, y = X[begin : begin + batch], Y[begin : begin + batch]
            towards, away = voltages(x, y, beta), voltages(x, y, -beta)
            for k, rate in enumerate(rates):
                squares = [
                    ((v[k][:, :, np.newaxis] - v[k + 1][:, np.newaxis, :]) ** 2).mean(axis=0) for v in (away, towards)
                ]
                weights[k] = np.maximum(weights[k] + rate / (4 * beta) * (squares[0] - squares[1]), 0)
                currents[k] += rate / (2 * beta) * (towards[k + 1] - away[k + 1]).mean(axis=0)
    return weights + currents


@pytest.mark.slow  # double precision, compiled for this
@pytest.mark.parametrize("batch", [1, 3, 4, 9])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_training_is_that_of_plain_numpy(sizes: str, batch: int) -> None:
    network = random_network(sizes, 3, nudge=0.1, rates=0.1, tolerance=1e-14)
    generator = np.random.default_rng(0)
    network.weights = [np.maximum(each - 0.2, 0) for each in network.weights]
    X, Y = generator.uniform(-1, 1, (10, network.sizes[0])), generator.uniform(-1, 1, (10, network.sizes[-1]))
    expected = reference_training(network, X, Y, 3, batch)
    before = network.weights
    network.fit(X, Y, epochs=3, batch=batch, shuffle=False)
    assert max(np.abs(a - b).max() for a, b in zip(network.weights, before, strict=True)) > 1e-2
    for ours, theirs in zip((*network.weights, *network.currents), expected, strict=True):
        assert np.abs(ours - theirs).max() < 1e-10
    held = [((a == 0) & (b == 0)).sum() for a, b in zip(network.weights, before, strict=True)]
    assert sum(held) > 0 or sizes == "4-3"
    assert any(((a > 0) & (b == 0)).any() for a, b in zip(network.weights, before, strict=True))
