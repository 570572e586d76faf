"""Cost of local bottlenecks: a step of nHSIC beside the matrix products in it, and the closed form beside the device.

The matrix products of a step are two Gram matrices, two Cholesky inversions, two symmetric products of
samples^3 and three thin ones, timed by themselves on arrays of the same shapes. For the closed form three
scattering media of 20 ports and 100 observables answer 1,347 digits in each of four passes; what counts is the
processor time that fitting takes beyond that of the simulated devices.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, lapack
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from inmateria.adapters import SimulatedSubstrate
from inmateria.reservoir import HSICBottleneck, PhysicalStack
from inmateria.reservoir.bottleneck.dependence import RandomFeatures, nhsic_objective, nhsic_objective_by_features
from inmateria.simulators import ScatteringMedium
from inmateria.substrate import Response, Stimulus

FloatArray = npt.NDArray[np.float64]
REPEATS = 60


def best(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Give the shortest of several times, s: what disturbs a measurement only makes it longer."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def peak(work: Callable[[], object]) -> int:
    """Give the most memory in use at once beyond what was there before, bytes."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def step(samples: int, ports: int = 20, inputs: int = 100, classes: int = 10) -> dict[str, float]:
    """Time a step of nHSIC, exact and by random features, and the products in it."""
    generator = np.random.default_rng(0)
    Z, X = generator.standard_normal((samples, ports)), generator.standard_normal((samples, inputs))
    Y = np.eye(classes)[generator.integers(classes, size=samples)]
    square = X @ X.T / inputs + np.eye(samples)
    wide = np.asfortranarray(generator.standard_normal((samples, samples)))

    def products() -> None:
        Z @ Z.T
        X @ X.T
        for _ in range(2):
            factor, _ = lapack.dpotrf(square.T, lower=1, clean=0)
            lapack.dpotri(factor, lower=1, overwrite_c=1)
            blas.dsymm(1.0, wide, wide, lower=1)
        wide @ Z
        Y @ (Y.T @ Y)
        Y @ Y.T

    of_z, of_x = RandomFeatures(ports, 256, 1.0, 0), RandomFeatures(inputs, 256, 1.0, 1)
    # The two are timed in turn, so that whatever else runs meets both.
    rounds = [(best(lambda: nhsic_objective(Z, X, Y), 1), best(products, 1)) for _ in range(REPEATS)]
    whole, alone = (min(times) for times in zip(*rounds, strict=True))
    return {
        "samples": samples,
        "step_ms": 1e3 * whole,
        "products_ms": 1e3 * alone,
        "ratio": whole / alone,
        "peak_mb": peak(lambda: nhsic_objective(Z, X, Y)) / 1e6,
        "features_step_ms": 1e3 * best(lambda: nhsic_objective_by_features(Z, X, Y, of_z, of_x), 10),
        "features_peak_mb": peak(lambda: nhsic_objective_by_features(Z, X, Y, of_z, of_x)) / 1e6,
    }


class Timed(ScatteringMedium):
    """A medium that knows how much processor time its answers took."""

    spent = 0.0

    def advance(self, stimulus: Stimulus) -> Response:
        """Answer, and count."""
        begun = time.thread_time()
        response = super().advance(stimulus)
        self.spent += time.thread_time() - begun
        return response


def closed_form(train: str) -> dict[str, float | str]:
    """Train three layers; give the processor time beyond the devices', s."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:1347] / 16.0, y[:1347]

    async def fit() -> tuple[float, float, float]:
        media = [Timed(seed=seed) for seed in (1, 2, 3)]
        async with PhysicalStack([SimulatedSubstrate(each) for each in media], train=train) as stack:
            begun = time.process_time()
            await stack.fit(X, y)
            return time.process_time() - begun, sum(each.spent for each in media), stack.learning_seconds_

    runs = [asyncio.run(fit()) for _ in range(5)]
    whole, device, learning = min(runs, key=lambda run: run[0] - run[1])
    return {"train": train, "fit_s": whole, "devices_s": device, "beyond_s": whole - device, "learning_s": learning}


def beside_one_thread(load: int, samples: int = 300, rounds: int = 3) -> dict[str, float]:
    """Time HSIC training beside the same with one BLAS thread, while other processes keep the processors busy, s.

    As it is; as it was, with the threads that BLAS takes by itself; and with one.
    """
    generator = np.random.default_rng(0)
    X, classes = generator.standard_normal((samples, 100)), generator.integers(10, size=samples)
    Y = np.eye(10)[classes]
    estimator = HSICBottleneck(20, epochs=2, seed=0)

    def unlimited() -> object:
        rows = np.array_split(np.arange(samples), max(1, samples // estimator.batch_size))
        for _ in range(estimator.epochs):
            for some in rows:
                nhsic_objective(X[some, :20], X[some], Y[some])
        return None

    def timed(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    def limited(work: Callable[[], object]) -> float:
        with threadpool_limits(1):
            return timed(work)

    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        taken = np.array([
            (
                timed(lambda: estimator.fit(X, Y)), limited(lambda: estimator.fit(X, Y)),
                timed(unlimited), limited(unlimited),
            )
            for _ in range(rounds)
        ])  # fmt: skip
    finally:
        for each in busy:
            each.kill()
            each.wait()
    fit, fit_of_one, without, without_of_one = np.median(taken, axis=0)
    return {
        "load": load,
        "fit_s": fit,
        "over_one_thread": fit / fit_of_one,
        "objective_alone_over_one_thread": without / without_of_one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--threads", action="store_true", help="only HSIC training beside one BLAS thread")
    asked = parser.parse_args()
    busy = [beside_one_thread(load) for load in (0, 2)]
    if asked.threads:
        print(json.dumps({"claim": "HSIC training never slower than with one BLAS thread", "busy": busy}))
        return
    steps = [step(samples) for samples in (128, 256, 512)]
    fits = [closed_form(train) for train in ("bottleneck", "bottleneck-in-turn", "bottleneck-online")]
    if asked.json:
        print(
            json.dumps(
                {
                    "claim": "nHSIC step < 2x its products; closed form < 0.2 s; never slower than one thread",
                    "steps": steps,
                    "fits": fits,
                    "busy": busy,
                }
            )
        )
        return
    print("nHSIC step, 20 ports of 100 inputs   products alone   ratio   peak memory   256 random features")
    for each in steps:
        print(
            f"{each['samples']:>7} samples  {each['step_ms']:8.2f} ms {each['products_ms']:17.2f} ms "
            f"{each['ratio']:8.2f}"
            f" {each['peak_mb']:10.1f} MB {each['features_step_ms']:10.2f} ms {each['features_peak_mb']:6.1f} MB"
        )
    for each in busy:
        print(
            f"HSIC training with {each['load']:.0f} busy processes beside it: {each['over_one_thread']:.2f} x one BLAS "
            f"thread; its objective with the threads that BLAS takes by itself: "
            f"{each['objective_alone_over_one_thread']:.2f} x"
        )
    print("\nthree layers, 1,347 digits   fit, processor s   devices s   beyond s   learning s")
    for fit in fits:
        print(
            f"{fit['train']:27} {fit['fit_s']:17.3f} {fit['devices_s']:11.3f} {fit['beyond_s']:10.3f} "
            f"{fit['learning_s']:12.3f}"
        )


if __name__ == "__main__":
    main()
