"""Ensembles of cultures on a CUDA device: that they give what the processor gives, and how fast they are.

Agreement is checked first, for both regimes, with pulses, without and with each kind of plasticity, for cultures that
differ in size and step, and for one too large for shared memory: every spike of every neuron, all that electrodes hear,
membranes and currents, weights. Then cultures of 1,000 neurons are timed: the kernel alone, and a whole call that
leaves the state on the device.

A part of `gpu.py`; alone:

    python benchmarks/culture_gpu.py [--json] [--cultures 4096] [--neurons 1000] [--duration 0.3] [--limit 300]

Without a device, NUMBA_ENABLE_CUDASIM=1 runs all of it in numba's simulator at a size that suits it:

    NUMBA_ENABLE_CUDASIM=1 python benchmarks/culture_gpu.py --cultures 2 --neurons 12 --duration 0.002
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
from nanowire_gpu import device, end

from inmateria.simulators import CultureEnsemble, NeuralCulture, Pulses
from inmateria.simulators.cuda_device import is_simulated, require_cuda
from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.cuda_ensemble import CudaCultures

AGREEMENT = 1e-10  # mV, and parts of the largest weight; the same bits are expected
ELECTRODES = 8
SHAPES = ((256, 64), (256, 80), (128, 64), (128, 96), (512, 64))  # threads, registers of each at most


def compared(neurons: int, cultures: int, duration: float) -> list[dict[str, Any]]:
    """Run the same cultures on both; return how many differ in a spike, and the largest differences."""
    asynchronous: dict[str, Any] = {"regime": {"type": "asynchronous", "drive": 8.0}}
    bursting: dict[str, Any] = {"regime": {"type": "bursting", "drive": 8.0}}
    cases: dict[str, list[dict[str, Any]]] = {
        "bursting": [bursting] * cultures,
        "asynchronous": [asynchronous] * cultures,
        "of other sizes and steps": [
            asynchronous | {"neurons": neurons - 3 * k, "dt": (1e-4, 5e-4)[k % 2]} for k in range(min(4, cultures))
        ],
        "spike timing": [asynchronous | {"plasticity": "stdp", "learning_rate": 0.05}] * cultures,
        "reward": [asynchronous | {"plasticity": "reward"}] * cultures,
        "twice as many neurons": [bursting | {"neurons": 2 * neurons}] * 2,
    }
    rows = []
    for name, settings in cases.items():
        given, alone = (
            [NeuralCulture(**({"neurons": neurons, "electrodes": ELECTRODES, "seed": seed} | each))
             for seed, each in enumerate(settings)]
            for _ in range(2)
        )  # fmt: skip
        ensemble = CultureEnsemble(given, on="cuda")
        times = np.arange(10) * duration / 10
        pulses = Pulses(times, np.arange(10) % ELECTRODES, 3e-6)
        different, spikes, detected = 0, 0, 0
        for now in (pulses, None):  # the state is kept from one call to the next
            found = ensemble.run(duration, now, neuron_spikes=True)
            expected = [culture.run(duration, now, neuron_spikes=True) for culture in alone]
            for a, b in zip(found, expected, strict=True):
                assert a.neuron_spikes is not None
                assert b.neuron_spikes is not None
                same = np.array_equal(a.neuron_spikes, b.neuron_spikes) and np.array_equal(a.spikes, b.spikes)
                different += not same
                spikes, detected = spikes + len(b.neuron_spikes), detected + len(b.spikes)
        states = [[culture.state.arrays for culture in each] for each in (given, alone)]
        membranes, weights, bits = 0.0, 0.0, True
        for own, other in zip(*states, strict=True):
            apart = abs(own["neurons"].astype(np.float64) - other["neurons"])
            membranes = max(membranes, float(apart[: kernel.BIAS].max()))
            weights = max(weights, float(abs(own["weights"] - other["weights"]).max() / other["weights"].max()))
            bits = bits and all(own[part].tobytes() == other[part].tobytes() for part in own)
        rows.append(
            {
                "case": name,
                "neurons": len(given[0].positions),
                "cultures": len(given),
                "in_shared_memory": bool(ensemble._device and ensemble._device.shared),
                "spikes": spikes,
                "detected": detected,
                "differ_in_spikes": different,
                "membranes_mV": membranes,
                "weights": weights,
                "same_bits": bits,
            }
        )
    return rows


def timed(ensemble: CultureEnsemble, duration: float, threads: int, registers: int) -> dict[str, Any]:
    """Time the kernel alone and a whole call, ns a neuron and step."""
    cuda = require_cuda()
    cultures, neurons = len(ensemble), len(ensemble.cultures[0].positions)
    ensemble._device = CudaCultures(ensemble.cultures, threads, registers)
    launches: list[float] = []
    launch = ensemble._device._kernel

    class Timed:
        """The kernel, whose launches are timed until the device is done."""

        def __getitem__(self, shape: Any) -> Any:
            def run(*given: Any) -> None:
                cuda.synchronize()
                begin = time.perf_counter()
                launch[shape](*given)
                cuda.synchronize()
                launches.append(time.perf_counter() - begin)

            return run

    ensemble._device._kernel = Timed()
    ensemble.run(1e-3)  # compiles, and takes all arrays to the device
    launches.clear()
    begin = time.perf_counter()
    activities = ensemble.run(duration, neuron_spikes=True)
    whole = time.perf_counter() - begin
    spikes = sum(len(activity.neuron_spikes) for activity in activities if activity.neuron_spikes is not None)
    alone = ensemble.cultures[0].copy()
    alone.run(1e-3)
    begin = time.perf_counter()
    alone.run(duration)
    core = time.perf_counter() - begin
    updates = neurons * duration / 1e-4
    return {
        "threads": threads,
        "registers": registers,
        "cultures": cultures,
        "neurons": neurons,
        "duration": duration,
        "spikes_per_neuron_s": spikes / (cultures * neurons * duration),
        "kernel_ns": 1e9 * sum(launches) / (cultures * updates),
        "call_ns": 1e9 * whole / (cultures * updates),
        "core_ns": 1e9 * core / updates,
        "real_time": cultures * duration / whole,
    }


def check(cultures: int, neurons: int, duration: float, limit: float) -> dict[str, Any]:
    """Compare with the processor and then measure; nothing new is begun after ``limit`` seconds."""
    begun = time.perf_counter()
    simulated = is_simulated()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those about small grids
        rows = compared(*((neurons, 2, duration) if simulated else (1000, 8, 0.5)))
        agrees = all(
            row["differ_in_spikes"] == 0 and row["membranes_mV"] <= AGREEMENT and row["weights"] <= AGREEMENT
            for row in rows
        )
        times = []
        if agrees:
            culture = NeuralCulture(neurons=neurons, seed=1, electrodes=ELECTRODES)
            ensemble = CultureEnsemble([culture, *(culture.copy() for _ in range(cultures - 1))])  # of one wiring
            times = [
                timed(ensemble, duration, threads, registers)
                for threads, registers in (((2, 64),) if simulated else SHAPES)
                if time.perf_counter() - begun < limit
            ]
    return {
        "benchmark": "culture_gpu",
        "device": device(),
        "agreement": rows,
        "agrees": agrees,
        "same_bits": all(row["same_bits"] for row in rows),
        "times": times,
        "seconds": time.perf_counter() - begun,
    }


def show(found: dict[str, Any]) -> None:
    """Print tables of a check."""
    print(f"Cultures on {found['device']}, beside the processor:\n")
    print(
        "| case | neurons | cultures | neurons in | spikes | heard | runs with another spike | membranes, mV | weights "
        "| all bits |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in found["agreement"]:
        memory = "shared memory" if row["in_shared_memory"] else "global memory"
        print(
            f"| {row['case']} | {row['neurons']} | {row['cultures']} | {memory} | {row['spikes']} | {row['detected']} "
            f"| {row['differ_in_spikes']} | {row['membranes_mV']:.1e} | {row['weights']:.1e} "
            f"| {'the same' if row['same_bits'] else 'not the same'} |"
        )
    if not found["agrees"]:
        print("\nDevice and processor differ; no times were taken.")
        return
    print("\nTime of a neuron and step of 0.1 ms, ns, and simulated seconds of all cultures a second:\n")
    print(
        "| cultures | neurons | threads a culture | registers | spikes a neuron and s | kernel | whole call "
        "| one core of the processor | times real time |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in found["times"]:
        print(
            f"| {row['cultures']} | {row['neurons']} | {row['threads']} | {row['registers']} "
            f"| {row['spikes_per_neuron_s']:.2f} | {row['kernel_ns']:.4f} | {row['call_ns']:.4f} "
            f"| {row['core_ns']:.2f} | {row['real_time']:.0f} |"
        )
    print(f"\n{found['seconds']:.0f} s in all.")


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--cultures", type=int, default=4096)
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--duration", type=float, default=0.3, help="simulated s")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which nothing new is begun")
    chosen = parser.parse_args()
    device()
    found = check(chosen.cultures, chosen.neurons, chosen.duration, chosen.limit)
    end(found, show, as_json=chosen.json)


if __name__ == "__main__":
    main()
