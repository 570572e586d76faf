"""How fast the simulated network that learns is beside ngspice on the same circuit, and what it learns.

The machine of Dillavou et al. (2024), 16 nodes and 32 transistors: operating points beside ngspice in one process, which
sets every gate and input and solves again (alter, op), with voltages compared first; exclusive or and the regression of
eight points from twenty starts; a step with a free and a clamped state of a grid of 10,082 edges.

    python benchmarks/learning_network.py [--json] [--quick]
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from inmateria.simulators import ContrastiveNetwork, CoupledLearning, Resistor, Transistor

Floats = npt.NDArray[np.float64]

GOALS = {"points": 1000, "solved": 15, "seconds": 0.5, "step": 0.020}
XOR = np.array([[0, 0], [0, 0.45], [0.45, 0], [0.45, 0.45]]), np.array([0, -0.087, -0.087, 0])
REGRESSION = (
    np.array([0.0005, 0.0628, 0.1251, 0.1873, 0.2479, 0.3118, 0.3724, 0.4347]),
    np.array([0.1088, 0.1472, 0.1872, 0.2256, 0.2649, 0.3041, 0.3041, 0.3041]),
)


def ngspice_points(network: ContrastiveNetwork, gates: Floats, inputs: Floats) -> tuple[Floats, float]:
    """Solve all points in one process of ngspice; return voltages, and seconds a point without the start."""

    def commands(count: int) -> list[str]:
        lines = []
        for gate, driven in zip(gates[:count], inputs[:count], strict=True):
            lines += [f"alter vg{j} = {volts!r}" for j, volts in enumerate(gate.tolist())]
            lines += [f"alter vs{k} = {volts!r}" for k, volts in enumerate(driven.tolist())]
            lines += ["op", "print " + " ".join(f"v(n{i})" for i in range(network.node_count))]
        return lines

    seconds, output = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, len(gates)):
            deck = network.netlist(inputs[0]).replace(".op\n.end\n", "")
            body = "\n".join([".control", "set numdgt=15", *commands(count), "quit", ".endc", ".end", ""])
            (Path(folder) / "all.cir").write_text(deck + body)
            begun = time.perf_counter()
            done = subprocess.run(
                ["ngspice", "-b", str(Path(folder) / "all.cir")], capture_output=True, text=True, check=False
            )
            seconds.append(time.perf_counter() - begun)
            output = done.stdout
    volts = [float(word) for word in re.findall(r"^v\(n\d+\) = (\S+)", output, re.MULTILINE)]
    return np.array(volts).reshape(len(gates), -1), (seconds[1] - seconds[0]) / (len(gates) - 1)


def operating_points(quick: bool) -> dict[str, Any]:
    """Compare operating points for gates and inputs that change at every point, and for inputs alone."""
    network, generator = ContrastiveNetwork(), np.random.default_rng(0)
    count = 100 if quick else 400
    gates = np.full((count, 32), 3.0) + np.cumsum(generator.normal(0, 0.02, (count, 32)), axis=0)
    inputs = generator.choice([0.0, 0.45], (count, 2))
    result: dict[str, Any] = {}
    found = np.empty((count, 16))
    for k in range(count):
        network.weights = gates[k]
        found[k] = network.operating_points(inputs[k : k + 1])[0]
    many = np.tile(inputs, (50, 1))
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        network.operating_points(many)
        times.append((time.perf_counter() - begun) / len(many))
    result["microseconds_a_point"] = 1e6 * min(times)
    training = []
    for _ in range(3):
        twin = ContrastiveNetwork()
        begun = time.perf_counter()
        twin.fit(*XOR, epochs=2000)
        training.append((time.perf_counter() - begun) / (2000 * 4 * 2))
    result["microseconds_a_point_in_training"] = 1e6 * min(training)
    if shutil.which("ngspice"):
        theirs, each = ngspice_points(network, gates, inputs)
        result["largest_difference_V"] = float(np.abs(theirs - found).max())
        result["ngspice_microseconds_a_point"] = 1e6 * each
        result["times_as_fast"] = each / min(times)
        result["times_as_fast_in_training"] = each / min(training)
    return result


def exclusive_or(starts: int) -> dict[str, Any]:
    """Train exclusive or from so many starts."""
    errors, seconds = [], []
    for seed in range(starts):
        network = ContrastiveNetwork(seed=seed, rule=CoupledLearning(eta=0.1, alpha=2.0))
        begun = time.perf_counter()
        errors.append(float(network.fit(*XOR, epochs=40_000).error[-1]))
        seconds.append(time.perf_counter() - begun)
    return {
        "starts": starts,
        "below_5_mV": int(np.sum(np.array(errors) < 5e-3)),
        "seconds_a_start": float(np.median(seconds)),
        "median_error_mV": 1e3 * float(np.median(errors)),
        "error_of_naming_the_mean_mV": 1e3 * float(np.std(XOR[1])),
    }


def regression(starts: int) -> dict[str, Any]:
    """Train the regression of eight points from so many starts, beside the best straight line."""
    X, Y = REGRESSION
    line = np.polynomial.Polynomial.fit(X, Y, 1)
    errors = []
    for seed in range(starts):
        network = ContrastiveNetwork(
            seed=seed, inputs=1, differential=False, rails="0,0.45", rule=CoupledLearning(eta=1.0, alpha=2.0)
        )
        errors.append(float(network.fit(X, Y, epochs=1500).error[-1]))
    return {
        "starts": starts,
        "best_mV": 1e3 * min(errors),
        "median_mV": 1e3 * float(np.median(errors)),
        "best_straight_line_mV": 1e3 * float(np.sqrt(np.mean((line(X) - Y) ** 2))),
    }


def large(edges: Any, alpha: float | None) -> dict[str, Any]:
    """Time one step with a free and a clamped state of 10,082 edges, for other inputs at each, and in training."""
    network = ContrastiveNetwork("71x71", edges, inputs=10, outputs=3, rule=CoupledLearning(alpha=alpha))
    generator, seconds = np.random.default_rng(0), []
    for _ in range(12):
        drive = [*generator.uniform(0, 0.45, 10), *generator.uniform(-0.1, 0.1, 3), 1.0]
        stimulus = network.info.stimulus(drive)
        begun = time.perf_counter()
        network.advance(stimulus)
        seconds.append(time.perf_counter() - begun)
    X, Y = generator.uniform(0, 0.45, (10, 10)), generator.uniform(-0.1, 0.1, (10, 3))
    network.fit(X, Y, epochs=1)
    begun = time.perf_counter()
    network.fit(X, Y, epochs=5)
    return {
        "edges": len(network.edges),
        "seconds_a_step": float(np.median(seconds[1:])),
        "seconds_a_step_in_training": (time.perf_counter() - begun) / 50,
    }


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    starts = 4 if arguments.quick else 20
    ContrastiveNetwork().fit(*XOR, epochs=1)
    with threadpool_limits(1):
        figures = {
            "operating points": operating_points(arguments.quick),
            "exclusive or": exclusive_or(starts),
            "regression": regression(starts),
            "transistors, 10,082 edges": large(Transistor(), None),
            "resistors, 10,082 edges": large(Resistor(), 1e-6),
        }
    if arguments.json:
        print(json.dumps({"machine": platform.processor(), "goals": GOALS, **figures}, indent=2))
        return
    for name, values in figures.items():
        print(name)
        for key, value in values.items():
            print(f"  {key.replace('_', ' '):36} {value:.4g}")


if __name__ == "__main__":
    main()
