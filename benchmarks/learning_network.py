"""How fast the simulated network that learns is beside ngspice on the same circuit, and what it learns.

The machine of Dillavou et al. (2024), 16 nodes and 32 transistors: operating points beside ngspice in one process,
which sets inputs, or gates and inputs as a training would, and solves again (alter, op), with voltages compared first;
exclusive or and the regression of eight points from twenty starts; a step with a free and a clamped state of a grid of
10,082 edges. Times are of the processor, one thread.

    python benchmarks/learning_network.py [--json] [--quick]
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from inmateria.simulators import ContrastiveNetwork, CoupledLearning, Resistor, Transistor

Floats = npt.NDArray[np.float64]

GOALS = {"points": 1000, "points_in_lanes": 3000, "solved": 15, "seconds": 0.5, "step": 0.020}
XOR = np.array([[0, 0], [0, 0.45], [0.45, 0], [0.45, 0.45]]), np.array([0, -0.087, -0.087, 0])
REGRESSION = (
    np.array([0.0005, 0.0628, 0.1251, 0.1873, 0.2479, 0.3118, 0.3724, 0.4347]),
    np.array([0.1088, 0.1472, 0.1872, 0.2256, 0.2649, 0.3041, 0.3041, 0.3041]),
)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Measure the time of the processor that a call and the processes it waits for take."""
    begun = os.times()
    work()
    ended = os.times()
    return sum(ended[:4]) - sum(begun[:4])


def ngspice_run(network: ContrastiveNetwork, commands: list[str]) -> str:
    """Let one process of ngspice load the circuit and carry out commands; return what it prints."""
    deck = network.netlist([0.0, 0.0]).replace(".op\n.end\n", "")
    body = "\n".join([".control", "set numdgt=15", *commands, "quit", ".endc", ".end", ""])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "all.cir"
        path.write_text(deck + body)
        return subprocess.run(["ngspice", "-b", path], capture_output=True, text=True, check=False).stdout


def ngspice_voltages(network: ContrastiveNetwork, gates: Floats, inputs: Floats) -> Floats:
    """Solve for gates and inputs in ngspice."""
    names = " ".join(f"v(n{i})" for i in range(network.node_count))
    commands = []
    for gate, driven in zip(gates, inputs, strict=True):
        commands += [f"alter vg{j} = {volts!r}" for j, volts in enumerate(gate.tolist())]
        commands += [f"alter vs{k} = {volts!r}" for k, volts in enumerate(driven.tolist())]
        commands += ["op", f"print {names}", "destroy all"]
    output = ngspice_run(network, commands)
    volts = [float(word) for word in re.findall(r"^v\(n\d+\) = (\S+)", output, re.MULTILINE)]
    return np.array(volts).reshape(len(gates), -1)


def ngspice_seconds(network: ContrastiveNetwork, gates: Floats | None, inputs: Floats) -> float:
    """Measure seconds of ngspice for a point: inputs (and gates) set, solved, nothing printed; without the start.

    Results are thrown away after each point, since ngspice becomes slower with every one that it keeps.
    """
    points = []
    for k, (first, second) in enumerate(inputs.tolist()):
        set_gates = [] if gates is None else [f"alter vg{j} = {volts!r}" for j, volts in enumerate(gates[k].tolist())]
        points.append([*set_gates, f"alter vs0 = {first!r}", f"alter vs1 = {second!r}", "op", "destroy all"])
    short = len(points) // 10
    seconds = []
    for some in (points[:short], points):
        commands = [command for point in some for command in point]
        seconds.append(cpu_seconds(lambda commands=commands: ngspice_run(network, commands)))  # type: ignore[misc]
    return (seconds[1] - seconds[0]) / (len(points) - short)


def operating_points(quick: bool) -> dict[str, Any]:
    """Compare operating points for gates and inputs that change at every point, and for inputs alone."""
    network, generator = ContrastiveNetwork(), np.random.default_rng(0)
    count = 100 if quick else 400
    gates = np.full((count, 32), 3.0) + np.cumsum(generator.normal(0, 0.02, (count, 32)), axis=0)
    inputs: Floats = np.array(0.45 * generator.integers(2, size=(count, 2)), dtype=np.float64)
    each_way: dict[str, float] = {}
    found = np.empty((count, 16))
    for k in range(count):
        network.weights = gates[k]
        found[k] = network.operating_points(inputs[k : k + 1])[0]
    many = np.tile(inputs, (200, 1))
    stimulus = network.info.stimulus(np.column_stack((many, np.zeros((len(many), 2)))))
    for name, work in (
        ("", lambda: network.advance(stimulus)),
        ("_in_lanes", lambda: network.operating_points(many)),
    ):
        each_way[name] = min(cpu_seconds(work) for _ in range(5)) / len(many)
    result: dict[str, Any] = {f"microseconds_a_point{name}": 1e6 * seconds for name, seconds in each_way.items()}
    twin, epochs = ContrastiveNetwork(), 20_000
    training = [cpu_seconds(lambda: twin.fit(*XOR, epochs=epochs)) / (epochs * 4 * 2) for _ in range(3)]
    result["microseconds_a_point_in_training"] = 1e6 * min(training)
    if shutil.which("ngspice"):
        theirs = ngspice_voltages(network, gates[:100], inputs[:100])
        result["largest_difference_V"] = float(np.abs(theirs - found[:100]).max())
        longer = np.tile(inputs, (2000 // count, 1))
        only_inputs = min(ngspice_seconds(network, None, longer) for _ in range(3))
        with_gates = min(ngspice_seconds(network, np.tile(gates, (2000 // count, 1)), longer) for _ in range(3))
        result["ngspice_microseconds_inputs_set"] = 1e6 * only_inputs
        result["ngspice_microseconds_gates_and_inputs_set"] = 1e6 * with_gates
        for name, seconds in each_way.items():
            result[f"times_as_fast{name}_inputs_set"] = only_inputs / seconds
        result["times_as_fast_in_training_gates_set"] = with_gates / min(training)
    return result


def exclusive_or(starts: int, rate: float | tuple[float, float]) -> dict[str, Any]:
    """Train exclusive or from so many starts."""
    errors, seconds = [], []
    for seed in range(starts):
        network = ContrastiveNetwork(seed=seed, rule=CoupledLearning(eta=0.1, alpha=2.0))
        begun = time.process_time()
        errors.append(float(network.fit(*XOR, epochs=40_000, rate=rate).error[-1]))
        seconds.append(time.process_time() - begun)
    return {
        "starts": starts,
        "below_5_mV": int(np.sum(np.array(errors) < 5e-3)),
        "seconds_a_start": float(np.median(seconds)),
        "median_error_mV": 1e3 * float(np.median(errors)),
        "largest_error_mV": 1e3 * max(errors),
        "error_of_naming_the_mean_mV": 1e3 * float(np.std(XOR[1])),
    }


def regression(starts: int, rate: float | tuple[float, float]) -> dict[str, Any]:
    """Train the regression of eight points from so many starts, beside the best straight line."""
    X, Y = REGRESSION
    line = np.polynomial.Polynomial.fit(X, Y, 1)
    errors = []
    for seed in range(starts):
        network = ContrastiveNetwork(
            seed=seed, inputs="15,", outputs="10,", rails="5:0,7:0.45", rule=CoupledLearning(eta=1.0, alpha=2.0)
        )
        errors.append(float(network.fit(X, Y, epochs=1500, rate=rate).error[-1]))
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
        begun = time.process_time()
        network.advance(stimulus)
        seconds.append(time.process_time() - begun)
    X, Y = generator.uniform(0, 0.45, (10, 10)), generator.uniform(-0.1, 0.1, (10, 3))
    network.fit(X, Y, epochs=1)
    begun = time.process_time()
    network.fit(X, Y, epochs=5)
    return {
        "edges": len(network.edges),
        "seconds_a_step": float(np.median(seconds[1:])),
        "seconds_a_step_in_training": (time.process_time() - begun) / 50,
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
            "exclusive or, constant rate": exclusive_or(starts, 1.0),
            "exclusive or, falling rate": exclusive_or(starts, (16.0, 1.0)),
            "regression, constant rate": regression(starts, 1.0),
            "regression, falling rate": regression(starts, (3.0, 0.3)),
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
