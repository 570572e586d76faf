"""How fast the simulated network that learns is beside ngspice on the same circuit, and what it learns.

The machine of Dillavou et al. (2024), 16 nodes and 32 transistors: operating points beside ngspice in one process,
which sets inputs, or gates and inputs as a training would, and solves again (alter, op), with voltages compared first.
Trainings are compared with ngspice where it sets gates and inputs; samples and single exchanges, in which no gate
changes, with ngspice where it sets inputs alone. Also
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
    begun, children = time.process_time(), sum(os.times()[2:4])
    work()
    return time.process_time() - begun + sum(os.times()[2:4]) - children


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
    many = np.tile(inputs, (8000 // count, 1))  # corners of the range, again and again, as in exclusive or
    others: Floats = generator.uniform(0, 0.45, many.shape)
    network.operating_points(others)
    for name, drive in (("of_four_inputs", many), ("of_random_inputs", others)):
        stimulus = network.info.stimulus(np.column_stack((drive, np.zeros((len(drive), 2)))))
        for way, work in (("exchanges", network.advance), ("samples", lambda s: network.operating_points(drive))):  # noqa: B023
            each_way[f"{way}_{name}"] = min(cpu_seconds(lambda: work(stimulus)) for _ in range(15)) / len(drive)  # noqa: B023
    result: dict[str, Any] = {f"microseconds_{name}": 1e6 * seconds for name, seconds in each_way.items()}
    epochs = 500 if quick else 2000
    for name, rate in (("constant", 1.0), ("falling", (16.0, 1.0))):
        alone, together = [], []
        for _ in range(2 if quick else 5):  # alternately, since the machine may have other work
            networks = [ContrastiveNetwork(seed=seed, rule=CoupledLearning(eta=0.1, alpha=2.0)) for seed in range(16)]
            twins = [each.copy() for each in networks]
            points = 16 * epochs * len(XOR[0]) * 2
            alone.append(cpu_seconds(lambda: [each.fit(*XOR, epochs, rate=rate) for each in networks]) / points)  # noqa: B023
            together.append(cpu_seconds(lambda: ContrastiveNetwork.fit_many(twins, *XOR, epochs, rate=rate)) / points)  # noqa: B023
            assert all((one.weights == two.weights).all() for one, two in zip(networks, twins, strict=True))
        result[f"microseconds_a_point_of_training_{name}_rate"] = 1e6 * min(alone)
        result[f"microseconds_a_point_of_16_trainings_in_lanes_{name}_rate"] = 1e6 * min(together)
        result[f"lanes_beside_one_after_the_other_{name}_rate"] = min(alone) / min(together)
    if shutil.which("ngspice"):
        theirs = ngspice_voltages(network, gates[:100], inputs[:100])
        result["largest_difference_V"] = float(np.abs(theirs - found[:100]).max())
        longer = np.tile(inputs, (2000 // count, 1))
        only_inputs = min(ngspice_seconds(network, None, longer) for _ in range(3))
        with_gates = min(ngspice_seconds(network, np.tile(gates, (2000 // count, 1)), longer) for _ in range(3))
        result["ngspice_microseconds_inputs_set"] = 1e6 * only_inputs
        result["ngspice_microseconds_gates_and_inputs_set"] = 1e6 * with_gates
        for name, seconds in each_way.items():
            result[f"times_as_fast_{name}_beside_inputs_set"] = only_inputs / seconds
        for name in ("constant", "falling"):
            for way in ("training", "16_trainings_in_lanes"):
                seconds = 1e-6 * result[f"microseconds_a_point_of_{way}_{name}_rate"]
                result[f"times_as_fast_{way}_{name}_rate_beside_gates_set"] = with_gates / seconds
    return result


def exclusive_or(starts: int, rate: float | tuple[float, float]) -> dict[str, Any]:
    """Train exclusive or from so many starts."""
    errors, seconds = [], []
    for seed in range(starts):
        network = ContrastiveNetwork(seed=seed, rule=CoupledLearning(eta=0.1, alpha=2.0))
        begun = time.process_time()
        errors.append(float(network.fit(*XOR, epochs=40_000, rate=rate).error[-1]))
        seconds.append(time.process_time() - begun)
    networks = [ContrastiveNetwork(seed=seed, rule=CoupledLearning(eta=0.1, alpha=2.0)) for seed in range(starts)]
    in_lanes = cpu_seconds(lambda: ContrastiveNetwork.fit_many(networks, *XOR, 40_000, rate=rate))
    return {
        "seconds_of_all_starts_in_lanes": in_lanes,
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
    ContrastiveNetwork.fit_many([ContrastiveNetwork(seed=seed) for seed in range(4)], *XOR, 1)
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
            print(f"  {key.replace('_', ' '):64} {value:.4g}")


if __name__ == "__main__":
    main()
