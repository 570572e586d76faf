"""Published results of networks that learn, repeated on simulated ones, each as a fraction of at least twenty starts.

Exclusive or and the regression of eight points (Dillavou et al., PNAS 121, e2319718121, 2024), the order in which the
modes of its error fall, damage and retraining; Iris and allostery on the machine of 16 resistors (Dillavou et al., PR
Applied 18, 014040, 2022); desynchronous updates (Wycoff et al., J. Chem. Phys. 156, 144903, 2022). Starts are the
seeds from 0; rates, labels and numbers of epochs were chosen on seeds from 100. Some minutes; one thread.

    python benchmarks/published_learning.py [--json] [--quick] [--part modes]
"""

import argparse
import contextlib
import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from learning_network import REGRESSION, XOR, exclusive_or, regression
from scipy.optimize import least_squares
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from inmateria.protocols.data_parts import data_of
from inmateria.protocols.data_sets import iris_flowers
from inmateria.simulators import ContrastiveNetwork, CoupledLearning, NoOperatingPoint, Resistor, SignRule

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Data = tuple[Floats, Floats]

SOURCE = 0.45
"""Voltage of the driven node in allostery, V; the other source is at 0 V."""
FALLING = (16.0, 1.0)
"""Factors on the rate of exclusive or in the first and the last epoch."""
CUTS = (1, 2, 4, 8)
PROBABILITIES = (1.0, 0.5, 0.25, 0.1)


def xor_network(seed: int, **rule: float) -> ContrastiveNetwork:
    """Make the machine of 2024 as for exclusive or."""
    return ContrastiveNetwork(seed=seed, rule=CoupledLearning(**({"eta": 0.1, "alpha": 2.0} | rule)))


def regression_network(seed: int, **rule: float) -> ContrastiveNetwork:
    """Make the machine of 2024 as for the regression."""
    return ContrastiveNetwork(
        seed=seed, inputs="15,", outputs="10,", rails="5:0,7:0.45",
        rule=CoupledLearning(**({"eta": 1.0, "alpha": 2.0} | rule)),
    )  # fmt: skip


def resistor_machine(
    seed: int, rule: CoupledLearning | SignRule, inputs: int, outputs: int, levels: int | None = 128
) -> ContrastiveNetwork:
    """Make the machine of 2022: 16 digital potentiometers between 9 nodes, one of them at 0 V."""
    edges = Resistor(weight="resistance", low=781.25, high=1e5, levels=levels)
    return ContrastiveNetwork(
        random="9x16", edges=edges, seed=seed, rule=rule, inputs=inputs, outputs=outputs, rails="0",
        differential=False, high=5.0,
    )  # fmt: skip


def root_mean_square(values: npt.ArrayLike) -> float:
    """Return the root of the mean of the squares."""
    return float(np.sqrt(np.mean(np.square(values))))


def quartiles(values: npt.ArrayLike, scale: float = 1.0) -> list[float]:
    """Return lower quartile, median, upper quartile."""
    lower, middle, upper = scale * np.percentile(np.asarray(values, dtype=np.float64), (25, 50, 75))
    return [float(lower), float(middle), float(upper)]


# --- modes of the error ----------------------------------------------------------------------------------------------


def mode_course(seed: int, marks: list[int]) -> Floats:
    """Train the regression; return mean, slope and curvature of the error after each number of epochs, V.

    The three are the coefficients of the orthogonal polynomials of degree 0, 1 and 2 over the eight inputs, scaled so
    that their squares and those of the remaining five add up to the mean squared error.
    """
    X, Y = REGRESSION
    basis = np.linalg.qr(np.vander(X, 3, increasing=True))[0]
    network, found = regression_network(seed), []
    for before, mark in zip([0, *marks], marks, strict=False):
        if mark > before:
            network.fit(X, Y, epochs=mark - before)
        found.append((network.predict(X)[:, 0] - Y) @ basis / math.sqrt(len(X)))
    return np.array(found)


def half_times(course: Floats, marks: list[int]) -> list[float]:
    """Return the number of epochs after which each mode is for the first time below half of its start; or infinity."""
    size = np.abs(course)
    below = size < 0.5 * size[0]
    return [marks[int(np.argmax(column))] if column.any() else math.inf for column in below.T]


def modes(starts: int, epochs: int = 10_000) -> dict[str, Any]:
    """Count in how many starts the mean of the error falls before its slope, and that before its curvature."""
    marks = np.unique(np.r_[0, np.round(np.geomspace(1, epochs, 80)).astype(int)]).tolist()
    courses = np.array([mode_course(seed, marks) for seed in range(starts)])
    times = np.array([half_times(course, marks) for course in courses])
    mean, slope, curvature = times.T
    return {
        "starts": starts,
        "mean_before_slope": int(np.sum(mean < slope)),
        "slope_before_curvature": int(np.sum(slope < curvature)),
        "in_order": int(np.sum((mean < slope) & (slope < curvature))),
        "of_six_orders_by_chance": starts / 6,
        "curvature_falls_at_all": int(np.sum(np.isfinite(curvature))),
        "median_epochs_mean": float(np.median(mean)),
        "median_epochs_slope": float(np.median(slope)),
        "median_epochs_curvature": float(np.median(curvature)),
        "picture": {
            "epochs": marks,
            "quartiles_mV": np.round(
                1e3 * np.percentile(np.abs(courses), (25, 50, 75), axis=0).transpose(2, 0, 1), 3
            ).tolist(),
        },
    }


# --- damage and retraining -------------------------------------------------------------------------------------------


def cut_some(network: ContrastiveNetwork, count: int, generator: np.random.Generator) -> list[int]:
    """Cut so many edges at random; draw again when a node would be connected to no source."""
    while True:
        chosen = generator.choice(len(network.edges), count, replace=False).tolist()
        try:
            network.cut(chosen)
        except ValueError:
            continue
        return [int(edge) for edge in chosen]


def damage_course(
    make: Callable[[int], ContrastiveNetwork], data: Data, seed: int, cuts: tuple[int, ...], epochs: int,
    rate: tuple[float, float],
) -> list[list[float]]:  # fmt: skip
    """Train, cut, train again: errors before, after the cut, after retraining, and from scratch with the cut, V.

    Retraining is at the rate with which the training ended, training from scratch with the falling rate. A training in
    which an operating point is not found leaves the network as it was, and counts with that error.
    """
    X, Y = data

    def error(network: ContrastiveNetwork, rate: float | tuple[float, float] | None) -> float:
        if rate is not None:
            with contextlib.suppress(NoOperatingPoint):
                network.fit(X, Y, epochs=epochs, rate=rate)
        return root_mean_square(network.predict(X)[:, 0] - Y)

    trained, rows = make(seed), []
    before = error(trained, rate)
    for count in cuts:
        network, anew = trained.copy(), make(seed)
        anew.cut(cut_some(network, count, np.random.default_rng([seed, count])))
        rows.append([before, error(network, None), error(network, rate[1]), error(anew, rate)])
    return rows


def damage(starts: int, xor_epochs: int = 40_000, regression_epochs: int = 3_000) -> dict[str, Any]:
    """Damage and retrain exclusive or and the regression; control: trained from scratch with the same edges cut."""
    result: dict[str, Any] = {"starts": starts}
    for name, make, data, epochs, rate, bound in (
        ("xor", xor_network, XOR, xor_epochs, FALLING, 5e-3),
        ("regression", regression_network, REGRESSION, regression_epochs, (3.0, 0.3), straight_line_error()),
    ):
        rows = np.array([damage_course(make, data, seed, CUTS, epochs, rate) for seed in range(starts)])
        for k, count in enumerate(CUTS):
            for c, moment in enumerate(("before", "damaged", "retrained", "from_scratch")):
                errors = rows[:, k, c]
                result[f"{name}_{count}_cut_{moment}_mV"] = quartiles(errors, 1e3)
                result[f"{name}_{count}_cut_{moment}_below_{1e3 * bound:.1f}_mV"] = int(np.sum(errors < bound))
            result[f"{name}_{count}_cut_retrained_better_than_from_scratch"] = int(
                np.sum(rows[:, k, 2] < rows[:, k, 3])
            )
    return result


def straight_line_error() -> float:
    """Return the error of the best straight line in the regression, V."""
    X, Y = REGRESSION
    return root_mean_square(np.polynomial.Polynomial.fit(X, Y, 1)(X) - Y)


# --- Iris ------------------------------------------------------------------------------------------------------------


IRIS_STEP = 0.1


def iris_split(seed: int) -> tuple[Ints, Ints]:
    """Draw ten training flowers of each kind among those that no split tests on; the 75 others are for the test."""
    return iris_flowers().split_few(30, seed)


def iris_start(seed: int, epochs: int = 60, step: float = IRIS_STEP) -> dict[str, float]:
    """Train Iris on one graph and split; return the fractions of the test flowers that are named rightly.

    Measurements become -0.45 to 0.45 V between the extremes of the training flowers. A flower is of the kind whose
    mean output, over the training flowers, is nearest to its own, also before training. The labels are -0.45, 0 and
    0.45 V at all outputs, for the kinds in the order of their means in the untrained network. The training ends with
    the state, of those after each epoch, that names most training flowers rightly; of several, the one nearest to the
    labels.
    """
    flowers = iris_flowers()
    training, test = iris_split(seed)
    measured, kinds = flowers.X, flowers.y
    low, high = measured[training].min(axis=0), measured[training].max(axis=0)
    volts = SOURCE * (2 * np.clip((measured - low) / (high - low), 0, 1) - 1)
    network = resistor_machine(seed, SignRule(eta=step), 4, 3)

    def named(outputs: Floats) -> npt.NDArray[np.bool_]:
        nearest = NearestCentroid().fit(outputs[training], kinds[training])
        return np.asarray(nearest.predict(outputs) == kinds)

    free = network.predict(volts)
    rank = np.argsort(np.argsort([free[training][kinds[training] == kind].mean() for kind in range(3)]))
    labels = np.repeat(SOURCE * (rank[kinds] - 1.0)[:, np.newaxis], 3, axis=1)
    result = {"untrained": float(named(free)[test].mean())}
    best, late = (-1.0, 0.0), []
    for epoch in range(epochs):
        network.fit(volts[training], labels[training], epochs=1)
        outputs = network.predict(volts)
        right = named(outputs)
        worth = (float(right[training].mean()), -root_mean_square(outputs[training] - labels[training]))
        if worth > best:
            best, result["trained"] = worth, float(right[test].mean())
        if epoch >= epochs - 20:
            late.append(right[test].mean())
    result["without_a_choice"] = float(np.mean(late))
    for name, model in (
        ("nearest_mean", NearestCentroid()),
        ("logistic_regression", make_pipeline(StandardScaler(), LogisticRegression())),
        ("logistic_regression_bare", LogisticRegression(max_iter=5000)),
    ):
        result[name] = float(model.fit(measured[training], kinds[training]).score(measured[test], kinds[test]))
    return result


def choose_iris(tell: Callable[[str], None], starts: int = 10) -> None:
    """Score rates of the sign rule on flowers that no split tests on, and on other graphs."""
    for step in (0.05, 0.1, 0.2, 0.4):
        with data_of("validation"):
            found = [iris_start(seed, step=step)["trained"] for seed in range(100, 100 + starts)]
        tell(f"iris, sign rule, eta {step}: {np.mean(found):.4f} +- {np.std(found) / np.sqrt(starts):.4f}")


def iris(starts: int) -> dict[str, Any]:
    """Train Iris on so many random graphs and splits, beside two controls on the same splits."""
    found = [iris_start(seed) for seed in range(starts)]
    scores = {name: np.array([each[name] for each in found]) for name in found[0]}
    result: dict[str, Any] = {"starts": starts}
    for name, values in scores.items():
        result[name], result[f"{name}_sd"] = float(values.mean()), float(values.std(ddof=1))
    for name in ("untrained", "nearest_mean", "logistic_regression", "logistic_regression_bare"):
        result[f"better_than_{name}"] = int(np.sum(scores["trained"] > scores[name]))
        result[f"as_good_as_{name}"] = int(np.sum(scores["trained"] == scores[name]))
    result["picture"] = {name: np.round(values, 4).tolist() for name, values in scores.items()}
    return result


# --- allostery -------------------------------------------------------------------------------------------------------


def allostery_labels(seed: int, targets: int) -> Data:
    """Draw the voltages that target nodes shall have, a fifth to four fifths of the source's."""
    wanted = SOURCE * np.random.default_rng([seed, 9]).uniform(0.2, 0.8, targets)
    return np.array([[SOURCE]]), wanted[np.newaxis]


def reachable_error(network: ContrastiveNetwork, labels: Floats, tries: int = 10) -> float:
    """Return the smallest error that any resistances of the range give, found by least squares from many starts, V."""
    first, second = network.edges.T
    outputs = network.output_nodes[:, 0]
    source, ground = network.input_nodes[0], network.rail_nodes[0]
    inner = np.setdiff1d(np.arange(network.node_count), [source, ground])

    def miss(logarithms: Floats) -> Floats:
        conductance = np.exp(logarithms)
        laplacian = np.zeros((network.node_count, network.node_count))
        np.add.at(laplacian, (first, second), -conductance)
        np.add.at(laplacian, (second, first), -conductance)
        laplacian -= np.diag(laplacian.sum(axis=1))
        volts = np.zeros(network.node_count)
        volts[source] = SOURCE
        volts[inner] = np.linalg.solve(laplacian[np.ix_(inner, inner)], -laplacian[inner, source] * SOURCE)
        return np.asarray(volts[outputs] - labels[0])

    low, high = math.log(1e-5), math.log(1 / 781.25)
    generator, best = np.random.default_rng(0), math.inf
    for _ in range(tries):
        found = least_squares(miss, generator.uniform(low, high, len(first)), bounds=(low, high), max_nfev=200)
        best = min(best, root_mean_square(found.fun))
        if best < 1e-5:
            break
    return best


def allostery(starts: int) -> dict[str, Any]:
    """Train target nodes to given voltages while a source is on, on the machine of 16 resistors.

    A start counts if the error, its root mean square over the last fifth of the training, is below a hundredth of the
    source's voltage, or below a tenth of what it was at first. With 128 levels and the sign rule, the state with the
    least error is one at which the supervisor could have stopped.
    """
    result: dict[str, Any] = {"starts": starts}
    for targets in (1, 2, 3):
        ends: dict[str, list[float]] = {name: [] for name in ("first", "sign", "stopped", "coupled", "reachable")}
        for seed in range(starts):
            data = allostery_labels(seed, targets)
            network = resistor_machine(seed, SignRule(), 1, targets)
            error = network.fit(*data, epochs=600).error
            ends["first"].append(float(error[0]))
            ends["sign"].append(root_mean_square(error[-120:]))
            ends["stopped"].append(float(error.min()))
            continuous = resistor_machine(seed, CoupledLearning(eta=0.1, alpha=1e-2), 1, targets, None)
            ends["coupled"].append(root_mean_square(continuous.fit(*data, epochs=5000).error[-1000:]))
            ends["reachable"].append(reachable_error(continuous, data[1]))
        first, bound = np.array(ends.pop("first")), 0.01 * SOURCE
        result[f"{targets}_targets_untrained_mV"] = quartiles(first, 1e3)
        for name, values in ends.items():
            errors = np.array(values)
            result[f"{targets}_targets_{name}_below_a_hundredth"] = int(np.sum(errors < bound))
            result[f"{targets}_targets_{name}_below_a_tenth_of_the_first"] = int(np.sum(errors < 0.1 * first))
            result[f"{targets}_targets_{name}_mV"] = quartiles(errors, 1e3)
    return result


# --- desynchronous updates -------------------------------------------------------------------------------------------


def first_below(error: Floats, bound: float) -> float:
    """Return the first epoch with an error below a bound, or infinity."""
    below = error < bound
    return float(np.argmax(below)) + 1 if below.any() else math.inf


def desynchronous(starts: int) -> dict[str, Any]:
    """Let each edge update with probability p only: the error that is left, and the time that it takes, times p.

    Trainings are longer by 1/p. Times are those to 20 mV in the regression and to a tenth of the first error in
    allostery of two targets, over the starts that reach it at every p.
    """

    def resistors(levels: int | None) -> Callable[[int, float], ContrastiveNetwork]:
        def make(seed: int, p: float) -> ContrastiveNetwork:
            coupled = CoupledLearning(eta=0.1, alpha=1e-4, update_probability=p)
            rule = coupled if levels is None else SignRule(update_probability=p)
            return resistor_machine(seed, rule, 1, 2, levels)

        return make

    tasks: dict[str, tuple[Callable[[int, float], ContrastiveNetwork], Data | None, int, float]] = {
        "regression": (lambda seed, p: regression_network(seed, update_probability=p), REGRESSION, 3_000, 20e-3),
        "allostery": (resistors(None), None, 5_000, 0.1),
        "allostery_128_levels_sign_rule": (resistors(128), None, 600, 0.1),
    }
    result: dict[str, Any] = {"starts": starts}
    for name, (make, given, epochs, bound) in tasks.items():
        floors, times = np.empty((len(PROBABILITIES), starts)), np.empty((len(PROBABILITIES), starts))
        for k, p in enumerate(PROBABILITIES):
            for seed in range(starts):
                X, Y = allostery_labels(seed, 2) if given is None else given
                error = make(seed, p).fit(X, Y, epochs=round(epochs / p)).error
                floors[k, seed] = root_mean_square(error[-len(error) // 10 :])
                times[k, seed] = p * first_below(error, bound * error[0] if given is None else bound)
        everywhere = np.isfinite(times).all(axis=0)
        result[f"{name}_starts_timed"] = int(everywhere.sum())
        for k, p in enumerate(PROBABILITIES):
            result[f"{name}_p_{p}_mV"] = quartiles(floors[k], 1e3)
            result[f"{name}_p_{p}_reached"] = int(np.sum(np.isfinite(times[k])))
            ratio = times[k, everywhere] / times[0, everywhere]
            result[f"{name}_p_{p}_epochs_times_p_beside_p_1"] = quartiles(ratio) if everywhere.any() else []
    return result


def compare_exclusive_or(starts: int) -> dict[str, Any]:
    """Train exclusive or at a constant and at a falling rate."""
    return {"constant rate": exclusive_or(starts, 1.0), "falling rate": exclusive_or(starts, FALLING)}


def compare_regression(starts: int) -> dict[str, Any]:
    """Train the regression at a constant and at a falling rate."""
    return {"constant rate": regression(starts, 1.0), "falling rate": regression(starts, (3.0, 0.3))}


PARTS: dict[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "xor": (compare_exclusive_or, 20),
    "regression": (compare_regression, 20),
    "modes": (modes, 20),
    "damage": (damage, 20),
    "iris": (iris, 30),
    "allostery": (allostery, 20),
    "desynchronous": (desynchronous, 20),
}
"""What is computed, and from how many starts."""


def show(figures: dict[str, Any], indent: int = 0) -> None:
    """Print figures, lower quartile, median and upper quartile in one line."""
    for key, value in figures.items():
        name = " " * indent + str(key).replace("_", " ")
        if isinstance(value, dict):
            print(name)
            if key != "picture":
                show(value, indent + 2)
        elif isinstance(value, list):
            print(f"{name:64} {' '.join(f'{each:.4g}' for each in value)}")
        else:
            print(f"{name:64} {value:.4g}")


def main() -> None:
    """Print all figures, or those of some parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="three starts each")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part; can be repeated")
    arguments = parser.parse_args()
    with threadpool_limits(1):
        figures = {
            name: PARTS[name][0](3 if arguments.quick else PARTS[name][1]) for name in arguments.part or list(PARTS)
        }
    if arguments.json:
        print(re.sub(r"\n +(?=[-\d\]])", " ", json.dumps(figures, indent=1)))
    else:
        show(figures)


if __name__ == "__main__":
    main()
